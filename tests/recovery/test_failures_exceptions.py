"""Exceptions of Python and of no known client: chains, groups, odd forms and hostile ones."""

from __future__ import annotations

import errno
import http
import socket
import ssl
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from recovery.failures import classify
from tests.recovery.raising import make, openai_error, raised


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


@pytest.mark.parametrize(
    "error",
    [
        KeyError("rate_limit"),
        ValueError("quota exceeded"),
        TypeError("rate limit must be a number"),
        AttributeError("no attribute 'quota_exceeded'"),
        ZeroDivisionError("rate limit reached"),
        AssertionError("overloaded_error"),
        NameError("name 'rate_limit_exceeded' is not defined"),
    ],
    ids=repr,
)
def test_a_slip_of_a_program_is_no_provider_s_error_whatever_it_speaks_of(error: Exception) -> None:
    failure = classify(error)
    assert (failure.kind, failure.retryable, failure.source) == ("unknown", False, "tool")
    assert failure.why.row == "false_positive"


def test_a_slip_that_a_provider_s_error_has_led_to_is_that_error() -> None:
    error = KeyError("choices")
    error.__cause__ = openai_error("RateLimitError", 429, {"message": "slow down"})
    assert (classify(error).kind, classify(error).source) == ("rate_limited", "provider")
    assert classify(ValueError("quota exceeded"), source="provider").kind == "quota"
