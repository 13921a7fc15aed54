"""The reference's rules once more, each met in another way than its recorded threads meet it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Limits, Usage
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import ClearEntry, SetEntry
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.status import status_line
from tests.session.hosts import stale_work
from tests.session.test_reference_rules import (
    ABORTED,
    BROKEN,
    FULL,
    STOP,
    hosted,
    needs_attention,
    turn,
)

OVERFLOW = replace(BROKEN, error="context_length_exceeded")
REFUSED = replace(BROKEN, error="invalid x-api-key")
COMPACTED = (e.CompactionStarted(), e.CompactionEnded())


def ended(thread: CheckedThread, message: e.Message) -> None:
    """Have a whole run with one model call end with ``message``."""
    turn(thread, message)
    thread.do(e.AgentEnded(messages=(message,)))


# A person's run.


@pytest.mark.parametrize("last", [(), (STOP,), (replace(STOP, stop_reason="length"),)])
def test_a_persons_run_ends_in_any_way_that_is_no_failure(last: tuple[e.Message, ...]) -> None:
    thread = hosted()
    thread.do(e.InputReceived(source="interactive"), e.AgentStarting(work=None))
    thread.do(e.AgentEnded(messages=last))
    assert thread.sent() == 2


def test_two_persons_runs_ask_for_a_continuation_each() -> None:
    thread = hosted()
    for _ in range(2):
        thread.do(e.AgentStarting(work=None), e.AgentEnded(messages=(STOP,)))
    assert thread.sent() == 3


@pytest.mark.parametrize("stops", [e.PauseRequested(), e.ClearRequested()])
def test_a_persons_run_asks_for_nothing_once_the_goal_is_stopped(stops: e.Event) -> None:
    thread = hosted()
    thread.do(e.AgentStarting(work=None), stops, e.AgentEnded(messages=(STOP,)))
    assert thread.sent() == 1


# Overflows.


@pytest.mark.parametrize("first", [FULL, OVERFLOW])
@pytest.mark.parametrize("second", [FULL, OVERFLOW])
def test_two_overflows_of_any_kind_need_attention(first: e.Message, second: e.Message) -> None:
    thread = hosted()
    ended(thread, first)
    thread.do(*COMPACTED)
    assert (thread.status, needs_attention(thread)) == ("active", False)
    ended(thread, second)
    assert (thread.status, needs_attention(thread)) == ("paused", True)
    thread.do(*COMPACTED)
    assert thread.sent() <= 2
    assert thread.status == "paused"


def test_an_overflow_after_a_good_turn_is_a_first_one() -> None:
    thread = hosted()
    for _ in range(3):
        ended(thread, FULL)
        thread.do(*COMPACTED)
        ended(thread, STOP)
    assert (thread.status, needs_attention(thread)) == ("active", False)


# Resuming.


@pytest.mark.parametrize("trouble", [(REFUSED,), (FULL, FULL), (OVERFLOW, FULL)])
def test_a_resume_clears_the_line_of_attention_and_sends(trouble: tuple[e.Message, ...]) -> None:
    thread = hosted()
    for message in trouble:
        ended(thread, message)
        if message is not trouble[-1]:
            thread.do(*COMPACTED)
    assert (thread.status, needs_attention(thread)) == ("paused", True)
    before, line = thread.sent(), status_line(thread.session)
    thread.do(e.ResumeRequested())
    assert thread.sent() == before + 1
    assert thread.session.recovery.attention is None
    assert status_line(thread.session) != line


def test_a_thread_that_is_resumed_clears_it_as_well() -> None:
    thread = hosted()
    ended(thread, REFUSED)
    history = (SetEntry(source="runtime", goal=thread.goal),)
    thread.do(e.SessionStarted(reason="resume", history=history))
    assert (thread.status, needs_attention(thread)) == ("active", False)
    assert thread.asked(f.SendWork)


# Branches.


def test_another_branch_is_left_for_the_first_one() -> None:
    """There and back: each time for the goal that the branch has."""
    thread = hosted()
    ended(thread, REFUSED)
    first = replace(thread.goal, status="active", pause_reason=None)
    other = replace(first, goal_id="other")
    for goal in (other, first):
        thread.do(e.TreeChanged(history=(SetEntry(source="command", goal=goal),)))
        assert [work.goal_id for work in thread.asked(f.SendWork)] == [goal.goal_id]
        assert thread.session.recovery.attention is None


@pytest.mark.parametrize("status", ["paused", "blocked", "complete", "budgetLimited"])
def test_another_branch_whose_goal_is_not_active_sends_nothing(status: str) -> None:
    thread = hosted()
    other = replace(thread.goal, goal_id="other", status=status)
    thread.do(e.TreeChanged(history=(SetEntry(source="command", goal=other),)))
    assert thread.asked(f.SendWork) == []


def test_a_branch_from_before_any_goal_has_none() -> None:
    thread = hosted()
    ended(thread, REFUSED)
    entries = (SetEntry(source="command", goal=thread.goal),)
    cleared = ClearEntry(source="command", cleared=thread.goal.goal_id)
    thread.do(e.TreeChanged(history=(*entries, cleared)))
    assert thread.session.goal is None
    assert thread.session.recovery.attention is None
    thread.do(e.TreeChanged(history=()))
    assert thread.asked(f.SendWork) == []


# Aborted runs of goals that are given up.


def test_the_abort_of_a_run_whose_goal_was_replaced_twice_pauses_nobody() -> None:
    thread = hosted()
    thread.do(e.TurnStarted(turn_index=1))
    for objective in ("Another", "A third"):
        thread.give(objective, replace=True)
    thread.do(e.TurnEnded(turn_index=1, message=ABORTED), e.AgentEnded(messages=(ABORTED,)))
    assert (thread.status, thread.goal.objective) == ("active", "A third")


def test_the_abort_of_a_run_whose_goal_was_cleared_pauses_no_later_goal() -> None:
    thread = hosted()
    thread.do(e.TurnStarted(turn_index=1), e.ClearRequested())
    thread.give("Another")
    thread.do(e.AgentEnded(messages=(ABORTED,)))
    assert thread.status == "active"


def test_the_next_run_of_the_successor_is_paused_by_its_own_abort() -> None:
    thread = hosted()
    thread.do(e.TurnStarted(turn_index=1))
    thread.give("Another", replace=True)
    thread.do(e.TurnEnded(turn_index=1, message=ABORTED), e.AgentEnded(messages=(ABORTED,)))
    ended(thread, ABORTED)
    assert thread.status == "paused"


@pytest.mark.parametrize("times", [1, 2, 4])
def test_an_aborted_end_is_swallowed_however_often_it_comes(times: int) -> None:
    thread = hosted()
    thread.give("Another", replace=True)
    thread.do(*stale_work("goal-1"))
    work = e.Message(role="custom", work=e.GoalWork("continuation", "goal-1"))
    late = replace(ABORTED, usage=Usage(output_tokens=9))
    for _ in range(times):
        thread.do(e.TurnEnded(turn_index=1, message=late))
    for _ in range(times):
        thread.do(e.AgentEnded(messages=(work, late)))
    assert (thread.status, thread.goal.tokens_used) == ("active", 0)
    assert not needs_attention(thread)


def test_an_aborted_end_of_a_cleared_goals_work_is_swallowed_before_the_next_goal() -> None:
    thread = hosted()
    thread.do(e.ClearRequested(), *stale_work("goal-1"))
    work = e.Message(role="custom", work=e.GoalWork("continuation", "goal-1"))
    over = e.AgentEnded(messages=(work, ABORTED))
    thread.do(e.TurnEnded(turn_index=1, message=ABORTED), over)
    thread.give("Another")
    thread.do(over)
    assert thread.status == "active"


# The wind-down.


@pytest.mark.parametrize(
    "again",
    [
        (e.AgentEnded(messages=(STOP,)),),
        (e.HostChanged(idle=False), e.HostChanged(idle=True)),
        COMPACTED,
        (e.TurnEnded(turn_index=1, message=replace(STOP, usage=Usage(output_tokens=50))),),
        (e.AgentStarting(work=None), e.AgentEnded(messages=(STOP,))),
    ],
)
def test_a_wind_down_is_sent_once_whatever_follows(again: tuple[e.Event, ...]) -> None:
    thread = hosted(limits=Limits(tokens=10))
    turn(thread, replace(STOP, usage=Usage(output_tokens=20)))
    thread.do(*again, *again)
    assert thread.sent("wind_down") == 1
    assert thread.status == "budgetLimited"


def test_a_budget_that_was_raised_and_is_crossed_again_has_a_wind_down_of_its_own() -> None:
    thread = hosted(limits=Limits(tokens=10))
    used = replace(STOP, usage=Usage(output_tokens=20))
    ended(thread, used)
    thread.do(e.BudgetChanged(limits=Limits(tokens=30)))
    assert thread.status == "active"
    ended(thread, used)
    assert (thread.status, thread.sent("wind_down")) == ("budgetLimited", 2)
