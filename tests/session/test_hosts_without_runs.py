"""A host without runs: tokens and time come with the end of a turn."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Goal, Limits, Usage
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.charging import spent
from tests.session.hosts import started


def turn_end(tokens: int, *, index: int = 0, stop: str = "stop") -> e.TurnEnded:
    """Return the end of a turn with its usage."""
    usage = Usage(input_tokens=tokens)
    message = e.Message(role="assistant", stop_reason=stop, usage=usage)  # type: ignore[arg-type]
    return e.TurnEnded(turn_index=index, message=message)


def hosted() -> CheckedThread:
    """Return a thread whose host runs its first turn."""
    thread = started(Policy.reference())
    thread.do(e.HostChanged(idle=False), e.TurnStarted(turn_index=0))
    return thread


def test_a_turn_charges_its_tokens_at_its_end() -> None:
    thread = hosted()
    thread.advance(3)
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
        thread.advance(0.7)
        thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 2
    assert thread.session.clock.remainder_ms == 800


def test_parts_of_a_second_are_carried_from_turn_to_turn() -> None:
    thread = started(limits=Limits(seconds=2))
    for _ in range(3):
        thread.dispatch()
        thread.advance(0.7)
        thread.end()
        thread.advance(5)
    assert (thread.goal.active_seconds, thread.status) == (2, "budgetLimited")


@pytest.mark.parametrize("stop", [e.PauseRequested(), e.BlockRequested(reason="no key")])
def test_parts_of_a_second_outlast_a_stop(stop: e.Event) -> None:
    thread = spent()
    thread.advance(0.7)
    thread.do(stop)
    thread.end()
    thread.do(e.ResumeRequested())
    thread.dispatch()
    thread.advance(0.7)
    thread.end()
    assert thread.goal.active_seconds == 1


def test_parts_of_a_second_outlast_a_crash() -> None:
    thread = spent()
    thread.advance(0.7)
    ended = thread.now_ms
    thread.advance(60)
    thread.do(e.RunInterrupted(run_id="run-1", ended_ms=ended), e.EngineStarted())
    thread.dispatch()
    thread.advance(0.7)
    thread.end()
    assert thread.goal.active_seconds == 1


def test_parts_of_a_second_are_not_charged_to_a_successor() -> None:
    thread = spent()
    thread.advance(0.7)
    thread.end()
    thread.give("Another", replace=True)
    thread.dispatch()
    thread.advance(0.7)
    thread.end()
    assert thread.goal.active_seconds == 0


def test_a_clock_that_jumped_back_charges_nothing() -> None:
    thread = hosted()
    thread.advance(5)
    thread.do(e.ToolFinished())
    thread.advance(-3600)
    thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 5
    thread.advance(2)
    thread.do(e.ToolFinished())
    assert thread.goal.active_seconds == 7


def test_idle_time_is_nobodys_with_an_engine() -> None:
    thread = spent()
    thread.advance(3)
    thread.end()
    thread.advance(500)
    thread.dispatch()
    thread.advance(2)
    thread.end()
    assert thread.goal.active_seconds == 5


def test_idle_time_counts_where_the_policy_says_so() -> None:
    thread = hosted()
    thread.advance(3)
    thread.do(turn_end(1), e.AgentEnded())
    thread.advance(500)
    thread.do(e.ShutdownStarted())
    assert thread.goal.active_seconds == 503


def test_a_tool_of_a_run_that_is_being_ended_starts_nobodys_clock() -> None:
    thread = spent()
    thread.give("Another", replace=True)
    thread.do(e.ToolFinished())
    assert thread.session.clock.goal_id is None
    thread.advance(60)
    thread.interrupt()
    assert thread.goal.active_seconds == 0


def test_long_turns_do_not_flood_the_history() -> None:
    """While tools run the goal is written once a minute at most."""
    thread = hosted()
    entries = len(thread.history)
    for _ in range(12):
        thread.advance(10)
        thread.do(e.ToolFinished())
    assert len(thread.history) == entries + 2


def test_a_compaction_writes_what_was_used() -> None:
    for event in (e.CompactionStarted(), e.CompactionEnded()):
        thread = hosted()
        thread.advance(2)
        thread.do(event)
        written = thread.history[-1]
        assert isinstance(written, SetEntry)
        assert written.goal.active_seconds == 2


def test_loading_an_unbounded_limited_goal_charges_its_wind_down() -> None:
    """A history may hold a limit whose budget is gone; nothing may raise on it."""
    limited = Goal(goal_id="old", objective="x", status="budgetLimited", created_at=1, updated_at=1)
    thread = started()
    thread.dispatch()
    limited = replace(limited, goal_id=thread.goal.goal_id)
    thread.do(e.SessionStarted(history=(SetEntry(source="runtime", goal=limited),)))
    thread.use(7)
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
    thread._session = replace(
        thread.session,
        goal=replace(thread.goal, **used),
        continuation=replace(thread.session.continuation, queued=None, wanted="goal-1"),
    )
    thread.do(e.HostChanged(idle=True))
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", limited_by)
    assert (thread.sent(), thread.sent("wind_down")) == (queued, 1)
    assert thread.session.wind_down == "owed"
