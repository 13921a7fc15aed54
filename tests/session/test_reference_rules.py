"""Rules of the reference that its recorded threads show, each in a few events."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Limits, Usage
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import stale_work

STOP = e.Message(role="assistant", stop_reason="stop")
ABORTED = e.Message(role="assistant", stop_reason="aborted")
FULL = replace(STOP, usage=Usage(input_tokens=2_000))
BROKEN = e.Message(role="assistant", stop_reason="error", error="websocket closed")


def hosted(**given: object) -> CheckedThread:
    """Return a thread of a host that retries, compacts and drives its turns itself."""
    thread = CheckedThread(Policy.reference())
    thread.do(e.HostChanged(context_window=1_000))
    thread.give(**given)
    return thread


def turn(thread: CheckedThread, message: e.Message, *, index: int = 1) -> None:
    """Have one model call start and end; the run goes on."""
    thread.do(e.TurnStarted(turn_index=index), e.TurnEnded(turn_index=index, message=message))


def needs_attention(thread: CheckedThread) -> bool:
    attention = thread.session.recovery.attention
    return attention is not None and attention.kind == "paused"


def test_a_persons_run_ends_and_the_continuation_is_sent_again() -> None:
    """What was queued before it is not waited for any more."""
    thread = hosted()
    thread.do(e.AgentStarting(work=None), e.AgentEnded(messages=(STOP,)))
    assert thread.sent() == 2
    work = e.GoalWork("continuation", "goal-1")
    thread.do(e.AgentStarting(work=work))
    assert thread.session.continuation.queued == "goal-1"


def test_a_second_overflow_after_a_compaction_needs_attention() -> None:
    thread = hosted()
    turn(thread, FULL)
    thread.do(e.AgentEnded(messages=(FULL,)), e.CompactionStarted(), e.CompactionEnded())
    assert thread.status == "active"
    turn(thread, FULL, index=2)
    assert thread.status == "active"
    thread.do(e.AgentEnded(messages=(FULL,)))
    assert (thread.status, needs_attention(thread)) == ("paused", True)


def test_the_turn_that_ends_a_recovery_leaves_the_decision_to_the_end_of_its_run() -> None:
    thread = hosted()
    overflow = replace(BROKEN, error="context_length_exceeded")
    turn(thread, overflow)
    thread.do(e.AgentEnded(messages=(overflow,)))
    thread.do(e.HostChanged(idle=False))
    turn(thread, STOP, index=2)
    thread.do(e.HostChanged(idle=True))
    assert thread.sent() == 1
    thread.do(e.AgentEnded(messages=(STOP,)))
    assert thread.sent() == 2


def test_another_branch_with_another_goal_goes_on_without_the_trouble_before_it() -> None:
    thread = hosted()
    turn(thread, BROKEN)
    thread.do(e.AgentEnded(messages=(BROKEN,)))
    other = replace(thread.goal, goal_id="other")
    thread.do(e.TreeChanged(history=(SetEntry(source="command", goal=thread.goal),)))
    assert thread.sent() == 1
    thread.do(e.TreeChanged(history=(SetEntry(source="command", goal=other),)))
    assert thread.asked(f.SendWork)[0].goal_id == "other"
    assert thread.session.recovery.attention is None


def test_the_abort_of_a_replaced_goals_turn_pauses_nobody() -> None:
    thread = hosted()
    thread.do(e.TurnStarted(turn_index=1))
    thread.give("Another", replace=True)
    thread.do(e.TurnEnded(turn_index=1, message=ABORTED), e.AgentEnded(messages=(ABORTED,)))
    assert thread.status == "active"


def test_an_aborted_end_that_comes_once_more_is_swallowed() -> None:
    """Also when the history was loaded meanwhile, and nothing is known to be owed."""
    thread = hosted()
    thread.give("Another", replace=True)
    thread.do(*stale_work("goal-1"))
    old = e.Message(role="custom", work=e.GoalWork("continuation", "goal-1"))
    late = replace(ABORTED, usage=Usage(input_tokens=8))
    ended = e.AgentEnded(messages=(old, late))
    thread.do(e.TurnEnded(turn_index=1, message=ABORTED), ended)
    thread.do(e.TreeChanged(history=(SetEntry(source="command", goal=thread.goal),)))
    thread.do(ended)
    assert (thread.status, thread.goal.tokens_used) == ("active", 0)
    asked = e.Message(role="user")
    thread.do(e.TurnStarted(turn_index=2), e.AgentEnded(messages=(old, asked, ABORTED)))
    assert thread.status == "paused", "a person's own run was interrupted"


@pytest.mark.parametrize("event", [e.ToolFinished(), e.AgentEnded(messages=(STOP,))])
def test_a_wind_down_is_not_sent_again_for_a_limit_that_is_loaded(event: e.Event) -> None:
    thread = hosted(limits=Limits(tokens=10))
    turn(thread, replace(STOP, usage=Usage(output_tokens=20)))
    assert thread.sent("wind_down") == 1
    history = (SetEntry(source="runtime", goal=thread.goal),)
    thread.do(e.SessionStarted(history=history), e.TurnStarted(turn_index=2), event)
    assert thread.sent("wind_down") == 1


@pytest.mark.parametrize("stops", [e.PauseRequested(), e.BlockRequested()])
def test_who_takes_a_stopped_goal_up_has_looked_at_its_trouble(stops: e.Event) -> None:
    thread = hosted()
    turn(thread, BROKEN)
    thread.do(e.AgentEnded(messages=(BROKEN,)), stops, e.ResumeRequested())
    assert thread.session.recovery.attention is None
    assert thread.sent() == 2
