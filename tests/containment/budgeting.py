"""Budgets that are used up, turns that do not heed it, budgets that are raised."""

from __future__ import annotations

from collections.abc import Iterator

from goalfsm.goal.model import Limits
from goalfsm.testing import (
    claims_complete,
    hangs,
    says,
    takes,
    takes_steering,
    uses,
    uses_tool,
)
from goalfsm.testing.turns import Step
from tests.containment.scenario import OBJECTIVE, THREAD, TURN, Row, Stage, scenario, turn_tokens

BUDGET = 3 * TURN


def working(stage: Stage, turns: int) -> None:
    """Add turns that get somewhere."""
    for number in range(1, turns + 1):
        stage.worker.turn(turn_tokens(), uses_tool(), says(f"Step {number}."), takes("1m"))


@scenario(
    "A budget is used up, and raised the next day",
    "The goal ends in a budget that nobody can raise.",
)
def raised(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    working(stage, 4)
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE, tokens=BUDGET)
    stage.clock.advance("1d")
    yield stage.row("three turns and one to wind down", "limited by tokens", most=4)
    assert [run.work.kind for run in stage.worker.runs].count("wind_down") == 1
    stage.budget(THREAD, Limits(tokens=10 * TURN))
    stage.settle(THREAD)
    yield stage.row("when it is raised", "complete", most=1)


@scenario(
    "The running turn winds the work down",
    "Crossing the budget starts one more turn, and one more.",
)
def steered(stage: Stage) -> Iterator[Row]:
    over = (uses(input=2 * TURN, output=TURN, key="over"), takes_steering("10m"), takes("1m"))
    stage.worker.turn(*over, says("Here is where it stands."))
    stage.give(THREAD, OBJECTIVE, tokens=BUDGET)
    stage.clock.advance("1d")
    yield stage.row("in a day", "limited by tokens", most=1, tokens=BUDGET)
    assert "has reached its limit" in stage.worker.runs[0].steered[0][1]


def greedy(minutes: int) -> tuple[Step, ...]:
    """Return a turn that uses a turn's tokens every minute and hears nothing."""
    return tuple(
        step
        for minute in range(minutes)
        for step in (uses(input=TURN, key=str(minute)), takes("1m"))
    )


@scenario(
    "A turn goes on after its budget is used up",
    "One turn burns a hundred times its budget.",
)
def overrun(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    stage.worker.turn(*greedy(24 * 60))
    stage.worker.turn(turn_tokens(), says("Here is where it stands."))
    stage.give(THREAD, OBJECTIVE, tokens=BUDGET)
    stage.clock.advance("1d")
    # The turn that crossed it has 15 minutes to end, then it is ended; one more winds down.
    most = BUDGET + 16 * TURN + TURN
    yield stage.row("in a day", "limited by tokens", most=2, tokens=most)


@scenario(
    "The turn that winds down does not end either",
    "Every last turn is followed by a longer one.",
)
def endless(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    stage.worker.rest(*greedy(24 * 60))
    stage.give(THREAD, OBJECTIVE, tokens=BUDGET)
    stage.clock.advance("2d")
    most = BUDGET + 2 * 16 * TURN
    yield stage.row("in two days", "limited by tokens", most=2, tokens=most)


@scenario(
    "The time budget is used up under a turn that hangs",
    "Nobody looks at the clock while a turn runs.",
)
def timed(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    stage.worker.turn(turn_tokens(), hangs())
    stage.worker.turn(turn_tokens(), says("Here is where it stands."))
    stage.give(THREAD, OBJECTIVE, time="1h")
    stage.clock.advance("1d")
    yield stage.row("in a day", "limited by time", most=2)


@scenario(
    "A limit of continuations, raised",
    "A safety limit that is a dead end.",
)
def continuations(stage: Stage) -> Iterator[Row]:
    working(stage, 5)
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE, continuations=5)
    stage.clock.advance("1d")
    yield stage.row("five turns", "limited by continuations", most=5)
    assert "This is the last of the 5 turns" in stage.worker.prompts[-1]
    stage.budget(THREAD, Limits(continuations=10))
    stage.settle(THREAD)
    yield stage.row("when it is raised", "complete", most=1)


@scenario(
    "Usage is reported twice",
    "Tokens that are charged again with every retry of the report.",
)
def repeated(stage: Stage) -> Iterator[Row]:
    usage = uses(input=TURN - 1_000, output=1_000, key="call-1")
    stage.worker.turn(usage, usage, usage, uses_tool(), claims_complete("it is released"))
    stage.give(THREAD, OBJECTIVE, tokens=BUDGET)
    stage.settle(THREAD)
    yield stage.row("three reports of one call", "complete", most=1)
    assert stage.goal(THREAD).tokens_used == TURN
