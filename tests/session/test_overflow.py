"""Contexts that overflow: who shortens them, what that costs, and who is asked."""

from __future__ import annotations

from goalfsm.goal.model import Limits, Usage
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import UserStartEntry
from tests.session.failing import failing
from tests.session.hosts import started

OVERFLOW = "prompt is too long: 250000 tokens > 200000 maximum"


def test_a_worker_that_can_compact_is_asked_to_once() -> None:
    thread = started()
    thread.dispatch("compact")
    thread.fail(OVERFLOW)
    asked = [x for x in thread.effects if isinstance(x, f.CompactContext)]
    assert asked == [f.CompactContext(goal_id="goal-1")]
    assert thread.decision == ("wait", "recovery")
    thread.do(e.CompactionStarted())
    thread.do(e.CompactionEnded())
    assert thread.sent() == 2
    assert "compacted" in thread.session.notices
    thread.dispatch("compact")
    thread.fail(OVERFLOW)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "recovery")


USED = Usage(input_tokens=100, output_tokens=10, cached_tokens=5)


def test_what_a_compaction_used_is_charged_and_what_its_worker_saved_is_kept() -> None:
    thread = started()
    thread.dispatch("compact")
    thread.fail(OVERFLOW)
    before = thread.goal.tokens_used
    thread.do(e.CompactionEnded(goal_id="goal-1", usage=USED, data=b"shorter"))
    assert thread.goal.tokens_used == before + 110
    assert thread.session.ledger.reported.cached_tokens == 5
    assert thread.session.worker_session == b"shorter"
    assert thread.session.clock.goal_id is None
    assert thread.sent() == 2


def test_a_compaction_can_use_a_budget_up() -> None:
    thread = started(limits=Limits(tokens=50))
    thread.dispatch("compact")
    thread.fail(OVERFLOW)
    thread.do(e.CompactionEnded(goal_id="goal-1", usage=USED))
    assert thread.status == "budgetLimited"


def test_a_compaction_for_another_goal_is_booked_and_charged_to_nobody() -> None:
    thread = started()
    thread.do(e.CompactionEnded(goal_id="goal-0", usage=USED, data=b"of another goal"))
    assert thread.goal.tokens_used == 0
    assert thread.session.ledger.uncharged == {"goal_changed": 110}
    assert thread.session.worker_session is None


def test_a_compaction_during_a_run_leaves_its_clock_alone() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.CompactionEnded(goal_id="goal-1", usage=USED))
    assert thread.session.clock.goal_id == "goal-1"
    assert thread.goal.tokens_used == 110


def test_a_context_that_nobody_can_compact_pauses() -> None:
    thread = failing(OVERFLOW)
    assert thread.goal.note == "the context window is exceeded and cannot be compacted"
    assert not [x for x in thread.effects if isinstance(x, f.CompactContext)]


def test_a_compaction_that_failed_pauses() -> None:
    thread = started()
    thread.dispatch("compact")
    thread.fail(OVERFLOW)
    thread.do(e.CompactionEnded(ok=False))
    assert thread.goal.note == "the context window is exceeded and the compaction failed"
    assert thread.decision == ("stop", "status")


def test_a_compaction_that_failed_and_nobody_needed_pauses_nothing() -> None:
    thread = started()
    thread.do(e.CompactionEnded(ok=False))
    assert thread.status == "active"


def test_a_compaction_that_failed_after_the_goal_was_paused_leaves_the_pause_alone() -> None:
    thread = started()
    thread.dispatch("compact")
    thread.fail(OVERFLOW)
    thread.do(e.BlockRequested(), e.CompactionEnded(ok=False))
    assert thread.status == "blocked"


def test_a_silent_overflow_is_seen_from_the_usage() -> None:
    thread = started()
    thread.do(e.HostChanged(context_window=1_000))
    thread.dispatch("compact")
    thread.end(usage=Usage(input_tokens=1_001, output_tokens=10))
    asked = [x for x in thread.effects if isinstance(x, f.CompactContext)]
    assert len(asked) == 1
    assert thread.decision == ("wait", "recovery") or thread.sent() == 1
    thread.do(e.CompactionEnded())
    assert thread.sent() == 2


def test_an_overflow_that_only_the_end_of_the_run_shows_counts_too() -> None:
    thread = started(Policy.reference())
    thread.do(e.HostChanged(context_window=1_000))
    full = e.Message(
        role="assistant", stop_reason="stop", usage=Usage(input_tokens=2_000, output_tokens=1)
    )
    thread.do(e.TurnStarted(turn_index=0), e.AgentEnded(messages=(full,)))
    assert thread.session.recovery.attention is not None
    assert thread.history[-1] == UserStartEntry(active=True)


def test_an_overflow_of_a_stopped_goal_asks_the_next_turn_to_start_visibly() -> None:
    thread = started(Policy.reference())
    thread.do(e.TurnStarted(turn_index=0), e.PauseRequested())
    failed = e.Message(role="assistant", stop_reason="error", error=OVERFLOW)
    thread.do(e.AgentEnded(messages=(failed,)))
    assert thread.history[-1] == UserStartEntry(active=True)
    thread.do(e.AgentEnded(messages=(failed,)))
    assert thread.history.count(UserStartEntry(active=True)) == 1
    thread.do(e.MessageStarted(message=e.Message(role="user")))
    assert thread.history[-1] == UserStartEntry(active=False)
