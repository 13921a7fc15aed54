"""Turns that go on after a budget was used up under them: they are ended, and nothing is lost."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Limits, Usage
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.work import under_way
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

MINUTE = 60_000


def crossed(*, can_steer: bool = False, policy: Policy | None = None) -> CheckedThread:
    """Return a thread whose running turn has just used the token budget up."""
    thread = started(policy, limits=Limits(tokens=100))
    thread.dispatch(*(("steer",) if can_steer else ()))
    thread.use(150)
    assert (thread.status, thread.session.wind_down) == ("budgetLimited", "owed")
    return thread


def due(thread: CheckedThread) -> int | None:
    """Return in how many milliseconds the thread is woken."""
    return thread.wake


def fall_due(thread: CheckedThread) -> list[f.EndRun]:
    """Let the next wake-up come; return the runs that it ended."""
    wake = due(thread)
    assert wake is not None
    thread.now_ms += wake
    thread.do(e.TimerFired())
    return thread.asked(f.EndRun)


def test_a_turn_that_ends_in_time_is_left_alone() -> None:
    thread = crossed()
    assert due(thread) == 15 * MINUTE
    thread.advance(600)
    thread.end()
    assert due(thread) is None
    assert not [effect for effect in thread.effects if isinstance(effect, f.EndRun)]


def test_a_turn_that_goes_on_is_ended_and_winds_down() -> None:
    """What it cost meanwhile is counted; one turn of its own says where the work stands."""
    thread = crossed()
    thread.advance(300)
    thread.use(1_000)
    assert due(thread) == 10 * MINUTE
    (ended,) = fall_due(thread)
    assert (ended.run_id, ended.reason) == (
        "run-1",
        "the tokens budget is used up, and the turn went on",
    )
    thread.interrupt(ended.reason)
    assert (thread.status, thread.session.wind_down) == ("budgetLimited", "owed")
    assert thread.goal.tokens_used == 1_150
    thread.dispatch()
    run = thread.session.run
    assert run is not None
    assert run.notices == (f"interrupted:{ended.reason}",)
    thread.end()
    assert (thread.session.wind_down, due(thread), thread.sent()) == ("done", None, 1)


def test_a_turn_that_was_told_to_wind_down_and_does_not_is_the_last() -> None:
    thread = crossed(can_steer=True)
    thread.do(e.WindDownDelivered(run_id="run-1"))
    (ended,) = fall_due(thread)
    thread.interrupt(ended.reason)
    assert (thread.session.wind_down, due(thread)) == ("done", None)


def test_a_wind_down_turn_has_as_long() -> None:
    thread = crossed(policy=Policy(overrun_s=60.0))
    thread.end()
    thread.dispatch()
    assert due(thread) == MINUTE
    (ended,) = fall_due(thread)
    thread.interrupt(ended.reason)
    assert (thread.session.wind_down, due(thread)) == ("done", None)


def test_it_is_ended_once() -> None:
    thread = crossed()
    assert len(fall_due(thread)) == 1
    assert due(thread) is None
    thread.do(e.TimerFired())
    assert thread.asked(f.EndRun) == []


def test_more_budget_lets_it_go_on() -> None:
    thread = crossed()
    thread.do(e.BudgetChanged(limits=Limits(tokens=1_000)))
    assert (thread.status, due(thread)) == ("active", None)
    thread.advance(3_600)
    thread.do(e.TimerFired())
    assert thread.asked(f.EndRun) == []
    thread.use(900)
    assert (thread.status, due(thread)) == ("budgetLimited", 15 * MINUTE)


def test_a_goal_that_is_replaced_meanwhile_ends_its_own_run() -> None:
    thread = crossed()
    thread.give("Another", replace=True)
    assert due(thread) is None
    thread.advance(3_600)
    thread.do(e.TimerFired())
    assert thread.asked(f.EndRun) == []


def test_a_wall_clock_that_is_set_does_not_shorten_it() -> None:
    thread = crossed()
    thread.now_ms += 3_600_000
    thread.do(e.ClockAdjusted(by_ms=3_600_000))
    assert due(thread) == 15 * MINUTE


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf")])
def test_how_long_is_a_time_that_ends(seconds: float) -> None:
    with pytest.raises(ValueError, match="durations"):
        Policy(overrun_s=seconds)


@pytest.mark.parametrize("ends", [e.CompletionRequested(), e.ClearRequested()])
def test_a_goal_that_is_limited_no_more_owes_no_wind_down(ends: e.Event) -> None:
    """What is owed ends with the limit: a complete goal would be looked after for ever."""
    thread = crossed()
    thread.end()
    assert thread.session.wind_down == "owed"
    thread.do(ends)
    assert thread.session.wind_down in {"none", "done"}
    assert not under_way(thread.session)


STOPS = {
    "paused": e.PauseRequested(),
    "blocked": e.BlockRequested(),
    "complete": e.CompletionRequested(),
}


@pytest.mark.parametrize("status", STOPS)
def test_a_turn_of_a_goal_that_has_stopped_is_ended_in_time(status: str) -> None:
    thread = started()
    thread.dispatch()
    thread.do(STOPS[status])
    assert (thread.status, due(thread)) == (status, 15 * MINUTE)
    (ended,) = fall_due(thread)
    assert (ended.run_id, ended.reason) == (
        "run-1",
        f"the goal is {status}, and the turn went on",
    )
    thread.interrupt(ended.reason)
    assert (thread.status, due(thread), thread.sent()) == (status, None, 1)


@pytest.mark.parametrize("status", STOPS)
def test_a_turn_that_is_never_to_be_ended_goes_on(status: str) -> None:
    thread = started(Policy(end_overrun=False))
    thread.dispatch()
    thread.do(STOPS[status])
    assert due(thread) is None


def test_a_goal_that_is_taken_up_again_goes_on_with_its_turn() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.PauseRequested())
    thread.advance(600)
    thread.do(e.ResumeRequested())
    thread.advance(600)
    thread.do(e.TimerFired())
    assert not thread.asked(f.EndRun)
    thread.do(e.PauseRequested())
    assert due(thread) == 15 * MINUTE


@pytest.mark.parametrize("budget", [Limits(tokens=100), Limits(cost=100)])
def test_a_complete_goals_turn_is_ended_when_it_uses_a_budget_up(budget: Limits) -> None:
    thread = started(limits=budget)
    thread.dispatch()
    thread.do(e.CompletionRequested())
    thread.use(50, cost=50)
    assert not thread.asked(f.EndRun)
    thread.use(60, cost=60)
    (ended,) = thread.asked(f.EndRun)
    assert ended.reason.startswith("the goal is complete, and the turn used the ")
    thread.use(60)
    assert not thread.asked(f.EndRun)
    assert thread.reply.code == "stale_run"


def test_late_use_of_an_earlier_run_ends_nothing() -> None:
    thread = started(limits=Limits(tokens=100))
    thread.turn()
    thread.dispatch("steer")
    thread.use(110)
    thread.claim_complete()
    assert thread.status == "complete"
    late = Usage(input_tokens=7)
    thread.do(e.UsageReported(run_id="run-1", run_token="token-1", key="late", usage=late))
    assert thread.reply.code == "stale_run"
    assert not thread.asked(f.EndRun)


def test_a_complete_goals_turn_without_budgets_uses_what_it_uses() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.CompletionRequested())
    thread.use(10**6)
    assert not thread.asked(f.EndRun)
    endless = started(Policy(end_overrun=False), limits=Limits(tokens=10))
    endless.dispatch()
    endless.do(e.CompletionRequested())
    endless.use(100)
    assert not endless.asked(f.EndRun)


@pytest.mark.parametrize("status", STOPS)
def test_a_goal_that_has_stopped_waits_for_nothing(status: str) -> None:
    thread = started()
    thread.do(e.WaitDeclared(kind="process", pid=77))
    thread.do(STOPS[status])
    assert thread.session.waits == ()
    thread.do(e.ProcessEnded(pid=77))
    assert (thread.status, thread.session.notices) == (status, ())


def test_a_pause_can_end_the_turn_at_once() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.PauseRequested(now=True))
    (ended,) = thread.asked(f.EndRun)
    assert (thread.status, ended.reason) == ("paused", "a person paused the goal, at once")
    thread.do(e.PauseRequested(now=True))
    assert not thread.asked(f.EndRun)
    none = started()
    none.do(e.PauseRequested(now=True))
    assert (none.status, none.asked(f.EndRun)) == ("paused", [])
    gone = CheckedThread()
    gone.do(e.PauseRequested(now=True))
    assert gone.reply.code == "no_goal"


def test_the_time_to_wind_down_begins_when_the_turn_has_been_told() -> None:
    thread = crossed(can_steer=True)
    thread.advance(600)
    thread.do(e.WindDownDelivered(run_id="run-1"))
    assert due(thread) == 15 * MINUTE


def test_the_last_continuation_gets_no_turn_more_to_wind_down() -> None:
    thread = started(limits=Limits(tokens=100, continuations=1))
    thread.dispatch()
    thread.use(150)
    assert (thread.status, thread.session.wind_down) == ("budgetLimited", "done")


def test_a_turn_whose_goal_is_taken_up_again_is_bounded_no_longer() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.PauseRequested())
    assert thread.session.run is not None
    assert thread.session.run.ends_ms is not None
    thread.do(e.ResumeRequested())
    assert thread.session.run is not None
    assert thread.session.run.ends_ms is None


def test_a_goal_that_is_not_worked_on_waits_for_nothing() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="event", run_token="token-1"))
    assert len(thread.session.waits) == 1
    thread.do(e.PauseRequested())
    assert thread.session.waits == ()
