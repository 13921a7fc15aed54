"""Two things at once: a person acts while something of the engine's is under way."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.activity import activity, hint
from tests.session.hosts import started

PERSON = Verifier(kind="person")
COMMAND = Verifier(kind="command", argv=("make", "check"))
QUOTA = "You exceeded your current quota"


def limited(**fields: object) -> CheckedThread:
    """Return a thread whose first turn used its budget up and has ended."""
    thread = started(limits=Limits(tokens=100), **fields)
    thread.dispatch()
    thread.use(200)
    thread.end()
    assert (thread.status, thread.session.wind_down) == ("budgetLimited", "owed")
    return thread


def claimed(*verifiers: Verifier) -> CheckedThread:
    """Return a thread whose first turn claimed completion and has ended."""
    thread = started(verifiers=verifiers)
    thread.dispatch()
    thread.claim_complete()
    thread.end()
    assert thread.session.claim is not None
    return thread


def out_of_quota(seconds: float = 3_600.0) -> CheckedThread:
    """Return a thread that is paused until the quota is there again."""
    thread = started()
    thread.dispatch()
    thread.fail(QUOTA, retry_after=seconds)
    assert thread.goal.pause_reason == "usage_limit"
    return thread


# The turn that winds down.


@pytest.mark.parametrize("outcome", ["aborted", "failed"])
def test_the_wind_down_of_a_replaced_goal_is_not_its_successors_trouble(outcome: str) -> None:
    thread = limited()
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.end(outcome=outcome, error="401 invalid api key")  # type: ignore[arg-type]
    assert (thread.status, thread.goal.objective) == ("active", "Another")
    assert thread.session.recovery.attention is None
    assert thread.session.wind_down == "none"
    assert thread.decision == ("continue", "otherwise")


def test_tokens_of_the_wind_down_of_a_replaced_goal_are_not_its_successors() -> None:
    thread = limited()
    thread.dispatch()
    thread.give("Another", replace=True)
    thread.end()
    assert thread.goal.tokens_used == 0


def test_a_pause_calls_an_owed_wind_down_off() -> None:
    """Whoever presses pause wants no further turn: not even the one that winds down."""
    thread = limited()
    thread.do(e.PauseRequested())
    assert thread.reply.ok
    assert (thread.status, thread.session.wind_down) == ("budgetLimited", "done")
    thread.do(e.BudgetChanged(limits=Limits(tokens=1_000)))
    assert (thread.status, thread.sent()) == ("active", 2)


def test_a_wind_down_that_was_called_off_is_not_delivered_into_the_turn() -> None:
    thread = started(limits=Limits(tokens=100))
    thread.dispatch("steer")
    thread.use(200)
    thread.do(e.PauseRequested(), e.WindDownDelivered(run_id="run-1"))
    assert thread.session.wind_down == "done"


def test_a_pause_during_the_wind_down_changes_nothing() -> None:
    """It is the last turn anyway."""
    thread = limited()
    thread.dispatch()
    thread.do(e.PauseRequested())
    assert thread.reply.code == "only_active_can_pause"
    thread.end()
    assert (thread.session.wind_down, thread.sent()) == ("done", 1)


def test_a_wind_down_that_fails_is_not_tried_again() -> None:
    thread = limited()
    thread.dispatch()
    thread.fail()
    assert (thread.session.wind_down, thread.wake, thread.sent("wind_down")) == ("done", None, 1)


# An open claim.


def test_a_claim_survives_a_pause_and_its_resume() -> None:
    """What a person still has to accept is not made again by a turn that nobody needs."""
    thread = claimed(PERSON)
    thread.do(e.PauseRequested(), e.ResumeRequested())
    assert thread.decision == ("wait", "verification")
    assert thread.sent() == 1
    assert "accept" in hint(thread.session)
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"


def test_a_claim_survives_the_raise_of_the_budget_that_its_turn_used_up() -> None:
    thread = started(verifiers=(PERSON,), limits=Limits(tokens=100))
    thread.dispatch()
    thread.use(200)
    thread.claim_complete()
    thread.end()
    thread.do(e.BudgetChanged(limits=Limits(tokens=1_000)))
    assert (thread.status, thread.decision) == ("active", ("wait", "verification"))
    thread.do(e.ClaimRejected(feedback="no"))
    assert thread.sent() == 2


def test_a_resumed_claim_that_nobody_can_verify_is_given_up() -> None:
    """Kept open, it would be waited for without end."""
    thread = claimed(COMMAND)
    thread.do(
        e.PauseRequested(),
        e.VerificationFinished(
            claim_id="claim-2", index=0, outcome="unverifiable", detail="no such program: make"
        ),
        e.ResumeRequested(),
    )
    assert thread.session.claim is None
    assert thread.decision == ("continue", "otherwise")
    assert "unverifiable:verifier 1: no such program: make" in thread.session.notices


def test_a_verifier_that_answers_during_a_pause_settles_the_claim() -> None:
    thread = claimed(COMMAND)
    thread.do(
        e.PauseRequested(),
        e.VerificationFinished(claim_id="claim-2", index=0, outcome="passed"),
    )
    assert thread.status == "complete"


def test_an_edit_voids_the_claim_that_a_person_is_asked_about() -> None:
    thread = claimed(PERSON)
    thread.do(e.EditRequested(objective="Something else"))
    assert thread.sent() == 2
    thread.do(e.ClaimAccepted())
    assert (thread.reply.code, thread.status) == ("no_claim", "active")


# A pending retry, a used-up quota.


@pytest.mark.parametrize(
    "event",
    [
        e.SteeringReceived(message_id="m", text="Hurry up."),
        e.WakeRequested(),
        e.BudgetChanged(limits=Limits(tokens=1_000)),
        e.EditRequested(objective="Something else"),
        e.PolicyChanged(changes={"no_progress": 5}),
        e.CompactionEnded(),
        e.TimerFired(),
        e.EngineStarted(after_crash=True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_but_a_resume_hastens_a_retry(event: e.Event) -> None:
    thread = started()
    thread.dispatch()
    thread.fail()
    thread.advance(1)
    thread.do(event)
    assert (thread.sent(), thread.wake) == (1, 1_000)
    assert thread.decision == ("wait", "recovery")


@pytest.mark.parametrize(
    "event",
    [
        e.SteeringReceived(message_id="m", text="Hurry up."),
        e.WakeRequested(),
        e.BudgetChanged(limits=Limits(tokens=1_000)),
        e.EditRequested(objective="Something else"),
        e.PolicyChanged(changes={"no_progress": 5}),
        e.TimerFired(),
        e.EngineStarted(after_crash=True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_nothing_but_a_resume_hastens_the_reset_of_a_quota(event: e.Event) -> None:
    thread = out_of_quota()
    thread.advance(600)
    thread.do(event)
    assert (thread.sent(), thread.wake) == (1, 3_000_000)
    assert thread.goal.pause_reason == "usage_limit"


def test_a_resume_before_the_reset_tries_at_once_and_pauses_again() -> None:
    thread = out_of_quota()
    thread.do(e.ResumeRequested())
    assert (thread.sent(), thread.goal.resume_at_ms) == (2, None)
    thread.dispatch()
    thread.fail(QUOTA, retry_after=3_000.0)
    assert (thread.status, thread.wake) == ("paused", 3_000_000)


def test_a_pause_of_a_person_outlasts_the_reset_of_the_quota() -> None:
    thread = out_of_quota()
    thread.do(e.PauseRequested())
    thread.advance(7_200)
    thread.do(e.TimerFired(), e.EngineStarted())
    assert (activity(thread.session).text, thread.sent()) == ("paused (user)", 1)


# Waits.


def test_a_wait_that_is_woken_in_its_own_turn_continues_once() -> None:
    thread = started()
    thread.dispatch()
    thread.do(
        e.WaitDeclared(kind="event", run_token="token-1"),
        e.WakeRequested(),
        e.WakeRequested(),
    )
    assert thread.reply.code == "not_waiting"
    thread.end()
    assert thread.sent() == 2


def test_what_happens_while_the_goal_is_paused_starts_nothing() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="process", pid=7, run_token="token-1"))
    thread.end()
    thread.do(e.PauseRequested(), e.ProcessEnded(pid=7))
    assert (thread.status, thread.sent()) == ("paused", 1)
    thread.do(e.ResumeRequested())
    assert thread.sent() == 2
    assert thread.session.notices == ("resumed",)


@pytest.mark.parametrize("leave", [e.PauseRequested(), e.BlockRequested()])
def test_a_goal_that_stops_waits_for_nothing_any_more(leave: e.Event) -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="process", pid=7, run_token="token-1"))
    thread.end()
    thread.do(leave)
    assert (thread.session.waits, thread.wake) == ((), None)
    thread.do(e.ResumeRequested())
    assert thread.sent() == 2


def test_a_goal_that_used_its_budget_up_waits_for_nothing_any_more() -> None:
    thread = started(limits=Limits(tokens=100))
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="process", pid=7, run_token="token-1"))
    thread.use(200)
    thread.end()
    assert thread.session.waits == ()
    thread.do(e.BudgetChanged(limits=Limits(tokens=1_000)))
    assert (thread.status, thread.sent()) == ("active", 2)


def test_an_error_after_a_wait_was_declared_waits_for_both() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="event", run_token="token-1"))
    thread.fail()
    thread.do(e.WakeRequested())
    assert (thread.sent(), thread.decision) == (1, ("wait", "recovery"))
    thread.advance(2)
    thread.do(e.TimerFired())
    assert thread.sent() == 2


@pytest.mark.parametrize("reason", ["user", "no_progress", "recovery", "verification"])
def test_more_budget_does_not_end_a_pause(reason: str) -> None:
    thread = started(Policy(), limits=Limits(tokens=100))
    thread.do(
        e.PauseRequested(reason=reason),  # type: ignore[arg-type]
        e.BudgetChanged(limits=Limits(tokens=1_000)),
    )
    assert thread.reply.code == "budget_changed"
    assert (thread.status, thread.goal.pause_reason, thread.sent()) == ("paused", reason, 1)


def test_a_complete_goal_is_not_steered() -> None:
    thread = started()
    thread.dispatch()
    thread.claim_complete()
    thread.end()
    thread.do(e.SteeringReceived(message_id="m", text="One more thing."))
    assert (thread.reply.code, thread.sent()) == ("no_goal", 1)
    assert thread.session.steering == ()
