"""Budgets: the limits of a goal, the one turn that winds the work down, and what reopens it."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import MAX_COUNT, Limits
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.charging import spent
from tests.session.hosts import started


def test_a_used_up_token_budget_gives_one_wind_down_turn_and_then_nothing() -> None:
    thread = spent(tokens=100)
    thread.use(60)
    assert thread.status == "active"
    thread.use(60)
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "tokens")
    assert thread.asked(f.SendWork) == [
        f.SendWork(kind="wind_down", goal_id="goal-1", deliver_as="steer")
    ]
    assert thread.session.wind_down == "owed"
    thread.end()
    thread.dispatch()
    assert thread.asked(f.StartRun)
    assert thread.session.wind_down == "running"
    thread.use(30)
    thread.end()
    assert thread.session.wind_down == "done"
    assert thread.goal.tokens_used == 150
    assert (thread.sent(), thread.sent("wind_down")) == (1, 1)
    assert thread.decision == ("stop", "status")


def test_a_wind_down_that_the_running_turn_took_is_the_only_one() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.do(e.WindDownDelivered(run_id="run-1"))
    assert thread.session.wind_down == "running"
    thread.end()
    assert thread.session.wind_down == "done"


def test_a_goal_that_was_completed_beyond_its_budget_cannot_be_paused() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.do(e.CompletionRequested())
    reply = thread.do(e.PauseRequested()).reply
    assert reply is not None
    assert not reply.ok
    assert thread.status == "complete"


@pytest.mark.parametrize("run_id", ["run-0", "run-1"])
def test_a_wind_down_that_is_not_owed_is_not_delivered(run_id: str) -> None:
    thread = spent(tokens=100)
    before = thread.session
    thread.do(e.WindDownDelivered(run_id=run_id))
    assert thread.session is before


def test_an_interrupted_wind_down_is_not_repeated() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.end()
    thread.dispatch()
    thread.interrupt()
    assert thread.session.wind_down == "done"


def test_a_wind_down_that_nobody_owes_is_refused() -> None:
    thread = started()
    thread.do(e.RunDispatched(run_id="run", token="token", wind_down=True))
    assert (thread.reply.ok, thread.reply.code) == (False, "nothing_queued")
    assert thread.session.run is None


def test_a_used_up_time_budget_winds_down() -> None:
    thread = spent(seconds=60)
    thread.advance(61)
    thread.do(e.ToolFinished())
    assert thread.goal.limited_by == "time"
    assert thread.sent("wind_down") == 1


def test_a_used_up_cost_budget_winds_down() -> None:
    thread = spent(cost=500)
    thread.use(1, cost=500)
    assert (thread.goal.limited_by, thread.goal.cost_used) == ("cost", 500)
    assert thread.sent("wind_down") == 1


def test_the_last_continuation_is_the_wind_down_of_its_own_limit() -> None:
    """It was told that it is the last; one more turn would be one too many."""
    thread = started(Policy(max_continuations=2))
    thread.turn("one")
    thread.turn("two")
    assert thread.goal.limited_by == "continuations"
    assert thread.session.wind_down == "done"
    assert (thread.sent(), thread.sent("wind_down")) == (2, 0)


def test_a_goals_own_limit_of_continuations_outranks_the_policys() -> None:
    thread = started(Policy(max_continuations=1), limits=Limits(continuations=2))
    thread.turn("one")
    assert thread.status == "active"
    thread.turn("two")
    assert thread.goal.limited_by == "continuations"


def test_what_is_reported_after_the_limit_is_charged_too() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.use(40)
    assert thread.goal.tokens_used == 140
    assert thread.session.ledger.charged_tokens == 140


@pytest.mark.parametrize(
    "event", [e.PauseRequested(), e.EditRequested(objective="Other"), e.TimerFired()]
)
def test_a_limit_is_announced_whatever_the_time_was_charged_for(event: e.Event) -> None:
    thread = spent(seconds=10)
    thread.advance(10)
    thread.do(event)
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "time")
    assert thread.sent("wind_down") == 1
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal == thread.goal
    thread.end()
    assert thread.sent("wind_down") == 1


def test_the_time_of_an_interrupted_run_may_use_the_budget_up() -> None:
    thread = spent(seconds=10)
    ended = thread.now_ms + 10_000
    thread.advance(500)
    thread.interrupt(ended_ms=ended)
    assert (thread.goal.active_seconds, thread.goal.limited_by) == (10, "time")
    assert thread.sent("wind_down") == 1


def test_a_raised_budget_reopens_the_goal() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.end()
    thread.do(e.BudgetChanged(limits=Limits(tokens=300)))
    assert thread.reply.code == "reopened"
    assert (thread.status, thread.goal.token_budget) == ("active", 300)
    assert thread.goal.limited_by is None
    assert thread.session.notices == ("budget_raised",)
    assert thread.session.wind_down == "none"
    assert thread.sent() == 2
    thread.dispatch()
    thread.use(200)
    assert thread.sent("wind_down") == 2


def test_a_budget_can_be_raised_without_taking_the_goal_up_again() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.end()
    sent = thread.sent()
    thread.do(e.BudgetChanged(limits=Limits(tokens=300), reopen=False))
    assert thread.reply.code == "budget_changed"
    assert (thread.status, thread.goal.token_budget) == ("budgetLimited", 300)
    assert thread.goal.limited_by == "tokens"
    assert (thread.session.wind_down, thread.sent()) == ("owed", sent)
    thread.do(e.BudgetChanged(limits=Limits()))
    assert (thread.reply.code, thread.status) == ("reopened", "active")
    assert thread.goal.limited_by is None


def test_a_budget_of_a_goal_that_is_not_limited_is_changed_either_way() -> None:
    thread = spent(tokens=100)
    thread.do(e.BudgetChanged(limits=Limits(tokens=300), reopen=False))
    assert (thread.status, thread.goal.token_budget) == ("active", 300)


def test_a_budget_raised_during_the_wind_down_calls_it_off() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.end()
    thread.dispatch()
    thread.do(e.BudgetChanged(limits=Limits(tokens=300)))
    thread.end()
    assert thread.session.wind_down == "none"
    assert thread.sent() == 2
    thread.dispatch()
    thread.use(200)
    assert thread.session.wind_down == "owed"


def test_a_budget_that_stays_below_the_use_reopens_nothing() -> None:
    thread = spent(tokens=100, cost=50)
    thread.use(100, cost=60)
    thread.do(e.BudgetChanged(limits=Limits(tokens=300)))
    assert (thread.reply.ok, thread.reply.code) == (True, "still_limited")
    assert thread.reply.message == "the budget is changed, but the goal is still limited by cost"
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "cost")
    assert thread.goal.token_budget == 300
    thread.do(e.BudgetChanged(limits=Limits(), unlimited=("cost",)))
    assert thread.reply.code == "reopened"
    assert thread.goal.cost_budget is None


def test_more_continuations_reopen_what_they_limited() -> None:
    thread = started(Policy(max_continuations=1))
    thread.turn("one")
    thread.do(e.BudgetChanged(limits=Limits(tokens=5_000)))
    assert thread.reply.code == "still_limited"
    assert thread.goal.limited_by == "continuations"
    thread.do(e.BudgetChanged(limits=Limits(continuations=1)))
    assert thread.reply.code == "still_limited"
    thread.do(e.BudgetChanged(limits=Limits(continuations=2)))
    assert thread.reply.code == "reopened"
    thread.turn("two")
    thread.do(e.BudgetChanged(limits=Limits(continuations=0)))
    assert thread.reply.code == "reopened"
    thread.turn("three")
    assert thread.status == "active"


def test_any_number_of_continuations_is_asked_for_in_words_too() -> None:
    thread = started(Policy(max_continuations=1))
    thread.turn("one")
    thread.do(e.BudgetChanged(limits=Limits(), unlimited=("continuations",)))
    assert thread.reply.code == "reopened"
    assert thread.goal.max_continuations == 0


def test_a_budget_that_was_lowered_below_the_use_limits_the_goal_at_once() -> None:
    thread = spent(tokens=1_000)
    thread.use(400)
    thread.do(e.BudgetChanged(limits=Limits(tokens=400)))
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "tokens")
    assert thread.reply.code == "budget_changed"
    assert thread.sent("wind_down") == 1


def test_a_changed_budget_of_a_paused_goal_leaves_it_paused() -> None:
    thread = started()
    thread.do(e.PauseRequested(), e.BudgetChanged(limits=Limits(tokens=9)))
    assert (thread.status, thread.goal.token_budget) == ("paused", 9)
    assert thread.goal.pause_reason == "user"
    assert thread.reply.code == "budget_changed"


@pytest.mark.parametrize(
    "limits",
    [Limits(tokens=0), Limits(seconds=-1), Limits(cost=MAX_COUNT + 1), Limits(continuations=-1)],
)
def test_a_budget_that_could_never_be_meant_is_refused(limits: Limits) -> None:
    thread = started()
    before = thread.session
    thread.do(e.BudgetChanged(limits=limits))
    assert thread.reply.code == "budget_invalid"
    assert thread.session is before


def test_a_thread_without_a_goal_has_no_budget() -> None:
    thread = CheckedThread()
    thread.do(e.BudgetChanged(limits=Limits(tokens=5)))
    assert thread.reply.code == "no_goal"


def test_a_busy_thread_is_limited_when_its_turn_has_ended() -> None:
    """The running turn may still complete the goal."""
    thread = started(Policy(max_continuations=1))
    thread.dispatch()
    thread.do(e.SteeringReceived(message_id="m", text="t"))
    assert thread.status == "active"
    assert thread.decision == ("stop", "continuation_limit")
    thread.end()
    assert thread.goal.limited_by == "continuations"
