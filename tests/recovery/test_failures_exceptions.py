"""Exceptions of the common Python clients, told by their shape: none of them is imported."""

from __future__ import annotations

import errno
import http
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from recovery.failures import Failure, classify


def make(name: str, *bases: type[BaseException], module: str = "sdk", **attributes: Any) -> Any:
    """Return an instance of a new exception class, with attributes, as clients build theirs."""
    message = attributes.pop("text", "")
    cls = type(name, bases or (Exception,), {"__module__": module})
    error = cls(message)
    for key, value in attributes.items():
        setattr(error, key, value)
    return error


def raised(error: BaseException, cause: BaseException) -> BaseException:
    """Return ``error`` as it is after ``raise error from cause``."""
    try:
        raise error from cause  # noqa: TRY301 - the point is to raise it
    except BaseException as caught:  # noqa: BLE001 - the point is to catch what was raised
        return caught


class OpenAIError(Exception):
    """The base that an SDK's errors share."""


def openai_error(name: str, status: int, body: dict[str, Any], **headers: str) -> Any:
    """Return an error as the openai and anthropic clients build it."""
    return make(
        name,
        OpenAIError,
        module="openai",
        text=f"Error code: {status} - {{'error': {body!r}}}",
        status_code=status,
        code=body.get("code"),
        type=body.get("type"),
        body=body,
        response=SimpleNamespace(status_code=status, headers=headers, text="{}"),
    )


def test_openai_rate_limit_with_header() -> None:
    """The wait comes from the response's headers, in whatever case they are."""
    error = openai_error(
        "RateLimitError",
        429,
        {"message": "Rate limit reached", "code": "rate_limit_exceeded", "type": "tokens"},
        **{"Retry-After": "7"},
    )
    failure = classify(error)
    assert (failure.kind, failure.retryable, failure.retry_after) == ("rate_limited", True, 7.0)


def test_openai_insufficient_quota_is_no_rate_limit() -> None:
    """The code decides, not the status or the class."""
    error = openai_error(
        "RateLimitError", 429, {"message": "You exceeded it.", "code": "insufficient_quota"}
    )
    assert classify(error).kind == "quota"


def test_openai_context_length() -> None:
    """The body's code makes a bad request an overflow."""
    error = openai_error(
        "BadRequestError", 400, {"message": "Too much.", "code": "context_length_exceeded"}
    )
    assert classify(error) == Failure(
        kind="overflow", retryable=False, signature="context_overflow"
    )


def test_openai_connection_error_with_its_cause() -> None:
    """A wrapper whose cause is a certificate is not retried for being a connection error."""
    inner = make("ConnectError", module="httpx", text="[Errno 111] Connection refused")
    outer = make("APIConnectionError", OpenAIError, module="openai", text="Connection error.")
    assert classify(raised(outer, inner)).kind == "transient"
    cert = make(
        "ConnectError",
        module="httpx",
        text="[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed",
    )
    assert classify(raised(outer, cert)).kind == "unknown"


def test_anthropic_overloaded() -> None:
    """Status 529 with a body of its own."""
    error = make(
        "InternalServerError",
        OpenAIError,
        module="anthropic",
        text="Error code: 529",
        status_code=529,
        body={"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        response=SimpleNamespace(status_code=529, headers={}),
    )
    assert classify(error).kind == "transient"


def test_anthropic_stream_error_without_a_telling_status() -> None:
    """An error inside a stream has status 200: the body tells."""
    error = make(
        "APIStatusError",
        module="anthropic",
        text="{'type': 'error', 'error': {'type': 'overloaded_error', 'message': 'Overloaded'}}",
        status_code=200,
        body={"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    )
    assert classify(error).kind == "transient"


def test_google_genai_api_error() -> None:
    """``code`` is the status and ``status`` the name."""
    error = make(
        "ClientError",
        module="google.genai.errors",
        text="429 RESOURCE_EXHAUSTED. {'error': {'message': 'Resource has been exhausted'}}",
        code=429,
        status="RESOURCE_EXHAUSTED",
        message="Resource has been exhausted",
        details={"error": {"details": [{"retryDelay": "33s"}]}},
    )
    failure = classify(error)
    assert (failure.kind, failure.retry_after) == ("rate_limited", 33.0)
    per_day = {"error": {"details": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}]}}
    error.details = per_day
    assert classify(error).kind == "quota"


def test_google_api_core() -> None:
    """``code`` is an enumeration's member, ``grpc_status_code`` another."""
    grpc = SimpleNamespace(
        RESOURCE_EXHAUSTED=SimpleNamespace(name="RESOURCE_EXHAUSTED"),
        UNAVAILABLE=SimpleNamespace(name="UNAVAILABLE"),
    )
    error = make(
        "ResourceExhausted",
        module="google.api_core.exceptions",
        text="429 Resource has been exhausted (e.g. check quota).",
        code=http.HTTPStatus.TOO_MANY_REQUESTS,
        grpc_status_code=grpc.RESOURCE_EXHAUSTED,
    )
    assert classify(error).kind == "rate_limited"
    error = make("GoogleAPICallError", module="google.api_core", grpc_status_code=grpc.UNAVAILABLE)
    assert classify(error).kind == "transient"


def test_grpc_error_answers_as_methods() -> None:
    """A gRPC error's code and details are called for."""
    member = SimpleNamespace(name="UNAUTHENTICATED")
    error = make("AioRpcError", module="grpc", code=lambda: member, details=lambda: "no token")
    assert classify(error).kind == "auth"
    error = make("AioRpcError", module="grpc", code=lambda: 1 / 0, details=lambda: "x")
    assert classify(error).kind == "unknown"


def client_error(code: str, message: str, status: int, **headers: str) -> Any:
    """Return an error as botocore builds it."""
    return make(
        "ClientError",
        module="botocore.exceptions",
        text=f"An error occurred ({code}) when calling the Converse operation: {message}",
        response={
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers},
        },
        operation_name="Converse",
    )


@pytest.mark.parametrize(
    ("code", "message", "status", "kind"),
    [
        ("ThrottlingException", "Too many tokens, please wait", 429, "rate_limited"),
        ("ValidationException", "Input is too long for requested model.", 400, "overflow"),
        ("ValidationException", "Malformed input request", 400, "invalid_request"),
        ("AccessDeniedException", "no", 403, "auth"),
        ("ServiceQuotaExceededException", "no", 400, "quota"),
        ("ModelNotReadyException", "Wait.", 429, "transient"),
        ("InternalServerException", "no", 500, "transient"),
    ],
)
def test_botocore_client_error(code: str, message: str, status: int, kind: str) -> None:
    """Code, status and headers stand in ``response``, which is a mapping."""
    failure = classify(client_error(code, message, status, **{"retry-after": "3"}))
    assert failure.kind == kind
    assert failure.retry_after == (3.0 if kind in {"rate_limited", "transient", "quota"} else None)


def test_botocore_response_of_another_shape() -> None:
    """A response that lacks its parts is no reason to fail."""
    error = make("ClientError", module="botocore.exceptions", response={"Error": "no mapping"})
    assert classify(error).kind == "unknown"


def test_httpx_status_error() -> None:
    """The status stands in the response; a body that was not read is not read now."""

    class Response:
        status_code = 503
        headers = {"retry-after": "2"}  # noqa: RUF012 - the shape of the response

        @property
        def text(self) -> str:
            message = "the stream has not been read"
            raise RuntimeError(message)

    error = make("HTTPStatusError", module="httpx", text="Server error", response=Response())
    failure = classify(error)
    assert (failure.kind, failure.retry_after) == ("transient", 2.0)


def test_requests_body_is_taken_only_when_it_was_read() -> None:
    """What was read is held in ``_content``; False there means that it was not."""
    read = SimpleNamespace(status_code=400, headers={}, _content=b'{"code":"insufficient_quota"}')
    unread = SimpleNamespace(status_code=400, headers={}, _content=False, text="insufficient_quota")
    for response, kind in ((read, "quota"), (unread, "invalid_request")):
        error = make("HTTPError", module="requests", text="400 Client Error", response=response)
        assert classify(error).kind == kind


def test_requests_connection_error_holds_its_cause_in_args() -> None:
    """urllib3's error is an argument of the one that requests raises."""
    inner = make("MaxRetryError", module="urllib3.exceptions")
    cls = type("ConnectionError", (OSError,), {"__module__": "requests.exceptions"})
    assert classify(cls(inner)).kind == "transient"


def test_aiohttp_response_error() -> None:
    """``status`` and ``headers`` are the error's own."""
    error = make(
        "ClientResponseError",
        module="aiohttp",
        text="429, message='Too Many Requests'",
        status=429,
        message="Too Many Requests",
        headers=[("Retry-After", "4"), "not a pair"],
    )
    assert (classify(error).kind, classify(error).retry_after) == ("rate_limited", 4.0)


def test_aiohttp_connector_error_holds_an_os_error() -> None:
    """The operating system's error says what the wrapper does not."""
    error = make(
        "WrappedError", module="aiohttp", os_error=ConnectionRefusedError(errno.ECONNREFUSED, "no")
    )
    assert classify(error).kind == "transient"


def test_mistral_and_cohere() -> None:
    """A body may be text or plain data, ``headers`` any mapping."""
    error = make(
        "SDKError",
        module="mistralai.models",
        text="API error occurred: Status 429",
        status_code=429,
        body='{"message":"Requests rate limit exceeded"}',
        headers={"ratelimitbysize-reset": "32"},
    )
    assert (classify(error).kind, classify(error).retry_after) == ("rate_limited", 32.0)
    error = make(
        "ApiError", module="cohere", status_code=401, body={"message": "invalid api token"}
    )
    assert classify(error).kind == "auth"


def test_litellm_wraps() -> None:
    """The class says it, whatever the status of the wrapper."""
    error = make(
        "ContextWindowExceededError", module="litellm.exceptions", text="too big", status_code=400
    )
    assert classify(error).kind == "overflow"
    error = make(
        "BudgetExceededError", module="litellm.exceptions", text="Budget has been exceeded!"
    )
    assert classify(error).kind == "quota"


def test_urllib_http_error() -> None:
    """``code`` is the status, ``reason`` an exception or a text."""
    error = make("HTTPError", module="urllib.error", text="HTTP Error 503", code=503, headers={})
    assert classify(error).kind == "transient"
    error = make("URLError", OSError, module="urllib.error", reason=socket.gaierror(-2, "unknown"))
    assert classify(error).kind == "transient"


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        ConnectionError(),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        BrokenPipeError(),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        OSError(errno.EHOSTUNREACH, "whatever"),
        socket.gaierror(-3, "Temporary failure in name resolution"),
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol (_ssl.c:2426)"),
    ],
    ids=repr,
)
def test_builtin_network_errors_are_transient(error: BaseException) -> None:
    """Python's own errors of the network pass."""
    assert classify(error).kind == "transient"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("timeout must be positive"),
        KeyError("billing"),
        AssertionError("expected 502"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "billing.json"),
        PermissionError(errno.EACCES, "Permission denied", "/etc/rate_limit"),
        OSError(errno.ENOSPC, "No space left on device"),
        ZeroDivisionError(),
        KeyboardInterrupt(),
        RuntimeError("the worker died"),
    ],
    ids=repr,
)
def test_builtin_errors_of_the_program_stay_unknown(error: BaseException) -> None:
    """A program's own errors are no provider's, whatever words they carry."""
    assert classify(error).kind == "unknown"


def test_a_wrapper_without_a_word_is_told_by_its_cause() -> None:
    """The most particular link of a chain speaks for all; the signature is the outermost's."""
    inner = openai_error("AuthenticationError", 401, {"message": "no", "code": "invalid_api_key"})
    outer = raised(RuntimeError("the model call failed: timeout"), inner)
    failure = classify(outer)
    assert (failure.kind, failure.signature) == ("auth", "the model call failed: timeout")


def test_a_group_is_told_by_its_members() -> None:
    """An exception group has its causes in ``exceptions``."""
    assert classify(ExceptionGroup("several", [ValueError("x"), TimeoutError()])).retryable


def test_a_chain_that_loops_ends() -> None:
    """An exception that is its own cause is looked at once."""
    error = RuntimeError("round")
    error.__cause__ = error
    assert classify(error).kind == "unknown"


def test_a_long_chain_is_cut() -> None:
    """Only the outer links are looked at."""
    error: BaseException = TimeoutError()
    for depth in range(20):
        error = raised(RuntimeError(f"wrapper {depth}"), error)
    assert classify(error).kind == "unknown"


def test_foreign_code_that_raises_is_ignored() -> None:
    """Attributes, ``str`` and mappings of a foreign class may raise what they like."""

    class Hostile(Exception):
        def __str__(self) -> str:
            raise RuntimeError

        @property
        def status_code(self) -> int:
            raise RuntimeError

        @property
        def headers(self) -> Any:
            class Headers:
                def items(self) -> Any:
                    raise RuntimeError

            return Headers()

    failure = classify(Hostile())
    assert (failure.kind, failure.signature) == ("unknown", "Hostile")


def test_keywords_come_before_what_the_exception_says() -> None:
    """The caller saw the response; a client's wrapper may not have."""
    error = make("SDKError", text="failed", status_code=500, headers={"retry-after": "9"})
    failure = classify(error, status=401)
    assert failure.kind == "auth"
    failure = classify(error, headers={"Retry-After": "5"})
    assert (failure.kind, failure.retry_after) == ("transient", 5.0)


def test_errors_without_a_word_differ_by_class_code_or_status() -> None:
    """Counters of repeated failures tell two silent errors apart."""
    assert classify(TimeoutError()).signature == "TimeoutError"
    assert classify("", status=503).signature == "503"
    assert classify("", code="server_error").signature == "server"
    assert classify("").signature == ""


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "rate_limited"),
        ("429", "rate_limited"),
        ("429 Too Many Requests", "rate_limited"),
        (http.HTTPStatus.SERVICE_UNAVAILABLE, "transient"),
        ("UNAVAILABLE", "transient"),
        (True, "unknown"),
        (1429, "unknown"),
        ("4290", "unknown"),
        (None, "unknown"),
        (object(), "unknown"),
    ],
)
def test_status_in_any_form(status: object, kind: str) -> None:
    """A status is a number, a text or a name."""
    assert classify("", status=status).kind == kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", "rate_limited"),
        (429, "rate_limited"),
        ("529", "transient"),
        (http.HTTPStatus.PAYMENT_REQUIRED, "quota"),
        (SimpleNamespace(name="UNAUTHENTICATED"), "auth"),
        (SimpleNamespace(name=1), "unknown"),
        (3.5, "unknown"),
        (429.0, "rate_limited"),
        (float("nan"), "unknown"),
        (float("inf"), "unknown"),
    ],
)
def test_code_in_any_form(code: object, kind: str) -> None:
    """A code is a text, a number or an enumeration's member."""
    assert classify("", code=code).kind == kind


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "8"},
        {b"retry-after": b"8"},
        [("RETRY-AFTER", "8")],
        (["retry-after", 8],),
        SimpleNamespace(items=lambda: [("retry-after", "8")]),
    ],
)
def test_headers_in_any_form(headers: object) -> None:
    """Headers are a mapping, pairs, or anything with ``items``."""
    assert classify("", status=429, headers=headers).retry_after == 8.0


@pytest.mark.parametrize("headers", [None, 5, "retry-after: 8", [1], {"retry-after": object()}])
def test_headers_that_are_none_are_ignored(headers: object) -> None:
    """What is no header says nothing."""
    assert classify("", status=429, headers=headers).retry_after is None


@pytest.mark.parametrize("error", [b"503 Service Unavailable", {"error": {"code": 503}}, None, 503])
def test_errors_of_other_types(error: object) -> None:
    """Bytes are decoded, data is printed, nothing is nothing."""
    expected = "unknown" if error is None else "transient"
    assert classify(error).kind == expected


class Closed(Exception):
    """An exception of which no attribute can be read, not even its class."""

    def __getattribute__(self, name: str) -> Any:
        """Refuse."""
        raise ValueError(name)


class Sealed:
    """An object whose class cannot be asked for."""

    @property
    def __class__(self) -> Any:
        """Refuse."""
        raise ValueError


class Shouting(str):
    """A text that cannot be printed, as a careless subclass of ``str`` may be."""

    __slots__ = ()

    def __str__(self) -> str:
        """Refuse."""
        raise ValueError


@pytest.mark.parametrize(
    ("build", "given", "kind", "signature"),
    [
        (lambda: Closed("503"), {}, "unknown", "Closed"),
        (lambda: Closed("503"), {"status": 503}, "transient", "Closed"),
        (lambda: Closed("503"), {"status": 503, "code": Sealed()}, "unknown", "Closed"),
        (Sealed, {"status": 429}, "rate_limited", "Sealed"),
        (lambda: "boom", {"code": Sealed()}, "unknown", "boom"),
        (lambda: Shouting("429 too many requests"), {}, "rate_limited", "429 too many requests"),
    ],
)
def test_objects_that_cannot_be_asked(
    build: Callable[[], object], given: dict[str, Any], kind: str, signature: str
) -> None:
    """What raises wherever it is touched is told by the rest of what is known."""
    failure = classify(build(), **given)
    assert (failure.kind, failure.signature) == (kind, signature)
