"""What scripted turns do to an engine in memory."""

from __future__ import annotations

from collections.abc import Callable
from signal import Signals
from typing import Any, cast

import pytest

from goalfsm import Limits
from goalfsm.testing import (
    GoalClock,
    MemoryGoals,
    ScriptedWorker,
    Stalled,
    acknowledges,
    calls,
    claims_blocked,
    claims_complete,
    crashes,
    does,
    fails,
    hangs,
    journal_lines,
    loses,
    model_call,
    raises,
    says,
    takes,
    takes_steering,
    uses,
    uses_tool,
    waits,
)
from goalfsm.testing.scripted import NoTurn, StepInvalid
from goalfsm.testing.turns import Step
from goalfsm.workers.protocol import Exited, Work
from tests.testing.journals import events


def test_a_failing_provider_is_tried_again(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(fails("Overloaded", status=529, retry_after="5m"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("4m")
    assert memory_goals.status("t").activity_kind == "recovering"
    goal_clock.advance("1m 1s")
    assert memory_goals.goal("t").status == "complete"


def test_until_a_moment_every_run_plays_the_same(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.until("00:30", fails("Overloaded", status=529))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance_to("00:29")
    assert memory_goals.goal("t").status == "active"
    assert len(scripted_worker.runs) > 5
    goal_clock.advance_to("01:00")
    assert memory_goals.goal("t").status == "complete"


def test_a_worker_that_raises_is_a_failure(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(says("a"), raises(ConnectionResetError("peer")))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"
    assert events(memory_goals).count("TimerFired") == 1


def test_a_worker_that_is_killed_says_by_what(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(says("a"), crashes(Signals.SIGSEGV)).rest(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    journal = "\n".join(map(str, journal_lines(memory_goals.journal("t"))))
    assert "RunFinished run-1 turn=1 failed" in journal
    assert "worker was ended by SIGSEGV" in journal


def test_a_lost_run_is_interrupted_not_failed(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(loses()).turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert "RunInterrupted" in events(memory_goals)
    assert "TimerFired" not in events(memory_goals)


def test_a_worker_that_hangs_times_out(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(says("one"), hangs())
    scripted_worker.turn(takes("50s"), takes("50s"), takes("50s"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.limit_turns("t", silence="1m", turn="2m")
    memory_goals.give("t", "Go on")
    goal_clock.advance("59s")
    assert memory_goals.status("t").activity_kind == "running"
    goal_clock.advance("2s")
    assert memory_goals.status("t").activity_kind == "recovering"
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


def test_a_worker_that_hangs_without_a_limit_stalls_the_test(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(hangs())
    memory_goals.give("t", "Go on")
    with pytest.raises(Stalled, match=r"within 3600 s of virtual time; waiting:\n.*LiveRun"):
        memory_goals.settle("t", within="1h")


def test_steering_reaches_the_turn_that_takes_it(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes("10s"), takes_steering(), says("Understood."))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("1m")
    memory_goals.steer("t", "use pytest")
    memory_goals.settle("t")
    assert "use pytest" in scripted_worker.runs[0].steered[0][1]
    assert "SteeringAcknowledged" in events(memory_goals)
    assert memory_goals.session("t").steering == ()
    assert "use pytest" not in scripted_worker.prompts[1]


def test_steering_that_no_turn_takes_is_in_the_next_prompt(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes_steering("5s"), takes("10s"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("6s")
    memory_goals.steer("t", "use pytest")
    memory_goals.settle("t")
    assert scripted_worker.runs[0].steered == []
    assert "use pytest" in scripted_worker.prompts[1]


def test_steering_before_the_turn_is_ready_waits_for_it(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes("10s"), takes_steering("1m"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("1s")
    memory_goals.steer("t", "first")
    memory_goals.steer("t", "second")
    memory_goals.settle("t")
    assert [text for _, text in scripted_worker.runs[0].steered] == [
        text for _, text in scripted_worker.runs[0].steered if "first" in text
    ]
    assert "second" in scripted_worker.prompts[1]


def test_an_acknowledgement_without_a_message_changes_nothing(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(acknowledges("unknown"), says("a")).turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


def test_waits_end_by_a_timer_a_process_or_a_person(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(waits("timer", "10m"))
    scripted_worker.turn(waits("process", pid=4711, note="the build"))
    scripted_worker.turn(waits("event", note="the review"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    goal_clock.advance("9m")
    assert len(scripted_worker.runs) == 1
    goal_clock.advance("1m")
    assert len(scripted_worker.runs) == 2
    goal_clock.advance("1h")
    assert memory_goals.status("t").waits
    memory_goals.end_process(4711)
    assert len(scripted_worker.runs) == 3
    memory_goals.wake("t", "approved")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


def test_goal_tools_answer(memory_goals: MemoryGoals, scripted_worker: ScriptedWorker) -> None:
    scripted_worker.turn(calls("get_goal"), calls("update_goal", status="paused"))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    read, refused, claimed = scripted_worker.results
    assert read.ok
    assert not refused.ok
    assert refused.code == "status_not_allowed"
    assert claimed.ok


def test_blocked_takes_three_turns(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.rest(uses_tool(), says("stuck"), claims_blocked("no access"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "blocked"
    assert len(scripted_worker.runs) == 3


def test_several_model_calls_make_one_run(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(
        model_call(),
        uses(output=10),
        model_call(stop="toolUse"),
        uses_tool(ok=False),
        model_call(),
        uses(output=20, key="second"),
        claims_complete("done"),
        model_call(stop="stop"),
    )
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").tokens_used == 30
    assert events(memory_goals).count("UsageReported") == 2
    assert events(memory_goals).count("RunDispatched") == 1


@pytest.mark.parametrize("step", ["text", None, Exited(ok=True), says])
def test_what_is_no_step_is_refused_where_it_is_written(
    scripted_worker: ScriptedWorker, step: Any
) -> None:
    for write in (scripted_worker.turn, scripted_worker.rest):
        with pytest.raises(StepInvalid, match="is no step of a turn") as caught:
            write(says("a"), step)
        assert "says('text')" in caught.value.hint
    with pytest.raises(StepInvalid):
        scripted_worker.until("02:00", step)
    assert scripted_worker.left == 0


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: fails("Overloaded", status=cast("Any", "529")), "Expected `int | null`"),
        (lambda: waits(cast("Any", "timr"), "1m"), "Invalid enum value 'timr'"),
        (lambda: uses(input=cast("Any", "many")), "Expected `int`"),
    ],
)
def test_a_step_that_no_engine_could_use_is_refused_where_it_is_written(
    scripted_worker: ScriptedWorker, made: Callable[[], Step], why: str
) -> None:
    with pytest.raises(StepInvalid, match="cannot be played") as caught:
        scripted_worker.turn(made())
    assert why in caught.value.message
    assert "goalfsm.workers.protocol" in caught.value.hint


def test_a_turn_can_do_something_of_the_tests_own(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    done: list[str] = []

    async def later(work: Work) -> None:
        done.append(f"later {work.turn}")

    scripted_worker.turn(does(lambda work: done.append(f"now {work.turn}")), does(later))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert done == ["now 1", "later 1"]


def test_a_full_context_is_compacted(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.can |= {"compact"}
    scripted_worker.turn(fails("prompt is too long: 210000 tokens > 200000 maximum", status=400))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"
    assert len(scripted_worker.compactions) == 1


def test_a_compaction_that_fails_pauses(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.can |= {"compact"}
    scripted_worker.compacts = False
    scripted_worker.turn(fails("prompt is too long: 210000 tokens > 200000 maximum", status=400))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").pause_reason == "recovery"


def test_a_used_up_budget_is_wound_down_once(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(uses(output=60), says("a"))
    scripted_worker.turn(uses(output=60), says("b"))
    scripted_worker.turn(says("handing over"))
    memory_goals.give("t", "Go on", tokens=100)
    memory_goals.settle("t")
    assert memory_goals.goal("t").limited_by == "tokens"
    assert [run.work.kind for run in scripted_worker.runs] == [
        "continuation",
        "continuation",
        "wind_down",
    ]
    memory_goals.budget("t", Limits(tokens=1000))
    scripted_worker.turn(claims_complete("done"))
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "complete"


def test_each_thread_can_have_turns_of_its_own(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(says("for b"), claims_complete("b is done"), thread="b")
    scripted_worker.turn(says("for anybody"), claims_complete("a is done"))
    for thread in ("a", "b"):
        memory_goals.give(thread, f"Do {thread}")
    for thread in ("a", "b"):
        memory_goals.settle(thread)
    completion = memory_goals.session("b").completion
    assert completion is not None
    assert completion.evidence[0].text == "b is done"
    assert memory_goals.goal("a").status == "complete"


def test_a_run_without_a_turn_fails_the_test(goal_clock: GoalClock) -> None:
    worker = ScriptedWorker(goal_clock)
    goals = MemoryGoals(goal_clock, worker)
    goals.give("t", "Go on")
    with pytest.raises(NoTurn, match="turn 1 of thread 't'") as caught:
        goals.settle("t")
    worker.check()  # it has been raised
    assert "The work on this thread's goal goes on" in caught.value.message
    assert "more characters" in caught.value.message
    assert "rest()" in caught.value.hint
    goals.close()
