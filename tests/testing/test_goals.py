"""An engine in memory: what a test does with it, and what its scripted turns do to it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
import structlog
from freezegun import freeze_time

from goalfsm import Limits, Policy, Verifier, default_machine
from goalfsm import events as e
from goalfsm.compiler import Row
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.testing import (
    CrashPoints,
    GoalClock,
    MemoryGoals,
    Refused,
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
from goalfsm.testing.engine import EngineFault
from goalfsm.testing.scripted import NoTurn, StepInvalid
from goalfsm.workers.protocol import Exited, Work


def events(goals: MemoryGoals, thread: str = "t") -> list[str]:
    return [type(codec.decode_event(row.event)).__name__ for row in goals.journal(thread)]


def test_a_goal_is_worked_on_until_it_is_complete(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(says("Looking."), uses(input=100, output=20), takes("10s"))
    scripted_worker.turn(says("Done."), claims_complete("the tests pass"))
    reply = memory_goals.give("t", "Make the tests pass")
    assert reply.ok
    session = memory_goals.settle("t")
    assert session.goal is not None
    assert session.goal.status == "complete"
    assert session.goal.tokens_used == 120
    assert session.goal.active_seconds == 10
    assert len(scripted_worker.runs) == 2
    assert "Make the tests pass" in scripted_worker.prompts[0]
    assert [result.ok for result in scripted_worker.results] == [True]
    assert scripted_worker.left == 0


def test_no_time_passes_that_the_test_did_not_ask_for(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.turn(takes("1h"))
    began = goal_clock.now
    memory_goals.give("t", "Wait")
    assert goal_clock.now == began
    goal_clock.settle()
    assert memory_goals.status("t").activity_kind == "running"
    assert goal_clock.now == began


@pytest.mark.goal_clock("2026-03-14 02:00")
def test_the_marker_says_when_the_test_begins(
    memory_goals: MemoryGoals, goal_clock: GoalClock, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(hangs())
    memory_goals.give("t", "Wait")
    assert f"{goal_clock.now:%H:%M}" == "02:00"
    assert memory_goals.goal("t").created_at == int(goal_clock.now.timestamp())


def test_an_engine_lives_on_freezeguns_time(
    memory_goals: MemoryGoals, goal_clock: GoalClock, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(waits("timer", "2h"))
    scripted_worker.turn(claims_complete("it is two hours later"))
    with freeze_time("2026-07-01 12:00", real_asyncio=True):
        memory_goals.give("t", "Wait")
        goal_clock.advance_to("13:59")
        assert memory_goals.goal("t").status == "active"
        goal_clock.advance_to("14:00")
        assert memory_goals.goal("t").status == "complete"
        assert memory_goals.journal("t")[-1].at_ms == goal_clock.now_ms


def test_a_clock_that_is_set_wakes_what_is_due(
    memory_goals: MemoryGoals, goal_clock: GoalClock, scripted_worker: ScriptedWorker
) -> None:
    until = goal_clock.now.replace(hour=8)
    scripted_worker.turn(waits("timer", until=until))
    scripted_worker.turn(claims_complete("it is eight"))
    memory_goals.give("t", "Wait until eight")
    goal_clock.advance("1m")
    assert memory_goals.goal("t").status == "active"
    goal_clock.jump("9h")
    goal_clock.advance("1m")
    assert memory_goals.goal("t").status == "complete"
    assert "ClockAdjusted" in events(memory_goals)


# Turns.


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
    assert "RunFinished run-1 failed" in journal
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
    assert memory_goals.status("t").wait is not None
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
    assert events(memory_goals).count("TurnStarted") == 2
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
    goals.settle("t")
    with pytest.raises(NoTurn, match="turn 1 of thread 't'") as caught:
        worker.check()
    assert "Go on" in caught.value.message
    assert "rest()" in caught.value.hint
    goals.close()


# What people do, and how it is refused.


def test_what_is_refused_raises_with_its_hint(memory_goals: MemoryGoals) -> None:
    with pytest.raises(Refused) as caught:
        memory_goals.pause("t")
    assert caught.value.code == "no_goal"
    assert caught.value.hint
    reply = memory_goals.send("t", e.PauseRequested())
    assert not reply.ok
    with pytest.raises(GoalError, match="has no goal"):
        memory_goals.goal("t")


def test_people_change_their_minds(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.rest(takes("10s"), says("a"))
    memory_goals.give("t", "One")
    goal_clock.advance("5s")
    memory_goals.edit("t", "Two")
    memory_goals.pause("t")
    goal_clock.advance("1m")
    assert len(scripted_worker.runs) == 1
    memory_goals.resume("t")
    goal_clock.advance("5s")
    assert "Two" in scripted_worker.prompts[1]
    memory_goals.give("t", "Three", replace=True)
    goal_clock.advance("5s")
    assert "Three" in scripted_worker.prompts[2]
    memory_goals.clear("t")
    goal_clock.advance("1m")
    assert memory_goals.session("t").goal is None
    assert len(scripted_worker.runs) == 3


def test_a_repeated_id_changes_nothing(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    scripted_worker.turn(hangs())
    given = e.ObjectiveGiven(objective="Go on")
    first = memory_goals.send("t", given, "mine")
    assert memory_goals.send("t", given, "mine") == first
    assert events(memory_goals).count("ObjectiveGiven") == 1


# What an embedder registers.


def test_verifiers_and_callbacks_are_called(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    entered: list[str] = []
    answers = iter(["two tests fail", True])
    memory_goals.configure(
        verifiers={"tests": lambda _goal, _claim: next(answers)},
        callbacks={"tell": lambda call: entered.append(call.status)},
        machine=default_machine().extended(on_enter={"complete": "tell"}),
    )
    scripted_worker.rest(claims_complete("they pass"))
    memory_goals.give("t", "Make the tests pass", verifiers=["tests"], criteria=())
    memory_goals.settle("t")
    assert "two tests fail" in scripted_worker.prompts[1]
    assert memory_goals.goal("t").status == "complete"
    assert entered == ["complete"]


def test_programs_are_functions_that_get_the_arguments(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    called: list[tuple[str, ...]] = []

    async def make(argv: tuple[str, ...]) -> str | None:
        called.append(argv)
        return "2 failed" if len(called) == 1 else None

    memory_goals.configure(programs={"make": make})
    scripted_worker.rest(claims_complete("they pass"))
    memory_goals.give(
        "t", "Make the tests pass", verifiers=[Verifier(kind="command", argv=("make", "test"))]
    )
    memory_goals.settle("t")
    assert "2 failed" in scripted_worker.prompts[1]
    assert called == [("make", "test")] * 2
    assert memory_goals.goal("t").status == "complete"


def test_a_program_that_nobody_named_is_not_run(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    verifier = Verifier(kind="command", argv=("touch", str(touched)))
    scripted_worker.rest(uses_tool(), claims_complete("done"))
    memory_goals.give("t", "Go on", verifiers=[verifier])
    memory_goals.run_until(lambda: bool(memory_goals.session("t").notices), within="1h")
    assert "touch does not exist in this test" in str(memory_goals.session("t"))
    assert not touched.exists()


def test_a_person_accepts_or_rejects(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker, goal_clock: GoalClock
) -> None:
    scripted_worker.rest(claims_complete("look"))
    memory_goals.give("t", "Please me", verifiers=[Verifier(kind="person")])
    goal_clock.settle()
    memory_goals.reject("t", "more colour")
    goal_clock.settle()
    assert "more colour" in scripted_worker.prompts[1]
    memory_goals.accept("t")
    assert memory_goals.goal("t").status == "complete"


def test_a_policy_is_for_new_threads(
    memory_goals: MemoryGoals, scripted_worker: ScriptedWorker
) -> None:
    memory_goals.configure(policy=Policy(blocked_after=1))
    scripted_worker.turn(claims_blocked("no access"))
    memory_goals.give("t", "Go on")
    memory_goals.settle("t")
    assert memory_goals.goal("t").status == "blocked"


# Its lives.


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
    unrecorded = next(p for p in points if p.what.startswith("before the commit of TurnEnded"))
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
    tell = goals.engine.actor("t").tell
    goal_clock.loop.call_soon(tell, e.TriggerFired(trigger="escalate"))
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
