"""What the end of a turn tells the session of a failure: its source and its kind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.daemon.flow.turn import Gathered, message_of, nowhere
from goalfsm.workers.protocol import ErrorReported
from tests.recovery.raising import openai_error


def told(**fields: Any) -> Any:
    """Return the last message of a turn that ended with that error."""
    seen = Gathered("")
    seen.error = ErrorReported(**{"message": "it failed", **fields})
    return message_of(seen, nowhere)


def test_an_exception_is_judged_whole() -> None:
    """Its response's headers and its class are known to nobody but the object."""
    error = openai_error(
        "RateLimitError", 429, {"message": "slow down", "code": "x"}, **{"retry-after": "7"}
    )
    message = told(exception=error, kind="exception")
    assert (message.failure, message.source, message.retry_after) == (
        "rate_limited",
        "provider",
        7.0,
    )
    assert told(exception=error, retry_after=3.0).retry_after == 3.0


@pytest.mark.parametrize("error", [KeyError("rate_limit"), ValueError("quota exceeded")], ids=repr)
def test_an_embedder_s_own_error_is_no_provider_s(error: Exception) -> None:
    message = told(exception=error)
    assert (message.failure, message.source) == (None, "tool")


def test_a_cancelled_task_is_nothing_to_try_again() -> None:
    message = told(exception=asyncio.CancelledError())
    assert message.failure is None
    assert message.retry_after is None


@pytest.mark.parametrize(
    ("given", "source"),
    [("provider", "provider"), ("tool", "tool"), ("exit", "unknown"), ("spawn", "unknown")],
)
def test_what_the_worker_knows_is_kept(given: str, source: str) -> None:
    message = told(source=given, failure="quota", text="words")
    assert (message.source, message.failure, message.error) == (source, "quota", "words")
    assert told(source=given).failure is None
