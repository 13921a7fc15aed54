"""Exceptions of the common Python clients, told by their shape: none of them is imported."""

from __future__ import annotations

import errno
import http
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from recovery.failures import Failure, Why, classify
from tests.recovery.raising import OpenAIError, make, openai_error, raised


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
        kind="overflow",
        retryable=False,
        signature="context_overflow",
        source="provider",
        why=Why(
            row="overflow_codes",
            reason="the provider's own word for a context that is too long",
            words="contextlengthexceeded",
        ),
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
