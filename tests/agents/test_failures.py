from __future__ import annotations

import dataclasses
import time

import pytest

from goalfsm.workers import protocol as w
from recovery import classify
from tests.agents.driving import Agent, Turn
from tests.providers.script import (
    CUT,
    OVERFLOW,
    OVERLOADED,
    UNAUTHORIZED,
    UNAVAILABLE,
    quota_used_up,
    rate_limited,
    says,
)
from tests.providers.server import Provider

pytestmark = pytest.mark.asyncio


def kind_of(turn: Turn) -> str:
    """Return the kind of failure that the turn's error is told as, or read as."""
    error = turn.error
    assert error.source == "provider"
    if error.failure is not None:
        return error.failure
    read = classify(error.text or error.message, status=error.status, code=error.code)
    return read.kind


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        pytest.param(OVERFLOW, "overflow", id="overflow"),
        pytest.param(UNAUTHORIZED, "auth", id="401"),
        pytest.param(UNAVAILABLE, "transient", id="503"),
        pytest.param(OVERLOADED, "transient", id="529"),
        pytest.param(CUT, "transient", id="cut"),
        pytest.param(rate_limited(1), "rate_limited", id="429"),
        pytest.param(quota_used_up(int(time.time()) + 3600), "quota", id="quota"),
    ],
)
async def test_a_failure_that_stays_fails_the_turn_and_is_told_as_what_it_is(
    agent: Agent, provider: Provider, fault: object, kind: str
) -> None:
    provider.rewrite([fault])  # type: ignore[list-item]
    turn = await agent.turn("Do it.")
    assert not turn.exited.ok
    assert kind_of(turn) == kind, turn.error
    if fault is CUT:
        # Of what was written before the cut, nobody knows more than an estimate.
        agent.charged = dataclasses.replace(agent.charged, output_tokens=0)
    assert agent.charged == provider.charged
    provider.rewrite([says("Now it works.")])
    turn = await agent.turn("Go on.")
    assert turn.exited.ok
    assert turn.text == "Now it works."
    assert agent.charged == provider.charged


@pytest.mark.parametrize(
    "fault", [pytest.param(rate_limited(1), id="429"), pytest.param(CUT, id="cut")]
)
async def test_a_failure_that_the_agent_overcame_is_a_success(
    agent: Agent, provider: Provider, fault: object
) -> None:
    provider.rewrite([fault, says("It worked after all.")])  # type: ignore[list-item]
    turn = await agent.turn("Do it.")
    assert turn.exited.ok, turn.events
    assert turn.all(w.ErrorReported) == []
    assert turn.all(w.RetryReported)
    assert turn.text.endswith("It worked after all.")
    if fault is CUT:
        known = provider.charged.output_tokens
        agent.charged = dataclasses.replace(agent.charged, output_tokens=known)
    assert agent.charged == provider.charged
