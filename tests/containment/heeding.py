"""What a person says while the work goes on, and turns that go on when all is over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from goalfsm.goal.model import Goal, Verifier
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.session.state import Claim
from goalfsm.testing import (
    calls,
    claims_complete,
    crashes,
    hangs,
    says,
    takes,
    takes_steering,
    uses,
    uses_tool,
    waits,
)
from goalfsm.testing.turns import Step
from tests.containment.scenario import OBJECTIVE, THREAD, TURN, Row, Stage, scenario, turn_tokens

OVERRUN_MINUTES = int(Policy().overrun_s) // 60
DONE = claims_complete("it is released")
EXTRA = TURN // 10
"""What a turn that goes on for no reason uses every minute."""


def on_and_on(minutes: int = 24 * 60) -> Iterator[Step]:
    """Yield the steps of a turn that goes on for ``minutes``, using tokens in each."""
    for minute in range(minutes):
        yield uses(input=EXTRA, key=str(minute))
        yield takes("1m")


async def slowly(_goal: Goal, _claim: Claim) -> bool:
    """Check for 5 minutes."""
    await asyncio.sleep(300)
    return True


@scenario(
    "A turn goes on after its goal is complete",
    "Done, and polishing it all night.",
)
def polishing(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), DONE, *on_and_on())
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    # It has 15 minutes to end, then it is ended.
    most = TURN + OVERRUN_MINUTES * EXTRA
    yield stage.row("in 8 hours", "complete", most=1, tokens=most)


@scenario(
    "A turn uses its budget up after its goal is complete",
    "A complete goal has no budget any more, it seems.",
)
def polishing_greedily(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), DONE, *on_and_on())
    stage.give(THREAD, OBJECTIVE, tokens=TURN + 3 * EXTRA)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "complete", most=1, tokens=TURN + 3 * EXTRA)


@scenario(
    "A turn goes on after its goal is blocked, or paused",
    "Stopped, says the status, and the bill grows.",
)
def stopped(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), *on_and_on())
    stage.worker.turn(turn_tokens(), uses_tool(), *on_and_on())
    most = TURN + (1 + OVERRUN_MINUTES) * EXTRA
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("30s")
    assert stage.send(THREAD, e.BlockRequested(reason="the key is wrong")).ok
    stage.clock.advance("8h")
    yield stage.row("8 hours after a person's block", "blocked", most=1, tokens=most)
    stage.resume(THREAD)
    stage.clock.advance("30s")
    stage.pause(THREAD)
    stage.clock.advance("8h")
    yield stage.row("8 hours after a pause", "paused (user)", most=1, tokens=most)


@scenario(
    "A person interrupts a turn that hangs",
    "It reads the message when it is done, which it never is.",
)
def interrupted(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), hangs())
    stage.worker.turn(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    reply = stage.send(THREAD, e.InterruptRequested(text="Leave that.", message_id="m1"))
    assert reply.ok
    stage.settle(THREAD)
    assert "Leave that." in stage.worker.prompts[-1]
    yield stage.row("the next turn has it at once", "complete", most=2)


@scenario(
    "A message while a completion claim is verified",
    "It was told that the next turn reads it; there was no next turn.",
    verifiers={"tests pass": slowly},
)
def verified(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), uses_tool(), claims_complete("the tests pass"))
    stage.give(THREAD, OBJECTIVE, verifiers=["tests pass"])
    stage.clock.advance("1m")
    yield stage.row("until the claim", "verifying", most=1)
    stage.steer(THREAD, "Section B is missing.")
    stage.settle(THREAD)
    assert "Section B is missing." in stage.worker.prompts[-1]
    yield stage.row("the next turn reads it, and claims", "complete", most=1)


@scenario(
    "A message while a person's acceptance is waited for",
    "Accepted is what nobody had read it for.",
)
def accepted(stage: Stage) -> Iterator[Row]:
    stage.worker.rest(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, OBJECTIVE, verifiers=[Verifier(kind="person")])
    stage.clock.advance("5m")
    asked = stage.session(THREAD).claim
    assert asked is not None
    yield stage.row("until the claim", "waiting on a person", most=1)
    stage.steer(THREAD, "Section B is missing.")
    reply = stage.send(THREAD, e.ClaimAccepted(expected_claim=asked.claim_id))
    assert not reply.ok
    stage.clock.advance("5m")
    assert "Section B is missing." in stage.worker.prompts[-1]
    yield stage.row("the next turn reads it, and claims", "waiting on a person", most=1)
    stage.accept(THREAD)
    yield stage.row("that one is accepted", "complete", most=0)


@scenario(
    "The objective is edited under a turn that claims",
    "The old objective is done, and the new one is complete.",
)
def edited(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    stage.worker.turn(turn_tokens(), uses_tool(), takes("10m"), DONE)
    stage.worker.turn(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, "Delete the old releases")
    stage.clock.advance("1m")
    stage.edit(THREAD, "Delete nothing; list the old releases")
    stage.clock.advance("10m")
    assert stage.worker.results[0].code == "unread"
    stage.settle(THREAD)
    assert "list the old releases" in stage.worker.prompts[-1]
    yield stage.row("the next turn has it, and claims", "complete", most=2)


@scenario(
    "A message to a turn that takes it, and dies",
    "Read by nobody who is alive.",
)
def died(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), takes_steering("10m"), crashes())
    stage.worker.turn(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    stage.steer(THREAD, "Never touch the database.")
    stage.settle(THREAD)
    assert stage.worker.runs[0].steered
    assert "Never touch the database." in stage.worker.prompts[-1]
    yield stage.row("the same turn is told again", "complete", most=1, runs=2)


@scenario(
    "A worker that dies for no known reason",
    "One crash at night, and the goal is paused until the morning; or it is tried for ever.",
)
def crashing(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), crashes())
    stage.worker.turn(turn_tokens(), uses_tool(), says("That works."))
    stage.worker.rest(turn_tokens(), uses_tool(), crashes())
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    retries = Policy().crash_retries
    yield stage.row(
        "once, and then in every turn", "paused (recovery)", most=2, runs=2 + 1 + retries
    )


@scenario(
    "The engine is dead for hours",
    "Eight hours of nothing are charged to a budget of one.",
)
def dead(stage: Stage) -> Iterator[Row]:
    stage.worker.turn(turn_tokens(), uses_tool(), takes("10m"), crashes())
    stage.worker.turn(turn_tokens(), uses_tool(), takes("10m"), DONE)
    stage.give(THREAD, OBJECTIVE, time="1h")
    stage.clock.advance("5m")
    stage.restart("8h")
    stage.settle(THREAD)
    assert stage.goal(THREAD).active_seconds <= 30 * 60
    yield stage.row("the next engine goes on", "complete", most=2, runs=3)


@scenario(
    "Two processes are waited for",
    "The second wait replaces the first, and work goes on too early.",
)
def both(stage: Stage) -> Iterator[Row]:
    two = [waits("process", pid=pid, note=f"build {pid}") for pid in (47, 48)]
    stage.worker.turn(turn_tokens(), says("Both builds run."), *two)
    stage.worker.turn(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1h")
    yield stage.row("in an hour", "waiting on all of 2", most=1)
    stage.end_process(48)
    stage.clock.advance("1h")
    yield stage.row("an hour after one has ended", "waiting on process 47", most=0)
    stage.end_process(47)
    stage.settle(THREAD)
    yield stage.row("when both have ended", "complete", most=1)


@scenario(
    "Something is waited for that outlives the goal",
    "The goal is done, and the engine waits for a server that never ends.",
)
def served(stage: Stage) -> Iterator[Row]:
    server = waits("process", pid=47, note="the development server")
    stage.worker.turn(turn_tokens(), says("The server runs."), server)
    stage.worker.turn(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    stage.wake(THREAD, "the server is up")
    stage.settle(THREAD, within="1m")
    yield stage.row("it is complete, and nothing is waited for", "complete", most=2)


@scenario(
    "The tool is told of a refused claim",
    "A refused claim ends a script, and its exit status the goal.",
)
def refused(stage: Stage) -> Iterator[Row]:
    early = calls("update_goal", status="complete")
    stage.worker.turn(turn_tokens(), uses_tool(), early)
    stage.worker.turn(turn_tokens(), uses_tool(), DONE)
    stage.give(THREAD, OBJECTIVE)
    stage.settle(THREAD)
    assert [one.code for one in stage.worker.results] == ["evidence_missing", "marked"]
    yield stage.row("the next turn claims once more", "complete", most=2)
