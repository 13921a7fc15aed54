"""An engine that starts and stops, who comes first, and work that is out of date."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from recovery.obligations import IDLE
from tests.session.hosts import stale_work, started

# Start and stop.


def test_an_active_goal_goes_on_after_a_crash() -> None:
    thread = started()
    thread.turn()
    thread.dispatch()
    thread.restart()
    assert thread.status == "active"
    assert thread.sent() == 3
    assert thread.session.notices == ("interrupted",)


def test_what_was_queued_is_not_sent_twice() -> None:
    """The outbox still holds it."""
    thread = started()
    thread.restart()
    assert thread.sent() == 1
    assert thread.decision == ("wait", "queued")


def test_an_engine_starts_a_thread_without_a_goal_too() -> None:
    thread = CheckedThread()
    thread.restart()
    assert thread.decision == ("stop", "status")


def test_the_policy_may_ask_before_the_work_goes_on() -> None:
    thread = started(Policy(on_start="ask"))
    thread.turn()
    thread.do(e.HostChanged(pending_messages=True))
    thread.dispatch()
    thread.restart()
    assert thread.session.waits
    assert thread.session.waits[0].kind == "person"
    assert thread.decision == ("wait", "wait")
    sent = thread.sent()
    thread.do(e.WakeRequested())
    assert thread.sent() == sent + 1


def test_the_policy_may_pause_the_work() -> None:
    thread = started(Policy(on_start="pause"))
    thread.dispatch()
    thread.restart()
    assert (thread.status, thread.goal.pause_reason) == ("paused", "shutdown")
    assert thread.goal.note == "the engine was restarted"
    thread.restart()
    assert thread.status == "paused"


@pytest.mark.parametrize("on_start", ["resume", "ask", "pause"])
def test_a_goal_that_somebody_stopped_stays_stopped(on_start: Any) -> None:
    for event in (e.PauseRequested(), e.BlockRequested(), e.CompletionRequested()):
        thread = started(Policy(on_start=on_start))
        thread.do(event)
        before = thread.goal
        thread.restart(after_crash=False)
        assert thread.goal == before
        assert not thread.session.waits


def test_an_engine_forgets_what_the_host_was_doing() -> None:
    thread = started()
    thread.do(e.HostChanged(idle=False, pending_messages=True, context_window=900))
    thread.dispatch("compact")
    thread.restart()
    host = thread.session.host
    assert (host.idle, host.pending_messages) == (True, False)
    assert (host.context_window, host.can_compact, host.turn_index) == (900, True, 1)


def test_nothing_is_sent_after_shutdown_started() -> None:
    thread = started()
    thread.dispatch()
    thread.advance(4)
    thread.do(e.ShutdownStarted())
    assert thread.goal.active_seconds == 4
    thread.end()
    assert thread.sent() == 1
    assert thread.decision == ("wait", "stopping")
    thread.restart(after_crash=False)
    assert thread.sent() == 2


def test_recovery_that_is_pending_at_shutdown_becomes_a_pause_and_goes_on_after_it() -> None:
    """With the schedule that it had: the provider's outage did not end with the engine."""
    thread = started()
    thread.dispatch()
    thread.fail(retry_after=100.0)
    due = thread.session.retry.at_ms
    thread.do(e.ShutdownStarted())
    assert (thread.status, thread.goal.pause_reason) == ("paused", "shutdown")
    assert thread.goal.note == "provider error (503 Service Unavailable)"
    attention = thread.session.recovery.attention
    assert attention is not None
    assert attention.kind == "paused"
    assert thread.wake is None
    thread.advance(30)
    thread.restart(after_crash=False)
    assert thread.status == "active"
    assert thread.session.retry.at_ms == due
    assert thread.decision == ("wait", "recovery")
    assert thread.wake == 70_000
    thread.advance(70)
    thread.do(e.TimerFired())
    assert thread.sent() == 2


def test_an_overflow_that_is_pending_at_shutdown_goes_on_at_once() -> None:
    thread = started()
    thread.dispatch("compact")
    thread.fail("prompt is too long: 250000 tokens > 200000 maximum")
    thread.do(e.ShutdownStarted())
    assert thread.goal.pause_reason == "shutdown"
    thread.restart(after_crash=False)
    assert thread.status == "active"
    assert thread.session.recovery.attention is None
    assert thread.sent() == 2


def test_a_recovery_without_budget_left_does_not_go_on() -> None:
    thread = started(limits=Limits(tokens=50))
    thread.dispatch()
    thread.fail()
    thread.do(e.ShutdownStarted(), e.BudgetChanged(limits=Limits(seconds=0), unlimited=()))
    assert thread.reply.code == "budget_invalid"
    thread._session = replace(thread.session, goal=replace(thread.goal, tokens_used=50))
    thread.restart(after_crash=False)
    assert thread.status == "budgetLimited"
    assert thread.session.recovery.attention is None


def test_trouble_of_a_goal_that_is_not_active_is_forgotten_at_shutdown() -> None:
    thread = started()
    thread.dispatch()
    thread.fail()
    thread.do(e.BlockRequested(), e.ShutdownStarted())
    assert thread.status == "blocked"
    assert thread.session.recovery.attention is None


def test_shutdown_releases_what_aborted_turns_owe() -> None:
    thread = started()
    thread.give("Another", replace=True)
    thread.do(*stale_work("goal-1"))
    assert thread.session.stale != IDLE
    thread.do(e.ShutdownStarted())
    assert thread.session.stale == IDLE


def test_an_open_claim_survives_a_restart() -> None:
    thread = started(verifiers=(Verifier(kind="command", argv=("true",)),))
    thread.dispatch()
    thread.claim_complete()
    claim = thread.session.claim
    assert claim is not None
    thread.restart()
    assert thread.session.claim == replace(claim, asked=True)
    asked = [effect for effect in thread.effects if isinstance(effect, f.RunVerifier)]
    assert asked == [f.RunVerifier(claim_id=claim.claim_id, index=0)]
    assert thread.decision == ("wait", "verification")


def test_a_wait_survives_a_restart() -> None:
    thread = started()
    thread.do(e.WaitDeclared(kind="timer", until_ms=thread.now_ms + 60_000))
    thread.restart()
    assert thread.wake == 60_000


# Who comes first, and when.


def test_a_busy_host_gets_its_continuation_when_it_is_idle() -> None:
    thread = CheckedThread()
    thread.do(e.HostChanged(idle=False))
    thread.give()
    assert thread.sent() == 0
    assert thread.decision == ("wait", "host_busy")
    thread.do(e.SteeringReceived(message_id="m", text="x"))
    assert thread.session.continuation.wanted == "goal-1"
    thread.do(e.HostChanged(idle=True))
    assert thread.sent() == 1
    thread.do(e.HostChanged(idle=True))
    assert thread.sent() == 1


def test_a_persons_messages_come_first() -> None:
    thread = CheckedThread()
    thread.do(e.HostChanged(idle=False))
    thread.give()
    thread.do(e.HostChanged(idle=True, pending_messages=True))
    assert thread.sent() == 0
    assert thread.session.continuation.wanted is None
    assert thread.decision == ("wait", "pending_messages")


def test_an_idle_host_that_nobody_wants_anything_of_hears_nothing() -> None:
    thread = started()
    before = thread.session.decision
    thread.do(e.HostChanged(idle=True, context_window=5))
    assert thread.session.decision is before
    thread.do(e.HostChanged())
    assert thread.session.host.context_window == 5


def test_a_turn_for_tools_decides_nothing() -> None:
    thread = started()
    thread.do(e.TurnStarted(turn_index=0))
    message = e.Message(role="assistant", stop_reason="toolUse")
    thread.do(e.TurnEnded(turn_index=0, message=message))
    assert thread.last.decision is None
    assert thread.sent() == 1


@pytest.mark.parametrize("stop", ["stop", "length"])
def test_a_turn_that_ended_decides(stop: Any) -> None:
    thread = started()
    thread.do(e.TurnStarted(turn_index=0))
    thread.do(e.TurnEnded(turn_index=0, message=e.Message(role="assistant", stop_reason=stop)))
    assert thread.sent() == 2


def test_a_run_without_an_answer_decides_too() -> None:
    thread = started()
    thread.do(e.TurnStarted(turn_index=0), e.AgentEnded(messages=(e.Message(role="user"),)))
    assert thread.sent() == 2


# Work that is out of date.


def test_stale_input_is_swallowed() -> None:
    thread = started()
    thread.do(e.InputReceived(source="extension", work=e.GoalWork("continuation", "old")))
    assert thread.reply.code == "handled"
    thread.do(e.InputReceived(source="extension", work=e.GoalWork("continuation", "goal-1")))
    assert thread.last.reply is None
    thread.do(e.InputReceived(source="extension"))
    assert thread.last.reply is None


def aborting() -> CheckedThread:
    """Return a thread whose host is aborting a turn of the goal before."""
    thread = started()
    thread.give("Another", replace=True)
    stale = e.GoalWork("continuation", "goal-1")
    thread.do(
        e.HostChanged(idle=False),
        e.AgentStarting(work=stale),
        e.TurnStarted(turn_index=5),
        e.MessageStarted(message=e.Message(role="custom", work=stale)),
        e.ContextRequested(),
    )
    assert thread.asked(f.AbortRun)
    return thread


def test_nothing_continues_while_stale_work_is_being_aborted() -> None:
    thread = aborting()
    thread.do(e.SteeringReceived(message_id="m", text="x"))
    assert thread.decision == ("wait", "stale_work")


def test_a_stale_turn_charges_and_pauses_nobody() -> None:
    thread = aborting()
    goal = thread.goal
    thread.advance(50)
    stopped = e.Message(role="assistant", stop_reason="aborted")
    thread.do(
        e.ToolFinished(),
        e.CompactionStarted(),
        e.CompactionEnded(),
        e.TurnEnded(turn_index=5, message=stopped),
        e.AgentEnded(messages=(stopped,)),
    )
    assert thread.goal == goal
    assert thread.session.stale == IDLE


def test_a_person_who_writes_goes_on_after_a_stale_turn() -> None:
    thread = aborting()
    thread.do(e.InputReceived(source="interactive"))
    assert thread.session.stale != IDLE
    thread.do(e.SteeringReceived(message_id="m", text="x"))
    assert thread.decision != ("wait", "stale_work")


def test_a_message_of_the_model_itself_enters_no_turn() -> None:
    thread = started()
    before = thread.session
    thread.do(e.MessageStarted(message=e.Message(role="assistant")))
    assert thread.session is before
