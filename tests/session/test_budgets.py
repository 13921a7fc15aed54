"""Budgets: what is charged to whom, and the one turn that winds the work down."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm import effects as f
from goalfsm import events as e
from goalfsm.entries import SetEntry
from goalfsm.model import MAX_COUNT, Goal, Limits, Usage
from goalfsm.session import Policy
from tests.session.thread import Thread, started


def spent(policy: Policy | None = None, **limits: int) -> Thread:
    """Return a thread whose first turn runs on these budgets."""
    thread = started(policy, limits=Limits(**limits))
    thread.dispatch()
    return thread


def test_a_used_up_token_budget_gives_one_wind_down_turn_and_then_nothing() -> None:
    thread = spent(tokens=100)
    thread.use(60)
    assert thread.status == "active"
    thread.use(60)
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "tokens")
    assert thread.asked(f.SendWork) == [
        f.SendWork(kind="budget_limit", goal_id="goal-1", deliver_as="steer")
    ]
    assert thread.wind_down == "owed"
    thread.end()
    thread.dispatch(wind_down=True)
    assert thread.asked(f.StartRun)
    assert thread.wind_down == "running"
    thread.use(30)
    thread.end()
    assert thread.wind_down == "done"
    assert thread.goal.tokens_used == 150
    assert (thread.sent(), thread.sent("budget_limit")) == (1, 1)
    assert thread.decision == ("stop", "status")


def test_a_wind_down_that_the_running_turn_took_is_the_only_one() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.do(e.WindDownDelivered(run_id="run-1"))
    assert thread.wind_down == "running"
    thread.end()
    assert thread.wind_down == "done"


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
    thread.dispatch(wind_down=True)
    thread.interrupt()
    assert thread.wind_down == "done"


def test_a_wind_down_run_that_nobody_owes_is_a_run_like_others() -> None:
    thread = started()
    thread.dispatch(wind_down=True)
    assert thread.session.run is not None
    assert not thread.session.run.wind_down
    assert thread.wind_down == "none"


def test_a_used_up_time_budget_winds_down() -> None:
    thread = spent(seconds=60)
    thread.wait(seconds=61)
    thread.do(e.ToolFinished())
    assert thread.goal.limited_by == "time"
    assert thread.sent("budget_limit") == 1


def test_a_used_up_cost_budget_winds_down() -> None:
    thread = spent(cost=500)
    thread.use(1, cost=500)
    assert (thread.goal.limited_by, thread.goal.cost_used) == ("cost", 500)
    assert thread.sent("budget_limit") == 1


def test_the_last_continuation_is_the_wind_down_of_its_own_limit() -> None:
    """It was told that it is the last; one more turn would be one too many."""
    thread = started(Policy(max_continuations=2))
    thread.turn("one")
    thread.turn("two")
    assert thread.goal.limited_by == "continuations"
    assert thread.wind_down == "done"
    assert (thread.sent(), thread.sent("budget_limit")) == (2, 0)


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
    thread.wait(seconds=10)
    thread.do(event)
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "time")
    assert thread.sent("budget_limit") == 1
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal == thread.goal
    thread.end()
    assert thread.sent("budget_limit") == 1


def test_the_time_of_an_interrupted_run_may_use_the_budget_up() -> None:
    thread = spent(seconds=10)
    ended = thread.now_ms + 10_000
    thread.wait(seconds=500)
    thread.interrupt(ended_ms=ended)
    assert (thread.goal.active_seconds, thread.goal.limited_by) == (10, "time")
    assert thread.sent("budget_limit") == 1


def test_a_raised_budget_reopens_the_goal() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.end()
    thread.do(e.BudgetChanged(limits=Limits(tokens=300)))
    assert thread.reply.code == "reopened"
    assert (thread.status, thread.goal.token_budget) == ("active", 300)
    assert thread.goal.limited_by is None
    assert thread.session.notices == ("budget_raised",)
    assert thread.wind_down == "none"
    assert thread.sent() == 2
    thread.dispatch()
    thread.use(200)
    assert thread.sent("budget_limit") == 2


def test_a_budget_raised_during_the_wind_down_calls_it_off() -> None:
    thread = spent(tokens=100)
    thread.use(100)
    thread.end()
    thread.dispatch(wind_down=True)
    thread.do(e.BudgetChanged(limits=Limits(tokens=300)))
    thread.end()
    assert thread.wind_down == "none"
    assert thread.sent() == 2
    thread.dispatch()
    thread.use(200)
    assert thread.wind_down == "owed"


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
    assert thread.sent("budget_limit") == 1


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
    thread = Thread()
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


# What is charged, and once.


def test_equal_keys_are_charged_once() -> None:
    thread = spent()
    thread.use(70, key="call-1")
    thread.use(70, key="call-1")
    assert thread.reply.code == "charged_before"
    assert thread.goal.tokens_used == 70
    assert thread.session.ledger.reported.input_tokens == 70


def test_a_run_remembers_only_so_many_keys() -> None:
    thread = spent()
    for number in range(200):
        thread.use(1, key=f"call-{number}")
    assert thread.session.run is not None
    assert len(thread.session.run.charged) == 128
    assert thread.session.run.charged[-1] == "call-199"


def test_cached_tokens_weigh_what_the_policy_says() -> None:
    thread = spent(Policy(cached_weight=0.5))
    thread.use(10, cached=9)
    assert thread.goal.tokens_used == 14
    assert thread.session.ledger.reported.cached_tokens == 9


def test_the_ledger_says_why_something_was_not_charged() -> None:
    thread = spent()
    thread.use(10)
    stale = e.UsageReported(
        run_id="run-0", run_token="token-0", key="k", usage=Usage(input_tokens=5, cost=3)
    )
    thread.do(stale)
    assert (thread.reply.ok, thread.reply.code) == (False, "stale_run")
    ledger = thread.session.ledger
    assert ledger.uncharged == {"stale_run": 5}
    assert (ledger.charged_tokens, ledger.reported.input_tokens) == (10, 15)
    assert (ledger.charged_cost, ledger.reported.cost) == (0, 3)


def test_the_usage_of_a_replaced_goals_run_is_nobodys() -> None:
    thread = spent()
    thread.use(10)
    thread.give("Another", replace=True)
    thread.use(99)
    assert thread.goal.tokens_used == 0
    assert thread.session.ledger.uncharged == {"stale_run": 99}


def test_usage_before_a_goal_was_given_is_nobodys() -> None:
    thread = Thread()
    thread.do(e.RunDispatched(run_id="run-1", token="t"))
    thread.do(e.UsageReported(run_id="run-1", run_token="t", key="k", usage=Usage(input_tokens=7)))
    assert thread.session.ledger.uncharged == {"goal_changed": 7}


def test_what_a_paused_goals_own_turn_uses_is_charged() -> None:
    thread = spent(tokens=100)
    thread.do(e.PauseRequested())
    thread.use(120)
    assert (thread.status, thread.goal.tokens_used) == ("paused", 120)
    assert thread.session.ledger.charged_tokens == 120


def test_what_a_complete_goals_own_turn_uses_is_charged() -> None:
    thread = spent()
    thread.claim()
    thread.use(12)
    assert (thread.status, thread.goal.tokens_used) == ("complete", 12)


def test_a_report_of_nothing_changes_nothing() -> None:
    thread = spent()
    thread.do(e.PauseRequested())
    thread.wait(seconds=60)
    goal = thread.goal
    thread.use(0)
    assert thread.goal == goal
    assert thread.session.ledger.reported == Usage()


def test_a_pause_and_a_resume_during_a_turn_lose_no_usage() -> None:
    thread = spent()
    thread.do(e.PauseRequested(), e.ResumeRequested())
    thread.use(33)
    assert thread.goal.tokens_used == 33
    thread.wait(seconds=4)
    thread.end()
    assert thread.goal.active_seconds == 4


def test_figures_below_zero_charge_nothing() -> None:
    thread = spent()
    usage = Usage(input_tokens=-5, output_tokens=3, cached_tokens=-1, cost=-9)
    thread.do(e.UsageReported(run_id="run-1", run_token="token-1", key="k", usage=usage))
    assert (thread.goal.tokens_used, thread.goal.cost_used) == (3, 0)
    assert thread.session.ledger.reported == Usage(output_tokens=3)


def test_sums_stay_below_what_json_keeps_exact() -> None:
    thread = spent()
    thread.use(MAX_COUNT)
    thread.use(MAX_COUNT)
    assert thread.goal.tokens_used == MAX_COUNT


# A host without runs: tokens come with the end of a turn.


def turn_end(tokens: int, *, index: int = 0, stop: str = "stop") -> e.TurnEnded:
    """Return the end of a turn with its usage."""
    usage = Usage(input_tokens=tokens)
    message = e.Message(role="assistant", stop_reason=stop, usage=usage)  # type: ignore[arg-type]
    return e.TurnEnded(turn_index=index, message=message)


def hosted() -> Thread:
    """Return a thread whose host runs its first turn."""
    thread = started(Policy.reference())
    thread.do(e.HostChanged(idle=False), e.TurnStarted(turn_index=0))
    return thread


def test_a_turn_charges_its_tokens_at_its_end() -> None:
    thread = hosted()
    thread.wait(seconds=3)
    thread.do(turn_end(50))
    assert (thread.goal.tokens_used, thread.goal.active_seconds) == (50, 3)
    assert thread.session.ledger.charged_tokens == 50
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal == thread.goal


def test_a_turn_charges_the_goal_that_was_active_when_it_started() -> None:
    """Also when a tool of that turn let the clock of its successor start."""
    thread = hosted()
    thread.give("Another", replace=True)
    thread.do(e.ToolFinished())
    assert thread.session.clock.goal_id == "goal-2"
    thread.do(turn_end(50))
    assert thread.goal.tokens_used == 0
    assert thread.session.ledger.uncharged == {"goal_changed": 50}


def test_the_aborted_messages_of_a_replaced_goals_turn_charge_nobody() -> None:
    thread = hosted()
    thread.give("Another", replace=True)
    thread.do(e.ToolFinished())
    aborted = e.Message(role="assistant", stop_reason="aborted", usage=Usage(input_tokens=8))
    thread.do(e.AgentEnded(messages=(aborted,)))
    assert thread.goal.tokens_used == 0


def test_aborted_messages_are_charged_where_their_turns_end_was_missed() -> None:
    thread = hosted()
    messages = (
        e.Message(role="user"),
        e.Message(role="assistant", stop_reason="toolUse", usage=Usage(input_tokens=100)),
        e.Message(role="assistant", stop_reason="aborted", usage=Usage(input_tokens=8, cost=-1)),
        e.Message(role="assistant", stop_reason="aborted", usage=Usage(output_tokens=2, cost=6)),
    )
    thread.do(e.AgentEnded(messages=messages))
    assert (thread.goal.tokens_used, thread.goal.cost_used) == (10, 6)
    assert thread.goal.pause_reason == "interrupt"


@pytest.mark.parametrize(
    ("before", "why"),
    [
        ((e.ClearRequested(),), "no_goal"),
        ((e.PauseRequested(),), "not_active"),
        ((e.PauseRequested(), e.ResumeRequested()), "not_measured"),
    ],
)
def test_a_turn_that_charges_nobody_says_why(before: tuple[e.Event, ...], why: str) -> None:
    thread = hosted()
    thread.do(*before)
    thread.do(turn_end(50))
    assert thread.session.ledger.uncharged == {why: 50}


def test_the_tokens_of_an_aborted_stale_turn_are_nobodys() -> None:
    thread = started(Policy.reference())
    thread.give("Another", replace=True)
    thread.do(e.HostChanged(idle=False))
    stale = e.GoalWork("continuation", "goal-1")
    thread.do(
        e.AgentStarting(work=stale),
        e.TurnStarted(turn_index=4),
        e.MessageStarted(message=e.Message(role="custom", work=stale)),
        e.ContextRequested(),
    )
    assert thread.asked(f.AbortRun)
    thread.do(turn_end(50, index=4, stop="aborted"))
    assert (thread.status, thread.goal.tokens_used) == ("active", 0)
    assert thread.session.ledger.uncharged == {"stale_work": 50}


def test_parts_of_a_second_are_carried_from_charge_to_charge() -> None:
    thread = hosted()
    for _ in range(4):
        thread.wait(seconds=0.7)
        thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 2
    assert thread.session.clock.remainder_ms == 800


def test_parts_of_a_second_are_carried_from_turn_to_turn() -> None:
    thread = started(limits=Limits(seconds=2))
    for _ in range(3):
        thread.dispatch()
        thread.wait(seconds=0.7)
        thread.end()
        thread.wait(seconds=5)
    assert (thread.goal.active_seconds, thread.status) == (2, "budgetLimited")


@pytest.mark.parametrize("stop", [e.PauseRequested(), e.BlockRequested(reason="no key")])
def test_parts_of_a_second_outlast_a_stop(stop: e.Event) -> None:
    thread = spent()
    thread.wait(seconds=0.7)
    thread.do(stop)
    thread.end()
    thread.do(e.ResumeRequested())
    thread.dispatch()
    thread.wait(seconds=0.7)
    thread.end()
    assert thread.goal.active_seconds == 1


def test_parts_of_a_second_outlast_a_crash() -> None:
    thread = spent()
    thread.wait(seconds=0.7)
    ended = thread.now_ms
    thread.wait(seconds=60)
    thread.do(e.RunInterrupted(run_id="run-1", ended_ms=ended), e.EngineStarted())
    thread.dispatch()
    thread.wait(seconds=0.7)
    thread.end()
    assert thread.goal.active_seconds == 1


def test_parts_of_a_second_are_not_charged_to_a_successor() -> None:
    thread = spent()
    thread.wait(seconds=0.7)
    thread.end()
    thread.give("Another", replace=True)
    thread.dispatch()
    thread.wait(seconds=0.7)
    thread.end()
    assert thread.goal.active_seconds == 0


def test_a_clock_that_jumped_back_charges_nothing() -> None:
    thread = hosted()
    thread.wait(seconds=5)
    thread.do(e.ToolFinished())
    thread.wait(seconds=-3600)
    thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 5
    thread.wait(seconds=2)
    thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 7


def test_idle_time_is_nobodys_with_an_engine() -> None:
    thread = spent()
    thread.wait(seconds=3)
    thread.end()
    thread.wait(seconds=500)
    thread.dispatch()
    thread.wait(seconds=2)
    thread.end()
    assert thread.goal.active_seconds == 5


def test_idle_time_counts_where_the_policy_says_so() -> None:
    thread = hosted()
    thread.wait(seconds=3)
    thread.do(turn_end(1), e.AgentEnded())
    thread.wait(seconds=500)
    thread.do(e.ShutdownStarted())
    assert thread.goal.active_seconds == 503


def test_a_tool_of_a_run_that_is_being_ended_starts_nobodys_clock() -> None:
    thread = spent()
    thread.give("Another", replace=True)
    thread.do(e.ToolFinished())
    assert thread.session.clock.goal_id is None
    thread.wait(seconds=60)
    thread.interrupt()
    assert thread.goal.active_seconds == 0


def test_long_turns_do_not_flood_the_history() -> None:
    """While tools run the goal is written once a minute at most."""
    thread = hosted()
    entries = len(thread.history)
    for _ in range(12):
        thread.wait(seconds=10)
        thread.do(e.ToolFinished())
    assert len(thread.history) == entries + 2


def test_a_compaction_writes_what_was_used() -> None:
    for event in (e.CompactionStarted(), e.CompactionEnded()):
        thread = hosted()
        thread.wait(seconds=2)
        thread.do(event)
        written = thread.history[-1]
        assert isinstance(written, SetEntry)
        assert written.goal.active_seconds == 2


def test_loading_an_unbounded_limited_goal_charges_its_wind_down() -> None:
    """A history may hold a limit whose budget is gone; nothing may raise on it."""
    limited = Goal(goal_id="old", objective="x", status="budgetLimited", created_at=1, updated_at=1)
    thread = Thread()
    thread.do(e.SessionStarted(history=(SetEntry(source="runtime", goal=limited),)))
    thread.do(e.RunDispatched(run_id="run-1", token="t", wind_down=True))
    thread.do(e.UsageReported(run_id="run-1", run_token="t", key="k", usage=Usage(input_tokens=7)))
    assert thread.goal.tokens_used == 7


@pytest.mark.parametrize(
    ("limits", "used", "limited_by"),
    [
        (Limits(tokens=100), {"tokens_used": 100}, "tokens"),
        (Limits(seconds=60), {"active_seconds": 60}, "time"),
        (Limits(cost=5), {"cost_used": 5}, "cost"),
    ],
)
def test_a_stored_goal_beyond_its_budget_is_limited_before_it_is_continued(
    limits: Limits, used: dict[str, int], limited_by: str
) -> None:
    thread = started(limits=limits)
    queued = thread.sent()
    thread.session = replace(
        thread.session,
        goal=replace(thread.goal, **used),
        continuation=replace(thread.session.continuation, queued=None, wanted="goal-1"),
    )
    thread.do(e.HostChanged(idle=True))
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", limited_by)
    assert (thread.sent(), thread.sent("budget_limit")) == (queued, 1)
    assert thread.wind_down == "owed"
