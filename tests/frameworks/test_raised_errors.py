"""What a worker's function raises reaches the thread whole: whose fault it is, and until when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
import pytest

from goalfsm.testing import MemoryGoals
from goalfsm.testing.loop import START_MS
from goalfsm.views.status import Status
from goalfsm.workers.protocol import TurnEvent, Work
from tests.daemon.scenes import OBJECTIVE, THREAD, play, worker

REQUEST = httpx.Request("POST", "http://127.0.0.1/v1/chat/completions")


def answered(kind: Any, status: int, **headers: str) -> openai.APIStatusError:
    """Return what the client of that library raises for an answer of a provider's."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    said = "Rate limit reached for requests" if status == 429 else "Incorrect API key provided"
    response = httpx.Response(status, headers=named, request=REQUEST)
    error: openai.APIStatusError = kind(said, response=response, body=None)
    return error


def after(error: Exception) -> Status:
    """Return how a thread stands when its worker's function has raised ``error``."""

    async def turn(_: Work) -> AsyncIterator[TurnEvent]:
        raise error
        yield

    async def scene(goals: MemoryGoals) -> Status:
        async with goals.process(worker(turn)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(0.5)
            return engine.status(THREAD)

    return play(scene)


@pytest.mark.parametrize(
    "error",
    [KeyError("rate_limit"), ValueError("quota exceeded"), ZeroDivisionError("x")],
    ids=repr,
)
def test_an_embedder_s_own_fault_is_not_put_on_a_provider(error: Exception) -> None:
    status = after(error)
    assert status.activity == "paused (recovery)"
    assert status.detail.startswith(f"non-retryable worker error ({type(error).__name__}: ")


def test_a_rate_limit_is_waited_for_as_long_as_the_provider_says() -> None:
    status = after(answered(openai.RateLimitError, 429, retry_after="37"))
    assert status.activity == "recovering"
    assert status.detail.startswith("provider error (RateLimitError: ")
    assert status.until_ms is not None
    assert 37_000 <= status.until_ms - START_MS < 38_000


def test_a_rate_limit_inside_of_an_embedder_s_own_exception_is_one_too() -> None:
    error = RuntimeError("the agent failed")
    error.__cause__ = answered(openai.RateLimitError, 429, retry_after_ms="90000", retry_after="90")
    status = after(error)
    assert status.activity == "recovering"
    assert status.until_ms is not None
    assert 90_000 <= status.until_ms - START_MS < 91_000


def test_a_lost_connection_is_tried_again_and_a_wrong_key_is_not() -> None:
    lost = after(openai.APIConnectionError(request=REQUEST))
    assert lost.activity == "recovering"
    wrong = after(answered(openai.AuthenticationError, 401))
    assert wrong.activity == "paused (recovery)"
    assert wrong.detail.startswith("non-retryable provider error (AuthenticationError: ")
