"""A machine of an embedder's that refuses what the engine would do: refused, never raised."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from tests.session.refusing import at_work


def test_the_last_continuation_without_a_limit_sends_no_other() -> None:
    thread = at_work("limit", limits=Limits(continuations=1))
    thread.end(answer="a")
    assert (thread.status, thread.sent()) == ("active", 1)
    assert thread.decision == ("stop", "continuation_limit")


def test_turns_that_get_nowhere_without_a_pause_are_followed_by_none() -> None:
    thread = at_work("pause", policy=Policy(no_progress=1))
    thread.end(answer="", tools=(0, 0))
    assert (thread.status, thread.sent()) == ("active", 1)
    assert thread.decision == ("stop", "no_progress")


def test_a_quota_without_a_pause_leaves_the_goal_as_it_is() -> None:
    thread = at_work("pause", "recovery_pause")
    thread.fail("You exceeded your current quota", retry_after=600.0)
    assert thread.goal.resume_at_ms is None
    assert thread.status == "active"


def test_an_error_without_a_pause_leaves_the_goal_as_it_is() -> None:
    thread = at_work("recovery_pause")
    thread.fail("401 invalid api key")
    assert thread.status == "active"


def test_an_interruption_without_a_pause_leaves_the_goal_as_it_is() -> None:
    thread = at_work("abort_pause")
    thread.end(outcome="aborted")
    assert thread.status == "active"


def test_a_start_that_should_pause_leaves_the_goal_as_it_is() -> None:
    thread = at_work("pause", policy=Policy(on_start="pause"))
    thread.restart()
    assert thread.status == "active"


def test_a_shutdown_without_a_pause_forgets_the_trouble() -> None:
    thread = at_work("recovery_shutdown_pause")
    thread.fail()
    thread.do(e.ShutdownStarted())
    assert thread.status == "active"
    assert thread.session.recovery.attention is None


@pytest.mark.parametrize("accepted", [True, False])
def test_a_claim_that_a_person_decides_about(*, accepted: bool) -> None:
    """Accepted, it is refused by the machine; rejected, the goal cannot be taken up again."""
    thread = at_work("complete", "resume", verifiers=(Verifier(kind="command"),))
    thread.claim_complete()
    claim = thread.session.claim
    assert claim is not None
    thread.do(
        e.VerificationFinished(claim_id=claim.claim_id, index=0, outcome="unverifiable"),
        e.ClaimAccepted() if accepted else e.ClaimRejected(feedback="no"),
    )
    assert (thread.status, thread.goal.pause_reason) == ("paused", "verification")
    assert thread.reply.ok is not accepted


def test_a_due_resume_that_is_refused_is_not_asked_for_again() -> None:
    thread = at_work("resume")
    thread.fail("You exceeded your current quota", retry_after=60.0)
    thread.advance(60)
    thread.do(e.TimerFired())
    assert (thread.status, thread.wake) == ("paused", None)


def test_a_command_that_is_refused_says_which_guard_is_against_it() -> None:
    thread = at_work("pause", "complete", "edit", "raise_budget", "block", "clear")
    for event in (
        e.CompletionRequested(),
        e.EditRequested(objective="x"),
        e.BudgetChanged(limits=Limits(tokens=5)),
        e.BlockRequested(),
    ):
        thread.do(event)
        assert (thread.reply.ok, thread.reply.code) == (False, "status_not_allowed")
    assert thread.status == "active"


def test_a_goal_that_may_not_be_cleared_stays() -> None:
    thread = at_work("clear")
    goal = thread.goal
    thread.do(e.ClearRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "status_not_allowed")
    assert thread.goal == goal


def test_a_recovery_that_may_not_go_on_stays_paused() -> None:
    thread = at_work("resume")
    thread.fail()
    thread.do(e.ShutdownStarted())
    thread.restart(after_crash=False)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "shutdown")


def test_a_history_may_hold_a_goal_that_no_row_would_have_made() -> None:
    thread = at_work("limit", "pause")
    odd = replace(thread.goal, status="budgetLimited", limited_by=None, token_budget=None)
    thread.do(e.TreeChanged(history=(SetEntry(source="runtime", goal=odd),)))
    thread.end()
    assert thread.status == "budgetLimited"
