"""What the work waits for, and when the thread has to be looked at by itself."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Limits
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.session.work import next_wake
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def waits(kind: str, **fields: object) -> CheckedThread:
    """Return a thread whose first turn declared a wait and ended."""
    thread = started()
    thread.dispatch()
    if "in_s" in fields:
        fields["until_ms"] = thread.now_ms + 1000 * int(fields.pop("in_s"))  # type: ignore[call-overload]
    thread.do(e.WaitDeclared(kind=kind, run_token="token-1", **fields))  # type: ignore[arg-type]
    thread.end()
    return thread


def fire(thread: CheckedThread) -> None:
    """Let the timer fire that is due next."""
    assert thread.wake is not None
    thread.now_ms += thread.wake
    thread.do(e.TimerFired())


def test_a_thread_without_a_goal_sleeps() -> None:
    assert next_wake(CheckedThread().session) is None


def test_no_turn_is_dispatched_before_the_timer() -> None:
    thread = waits("timer", in_s=90, note="the build")
    assert (thread.sent(), thread.decision) == (1, ("wait", "wait"))
    assert thread.session.decision is not None
    assert thread.session.decision.reason == "the build"
    assert thread.session.decision.until_ms == thread.now_ms + 90_000
    assert thread.wake == 90_000
    fire(thread)
    assert thread.sent() == 2
    assert thread.session.notices == ("woken:the time has come (the build)",)
    assert thread.wake is None


def test_a_timer_that_fires_early_ends_nothing() -> None:
    thread = waits("timer", in_s=90)
    thread.advance(89)
    thread.do(e.TimerFired())
    assert thread.session.waits
    assert thread.sent() == 1


def test_a_timer_in_the_past_is_due_at_once() -> None:
    thread = waits("timer", in_s=-5)
    assert thread.wake == -5_000
    thread.do(e.TimerFired())
    assert thread.sent() == 2


def test_an_event_is_waited_for_only_so_long() -> None:
    thread = waits("event", in_s=10)
    fire(thread)
    assert thread.session.notices == ("woken:it was waited for long enough",)


def test_an_event_without_an_end_is_waited_for() -> None:
    thread = waits("event")
    assert thread.wake is None
    assert thread.decision == ("wait", "wait")
    thread.do(e.WakeRequested(note="CI is green"))
    assert thread.session.notices == ("woken:CI is green",)
    assert thread.sent() == 2


def test_the_end_of_the_process_ends_the_wait() -> None:
    thread = waits("process", pid=4711, started="then", note="training")
    watched = [x for x in thread.effects if isinstance(x, f.WatchProcess)]
    assert watched == [f.WatchProcess(pid=4711, started="then")]
    thread.do(e.ProcessEnded(pid=12))
    assert thread.session.waits
    thread.do(e.ProcessEnded(pid=4711))
    assert thread.session.notices == ("woken:process 4711 has ended (training)",)
    assert thread.sent() == 2


def test_a_process_that_nobody_waits_for_ends_nothing() -> None:
    thread = waits("timer", in_s=5)
    before = thread.session.waits
    thread.do(e.ProcessEnded(pid=4711))
    assert thread.session.waits == before


def test_a_person_wakes_what_waits_for_them() -> None:
    thread = waits("person", note="which region?")
    thread.do(e.WakeRequested())
    assert thread.session.notices == ("woken:somebody ended the wait (which region?)",)
    assert thread.sent() == 2


def test_nothing_is_woken_that_does_not_wait() -> None:
    thread = started()
    thread.do(e.WakeRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "not_waiting")


@pytest.mark.parametrize(
    "wait",
    [
        e.WaitDeclared(kind="timer"),
        e.WaitDeclared(kind="process"),
        e.WaitDeclared(kind="process", pid=0),
    ],
)
def test_a_wait_for_nothing_is_refused(wait: e.WaitDeclared) -> None:
    thread = started()
    thread.do(wait)
    assert (thread.reply.ok, thread.reply.code) == (False, "wait_invalid")
    assert not thread.session.waits


def test_only_an_active_goal_waits() -> None:
    thread = CheckedThread()
    thread.do(e.WaitDeclared(kind="event"))
    assert thread.reply.code == "status_not_allowed"
    thread.give()
    thread.do(e.PauseRequested(), e.WaitDeclared(kind="event"))
    assert thread.reply.code == "status_not_allowed"


def test_the_wait_of_an_old_run_is_refused() -> None:
    thread = started()
    thread.do(e.WaitDeclared(kind="event", run_token="token-0"))
    assert thread.reply.code == "stale_run"
    assert not thread.session.waits


def test_a_wait_that_is_over_before_the_turn_is_does_not_delay_the_next_one() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="event", run_token="token-1"))
    thread.do(e.WakeRequested())
    assert thread.sent() == 1
    thread.end()
    assert thread.sent() == 2


def test_resume_ends_a_wait() -> None:
    thread = waits("event")
    thread.do(e.PauseRequested(), e.ResumeRequested())
    assert not thread.session.waits
    assert thread.sent() == 2


def test_a_paused_goal_is_not_woken_by_its_wait() -> None:
    thread = waits("timer", in_s=90)
    thread.do(e.PauseRequested())
    assert thread.wake is None


def test_the_earliest_of_all_times_wakes_the_thread() -> None:
    thread = started(limits=Limits(seconds=30))
    thread.dispatch()
    assert thread.wake == 30_000
    thread.do(e.WaitDeclared(kind="timer", until_ms=thread.now_ms + 20_000))
    assert thread.wake == 20_000


def test_a_time_budget_ends_to_the_millisecond() -> None:
    """The wake-up comes when the last second is full, whatever was charged in between."""
    thread = started(limits=Limits(seconds=10))
    thread.dispatch()
    thread.advance(2.75)
    thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 2
    assert thread.wake == 7_250
    thread.advance(7.249)
    thread.do(e.TimerFired())
    assert thread.status == "active"
    assert thread.wake == 1
    fire(thread)
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "time")
    assert thread.wake == 900_000  # by then the turn has to be over
    assert thread.sent("wind_down") == 1


def test_a_stopped_clock_needs_no_wake_up() -> None:
    thread = started(limits=Limits(seconds=10))
    assert thread.wake is None


def test_a_time_budget_that_is_used_up_already_needs_no_wake_up() -> None:
    """Loaded while a turn runs: the turn's end decides, no timer fires until then."""
    thread = CheckedThread(Policy.reference())
    thread.do(e.HostChanged(idle=False))
    goal = started(limits=Limits(seconds=1)).goal
    spent = SetEntry(source="runtime", goal=replace(goal, active_seconds=5))
    thread.do(e.SessionStarted(history=(spent,)))
    assert thread.session.clock.goal_id == goal.goal_id
    assert thread.wake is None


def test_a_clock_that_was_set_moves_durations_but_not_times_of_day() -> None:
    thread = started()
    thread.dispatch()
    at = thread.now_ms + 60_000
    thread.do(e.WaitDeclared(kind="timer", until_ms=at))
    thread.do(e.ClockAdjusted(by_ms=3_600_000))
    assert thread.session.waits
    assert thread.session.waits[0].until_ms == at
    thread.do(e.WaitDeclared(kind="timer", until_ms=at, relative=True))
    thread.do(e.ClockAdjusted(by_ms=3_600_000))
    assert thread.session.waits[0].until_ms == at + 3_600_000
    assert thread.session.waits[0].since_ms == thread.now_ms + 3_600_000


def test_a_clock_that_was_set_charges_nobody() -> None:
    thread = started()
    thread.dispatch()
    thread.advance(4)
    thread.do(e.ClockAdjusted(by_ms=3_600_000))
    thread.advance(3600)
    thread.end()
    assert thread.goal.active_seconds == 4


def test_a_clock_that_was_set_moves_the_schedule_of_retries() -> None:
    thread = started()
    thread.dispatch()
    thread.fail()
    due = thread.wake
    assert due is not None
    first = thread.session.retry.first_failure_ms
    assert first is not None
    thread.do(e.ClockAdjusted(by_ms=-7_000))
    assert thread.wake == due - 7_000
    assert thread.session.retry.first_failure_ms == first - 7_000


def test_a_clock_that_was_set_changes_nothing_else() -> None:
    thread = started()
    thread.dispatch()
    started_ms = thread.session.run.started_ms if thread.session.run else 0
    thread.do(e.WaitDeclared(kind="event"), e.ClockAdjusted(by_ms=5))
    assert thread.session.run is not None
    assert thread.session.run.started_ms == started_ms + 5
    assert thread.session.waits
    assert thread.session.waits[0].until_ms is None
    idle = CheckedThread()
    idle.do(e.ClockAdjusted(by_ms=5))
    assert idle.session == CheckedThread().session


def test_the_model_declares_a_wait_with_its_tool() -> None:
    thread = started()
    thread.dispatch()
    reply = thread.call("wait", **{"for": "timer", "seconds": 600, "note": "the build"})
    assert (reply.ok, reply.code) == (True, "waiting")
    thread.end()
    assert thread.wake is not None
    assert thread.sent() == 1
