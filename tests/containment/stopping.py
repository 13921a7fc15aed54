"""Stops that are refused: by a tool, by a rule of the embedder's, by a store without room."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from goalfsm.errors import DiskFull
from goalfsm.goal.machine import GUARDS, TRANSITIONS, GoalMachine, goal_machine
from goalfsm.session import events as e
from goalfsm.store.port import Commit, Done, Outcome
from goalfsm.testing import claims_complete, does, says, takes, uses_tool
from goalfsm.testing.turns import Step
from goalfsm.workers.protocol import Text, Work
from tests.containment.scenario import OBJECTIVE, THREAD, TURN, Row, Stage, scenario, turn_tokens


def refusing(trigger: str) -> GoalMachine:
    """Return a machine in which a rule of the embedder's is against one trigger."""
    rows = [
        row._replace(when="never") if (row.trigger, row.source) == (trigger, "active") else row
        for row in TRANSITIONS
    ]
    return goal_machine(rows, guards={**GUARDS, "never": lambda _: False})


def busy(stage: Stage, *steps: Step) -> None:
    """Let every turn do ``steps`` and say something that no other turn says."""
    numbers = count(1)

    def turn() -> tuple[Step, ...]:
        return (turn_tokens(), *steps, Text(text=f"Attempt {next(numbers)}."), takes("1s"))

    for _ in range(200):
        stage.worker.turn(*turn())


@scenario(
    "The tool that claims completion fails",
    "Thousands of retries, because a hook refused the tool that stops the work.",
)
def tool(stage: Stage) -> Iterator[Row]:
    busy(stage, uses_tool("update_goal", ok=False))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "A rule refuses every claim of completion",
    "The same claim, refused again and again, all night.",
    machine=refusing("complete"),
)
def claim(stage: Stage) -> Iterator[Row]:
    busy(stage, uses_tool(), claims_complete("it works"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("8h")
    yield stage.row("in 8 hours", "paused (no_progress)", most=3)


@scenario(
    "A rule refuses the pause",
    "Pause was pressed, and the work went on.",
    machine=refusing("pause"),
)
def pause(stage: Stage) -> Iterator[Row]:
    busy(stage, uses_tool(), takes("1m"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("30s")
    assert stage.pause(THREAD).code == "suspended"
    yield stage.row("until the pause", "running a turn", most=1)
    stage.clock.advance("4h")
    stage.restart()
    stage.clock.advance("4h")
    yield stage.row("8 hours and a restart later", "waiting on a person", most=0)
    stage.wake(THREAD, "go on")
    stage.clock.advance("30s")
    yield stage.row("when a person says go on", "running a turn", most=1)


class Disk:
    """Room in the store of an engine: none while it is full."""

    def __init__(self, stage: Stage) -> None:
        """Stand between the running engine and its store."""
        self.full = False
        store: Any = stage.engine._parts.store
        self._commit = store.commit
        store.commit = self._write

    def _write(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        if self.full:
            raise DiskFull("no space left on the device")
        outcomes: list[Outcome] = self._commit(batch, done=done)
        return outcomes


@scenario(
    "Paused when only the turn to wind down is left",
    "Pause was pressed, and one more turn ran.",
)
def before_the_last(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    busy(stage, uses_tool(), takes("1m"))
    stage.give(THREAD, OBJECTIVE, tokens=TURN)
    stage.clock.advance("30s")
    yield stage.row("the turn that used the budget up", "limited by tokens", most=1)
    stage.pause(THREAD)
    stage.clock.advance("8h")
    yield stage.row("paused meanwhile", "limited by tokens", most=0)


@scenario(
    "The store has no room for the pause",
    "The disk is full, so the stop is lost and the work goes on.",
)
def store(stage: Stage) -> Iterator[Row]:
    stage.start()
    disk = Disk(stage)

    def fill(_: Work) -> None:
        disk.full = True

    busy(stage, uses_tool(), takes("1m"), does(fill), takes("1m"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("90s")
    assert stage.pause(THREAD).code == "suspended"
    yield stage.row("until the pause", "running a turn", most=1)
    stage.clock.advance("8h")
    assert e.PauseRequested not in {type(event) for event in stage.events()}
    yield stage.row("8 hours with a full disk", "running a turn", most=0)
    disk.full = False
    stage.clock.advance("1m")
    assert e.PauseRequested in {type(event) for event in stage.events()}
    yield stage.row("when there is room again", "paused (user)", most=0)


@scenario(
    "The goal is cleared in the middle of a turn",
    "Work goes on for a goal that nobody has any more.",
)
def cleared(stage: Stage) -> Iterator[Row]:
    busy(stage, uses_tool(), takes("8h"))
    stage.give(THREAD, OBJECTIVE)
    stage.clock.advance("1m")
    yield stage.row("until it is cleared", "running a turn", most=1)
    stage.clear(THREAD)
    stage.clock.advance("8h")
    assert stage.worker.runs[0].ended_ms == stage.clock.now_ms - 8 * 3_600_000
    yield stage.row("8 hours later", "no goal", most=0)


@scenario(
    "The goal is replaced while it is wound down",
    "The end of the old goal's last turn stops the new goal.",
)
def replaced(stage: Stage) -> Iterator[Row]:
    stage.worker.can -= {"steer"}
    stage.worker.turn(turn_tokens(), uses_tool(), says("It grows."), takes("1m"))
    stage.worker.turn(turn_tokens(), uses_tool(), takes("8h"))
    stage.worker.turn(turn_tokens(), uses_tool(), claims_complete("the other one is done"))
    stage.give(THREAD, OBJECTIVE, tokens=TURN)
    stage.clock.advance("2m")
    yield stage.row("one turn, and one to wind down", "limited by tokens", most=2)
    stage.give(THREAD, "Release version 3", replace=True)
    stage.settle(THREAD)
    yield stage.row("the new goal", "complete", most=1)
