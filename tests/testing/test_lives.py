"""The lives of an engine in memory: crashes, shutdowns, faults, and its end."""

from __future__ import annotations

import contextlib
import io

import pytest
import structlog

from goalfsm import default_machine
from goalfsm.errors import GoalError
from goalfsm.goal.compiler import Row
from goalfsm.session import events as e
from goalfsm.testing import (
    CrashPoints,
    GoalClock,
    MemoryGoals,
    ScriptedWorker,
    claims_complete,
    hangs,
    says,
    takes,
    uses,
    waits,
)
from goalfsm.testing.engine import EngineFault
from tests.testing.journals import events


def test_a_crash_interrupts_the_turn_and_it_is_played_again(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(uses(output=10), takes("1h"), says("a"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("30m")
    memory_goals.restart(after="5m")
    assert memory_goals.lives == 2
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"
    assert len(scripted_worker.runs) == 3
    assert memory_goals.goal("t").tokens_used == 20
    assert "cut off" in scripted_worker.prompts[1]


def test_a_crashed_engine_does_nothing_until_it_is_started(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(waits("timer", "10m")).turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("1m")
    memory_goals.crash()
    goal_clock.advance("1h")
    assert not memory_goals.running
    assert len(scripted_worker.runs) == 1
    assert memory_goals.goal("t").status == "active"
    with pytest.raises(GoalError, match="the engine is down"):
        memory_goals.pause("t")
    with pytest.raises(GoalError, match="the engine is down") as caught:
        _ = memory_goals.engine
    assert "start()" in caught.value.hint
    engine = memory_goals.start()
    assert memory_goals.start() is engine is memory_goals.engine
    goal_clock.settle()
    assert memory_goals.goal("t").status == "complete"


def test_a_shutdown_gives_turns_their_grace(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes("20s"), says("a"))
    scripted_worker.turn(takes("20s"), says("b"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("5s")
    memory_goals.stop("30s")
    assert "RunFinished" in events(memory_goals)
    memory_goals.start()
    goal_clock.advance("5s")
    memory_goals.stop("1s")
    assert events(memory_goals).count("RunInterrupted") == 1
    memory_goals.stop()
    memory_goals.start()
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


@pytest.mark.parametrize("remembers", [True, False])
def test_a_worker_that_remembers_tells_how_the_run_ended(
    crash_points: CrashPoints, *, remembers: bool
) -> None:
    """The engine dies between a turn's end and its record; only a probe can tell of it."""
    runs: list[int] = []

    def scenario(goals: MemoryGoals) -> None:
        goals.worker.can |= {"probe"} if remembers else frozenset()
        goals.worker.turn(uses(output=10), claims_complete("done"))
        goals.give("t", "Go on")
        goals.settle("t")
        assert goals.goal("t").status == "complete"
        runs.append(len([name for name in events(goals) if name == "RunInterrupted"]))

    points = crash_points.list(scenario)
    unrecorded = next(p for p in points if p.what.startswith("before the commit of RunFinished"))
    crash_points.run(scenario, unrecorded.number)
    assert runs == [0, 0 if remembers else 1]


def test_a_fault_inside_the_engine_fails_the_test(goal_clock: GoalClock) -> None:
    def broken(_: object) -> bool:
        raise ZeroDivisionError("a guard of the embedder's")

    machine = default_machine().extended(
        [Row("escalate", "active", "blocked", when="broken")], guards={"broken": broken}
    )
    goals = MemoryGoals(goal_clock, machine=machine)
    goals.worker.turn(hangs())
    goals.give("t", "Go on")
    goals.check()
    send = goals.engine._parts.threads.send
    goal_clock.loop.call_soon(send, "t", e.TriggerFired(trigger="escalate"))
    goal_clock.settle()
    with pytest.raises(EngineFault, match="ZeroDivisionError inside the engine: a guard"):
        goals.check()
    goals.close()


def test_logs_go_to_the_stderr_of_the_moment(
    goal_clock: GoalClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first engine of a process may be made while a test has replaced stderr."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.reset_defaults()
    try:
        first = io.StringIO()
        with contextlib.redirect_stderr(first):
            goals = MemoryGoals(goal_clock)
            goals.worker.rest(hangs())
            goals.give("t", "Go on")
            goal_clock.settle()
        first.close()
        goals.restart()
        assert "run was interrupted" in capsys.readouterr().err
        goals.close()
    finally:
        structlog.reset_defaults()
        if before is not None:
            structlog.configure(**before)


def test_goals_are_closed_once_and_for_all(goal_clock: GoalClock) -> None:
    goals = MemoryGoals(goal_clock)
    goals.worker.turn(hangs())
    goals.give("t", "Go on")
    goals.close()
    goals.close()
    assert not goals.running
