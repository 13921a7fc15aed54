"""Recovery paths as nights: outages, restarts and clocks that are set, on the test kit."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from goalfsm.daemon.flow.replay import replay
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.store.memory import MemoryStore
from goalfsm.testing import (
    claims_complete,
    fails,
    for_each_crash_point,
    says,
    takes,
    uses,
    uses_tool,
    waits,
)

if TYPE_CHECKING:
    from goalfsm.testing import GoalClock, MemoryGoals, ScriptedWorker

DONE = claims_complete("it is there")
OVERLOADED = fails("overloaded", status=529, retry_after="10m")


def events(goals: MemoryGoals, kind: type) -> list[Any]:
    """Return the thread's committed events of one kind, in order."""
    every = (codec.decode_event(row.event) for row in goals.journal("t"))
    return [event for event in every if isinstance(event, kind)]


def holds(goals: MemoryGoals) -> None:
    """Check that nothing is owed any more and that the journal gives the state again."""
    assert goals.disk.open_effects == {}
    assert replay(MemoryStore(goals.disk), "t").ok


def test_a_run_that_a_crash_cut_off_is_interrupted_and_the_goal_goes_on(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(uses(input=5), takes("1000s"), DONE)
    memory_goals.give("t", "do the work")
    goal_clock.advance("1s")
    memory_goals.restart()
    memory_goals.settle("t")
    goal = memory_goals.goal("t")
    assert (goal.status, goal.tokens_used) == ("complete", 10)
    assert ["cut off" in prompt for prompt in scripted_worker.prompts] == [False, True]
    assert len(events(memory_goals, e.RunInterrupted)) == 1
    assert [event.after_crash for event in events(memory_goals, e.EngineStarted)] == [True]
    holds(memory_goals)


def test_death_at_any_point_loses_nothing() -> None:
    """Whatever was committed last, the next engine finishes the goal, with an exact ledger."""

    def scenario(goals: MemoryGoals) -> None:
        goals.configure(verifiers={"check": lambda _goal, _claim: True})
        goals.worker.turn(uses(input=5), uses_tool("t"), says("turn 1"))
        goals.worker.turn(uses(input=5), uses_tool("t"), says("turn 2"), DONE)
        goals.give("t", "x", verifiers=["check"])
        session = goals.settle("t")
        goal = goals.goal("t")
        assert goal.status == "complete"
        reported = events(goals, e.UsageReported)
        assert session.ledger.charged_tokens == goal.tokens_used == 5 * len(reported)
        ended = len(events(goals, e.RunFinished)) + len(events(goals, e.RunInterrupted))
        assert ended == len(events(goals, e.RunDispatched))
        holds(goals)

    assert len(for_each_crash_point(scenario)) > 24


def test_a_retry_keeps_its_time_through_a_restart(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(OVERLOADED)
    scripted_worker.turn(says("b"), DONE)
    memory_goals.give("t", "do the work")
    goal_clock.advance("10s")
    memory_goals.restart()
    goal_clock.advance("9m")
    assert len(scripted_worker.runs) == 1
    memory_goals.settle("t")
    assert f"{goal_clock.now:%H:%M}" == "00:10"


def test_after_a_stop_the_next_engine_goes_on(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes("500s"), says("a"))
    scripted_worker.turn(says("b"), DONE)
    memory_goals.give("t", "do the work")
    goal_clock.advance("1s")
    memory_goals.stop("1s")
    memory_goals.start()
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"
    assert [event.after_crash for event in events(memory_goals, e.EngineStarted)] == [False]


def test_a_goal_paused_between_engines_can_be_resumed_in_the_next(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    """The shutdown's mark does not outlive it, also where the goal is not active any more."""
    scripted_worker.rest(takes("500s"), says("b"), DONE)
    memory_goals.give("t", "do the work")
    memory_goals.stop(0)
    memory_goals.start()
    memory_goals.pause("t")
    memory_goals.stop(0)
    memory_goals.start()
    memory_goals.resume("t")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


@pytest.mark.parametrize(
    ("on_start", "status", "guard"), [("ask", "active", "wait"), ("pause", "paused", "status")]
)
def test_the_policy_says_what_a_restart_means(
    memory_goals: MemoryGoals,
    scripted_worker: ScriptedWorker,
    goal_clock: GoalClock,
    on_start: Any,
    status: str,
    guard: str,
) -> None:
    memory_goals.configure(policy=Policy(on_start=on_start))
    scripted_worker.turn(takes("500s"), says("b"), DONE)
    memory_goals.give("t", "do the work")
    goal_clock.advance("1s")
    memory_goals.restart()
    goal_clock.advance("1h")
    decision = memory_goals.session("t").decision
    assert decision is not None
    assert (memory_goals.goal("t").status, decision.guard) == (status, guard)
    assert len(scripted_worker.runs) == 1


def test_verifiers_of_an_open_claim_run_again_after_a_crash(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    asked: list[str] = []

    async def slow(_goal: Any, _claim: Any) -> bool:
        asked.append("slow")
        await asyncio.sleep(50)
        return True

    memory_goals.configure(verifiers={"slow": slow})
    scripted_worker.turn(says("a"), DONE)
    memory_goals.give("t", "x", verifiers=["slow"], continuations=5)
    goal_clock.advance("10s")
    memory_goals.restart()
    memory_goals.settle("t")
    goal = memory_goals.goal("t")
    assert (goal.status, goal.continuations) == ("complete", 1)
    assert asked == ["slow", "slow"]
    assert len(events(memory_goals, e.VerificationFinished)) == 1


# Wall clocks that are set.


@pytest.mark.parametrize("by", [3_600, -3_600])
def test_a_retry_waits_as_long_as_it_was_told(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock, by: int
) -> None:
    scripted_worker.turn(fails("overloaded", status=529, retry_after="2m"))
    scripted_worker.turn(says("b"), DONE)
    memory_goals.give("t", "do the work")
    goal_clock.advance("10s")
    goal_clock.jump(by)
    memory_goals.settle("t")
    assert 120 <= goal_clock.loop.time() < 180
    assert [event.by_ms for event in events(memory_goals, e.ClockAdjusted)] == [by * 1000]
    holds(memory_goals)


@pytest.mark.parametrize("by", [3_600, -3_600])
def test_a_running_turn_is_charged_the_time_it_took(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock, by: int
) -> None:
    scripted_worker.turn(takes("60s"), says("a"), DONE)
    memory_goals.give("t", "x", time="10m")
    goal_clock.advance("30s")
    goal_clock.jump(by)
    memory_goals.settle("t")
    goal = memory_goals.goal("t")
    assert (goal.status, goal.active_seconds) == ("complete", 60)


@pytest.mark.goal_clock("2026-03-14 02:00")
def test_a_named_time_of_day_comes_when_the_clock_says_so(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    at_four = goal_clock.now + timedelta(hours=2)
    scripted_worker.turn(says("a"), waits("timer", until=at_four))
    scripted_worker.turn(says("b"), DONE)
    memory_goals.give("t", "do the work")
    goal_clock.advance("100s")
    goal_clock.jump("1h")
    memory_goals.settle("t")
    assert 3_600 <= goal_clock.loop.time() < 3_610
    assert f"{goal_clock.now:%H:%M}" == "04:00"
