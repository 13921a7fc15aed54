"""The command that completes a goal: when it is run, and what it means."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.work import can_begin, under_way
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.status import project
from tests.session.hosts import SHOWN, started
from tests.session.refusing import at_work

UNTIL = Verifier(kind="command", name="make test", argv=("make", "test"))
COMMAND = Verifier(kind="command", name="lint", argv=("lint",))


def given(policy: Policy | None = None, **fields: Any) -> CheckedThread:
    """Return a thread with a goal that a command completes."""
    return started(policy, until=UNTIL, **fields)


def check(
    thread: CheckedThread,
    outcome: Literal["passed", "failed", "unverifiable"],
    detail: str = "make test",
    *,
    timed_out: bool = False,
) -> None:
    """Let the command that is due end."""
    assert thread.session.check is not None
    thread.do(
        e.UntilChecked(
            check_id=thread.session.check.check_id,
            outcome=outcome,
            detail=detail,
            timed_out=timed_out,
        )
    )


def test_it_is_run_after_each_turn_that_ended_well_and_before_the_next_decision() -> None:
    thread = given()
    thread.dispatch()
    assert not thread.asked(f.RunUntil)
    thread.end()
    (asked,) = thread.asked(f.RunUntil)
    assert thread.session.check is not None
    assert asked.check_id == thread.session.check.check_id
    assert (thread.decision, thread.sent()) == (("wait", "verification"), 1)
    assert (can_begin(thread.session), under_way(thread.session)) == (False, True)
    status = project(thread.session, thread.now_ms)
    assert (status.activity, status.detail) == ("verifying", "--until: make test")
    check(thread, "failed")
    assert (thread.reply.code, thread.decision, thread.sent()) == (
        "not_yet",
        ("continue", "otherwise"),
        2,
    )
    assert thread.session.notices == ()  # what it says is no feedback
    thread.turn()
    assert thread.asked(f.RunUntil)


def test_its_success_is_a_claim_with_its_output_as_evidence_for_everything() -> None:
    thread = given(criteria=(Criterion(text="builds"), Criterion(text="passes")))
    thread.turn()
    check(thread, "passed", "make test\n12 passed")
    assert (thread.reply.code, thread.status) == ("marked", "complete")
    done = thread.session.completion
    assert done is not None
    assert [(item.criterion, item.text) for item in done.evidence] == [
        (1, "make test\n12 passed"),
        (2, "make test\n12 passed"),
    ]
    assert (done.accepted_by, thread.session.check) == ("engine", None)


def test_other_verifiers_and_a_persons_acceptance_still_follow() -> None:
    thread = given(verifiers=(COMMAND, Verifier(kind="person")))
    thread.turn()
    check(thread, "passed")
    assert (thread.reply.code, thread.status) == ("verifying", "active")
    (asked,) = thread.asked(f.RunVerifier)
    thread.do(e.VerificationFinished(claim_id=asked.claim_id, index=0, outcome="passed"))
    assert thread.reply.code == "waiting"
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"


@pytest.mark.parametrize("outcome", ["failed", "timed_out"])
def test_a_turn_that_failed_is_not_checked(outcome: Literal["failed", "timed_out"]) -> None:
    thread = given()
    thread.dispatch()
    thread.end(outcome=outcome, error="503 Service Unavailable")
    assert (thread.session.check, thread.asked(f.RunUntil)) == (None, [])


def test_a_turn_that_was_lost_is_not_checked() -> None:
    thread = given()
    thread.dispatch()
    thread.interrupt()
    assert thread.session.check is None


def test_it_waits_until_nothing_of_the_turn_is_left() -> None:
    thread = given()
    thread.dispatch()
    message = e.Message(role="assistant", stop_reason="stop")
    thread.do(e.RunFinished(run_id="run-1", message=message, gone=False))
    assert not thread.asked(f.RunUntil)
    thread.do(e.HostChanged(idle=True))
    assert thread.asked(f.RunUntil)
    assert thread.sent() == 1


def test_what_the_turn_claimed_is_verified_instead() -> None:
    thread = given(verifiers=(COMMAND,))
    thread.dispatch()
    thread.call("update_goal", **SHOWN)
    thread.end()
    assert thread.asked(f.RunVerifier)
    assert thread.session.check is None


def test_it_waits_for_what_the_turn_waits_for() -> None:
    thread = given()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="process", pid=77, run_token="token-1"))
    thread.end()
    assert not thread.asked(f.RunUntil)
    assert thread.decision == ("wait", "wait")
    thread.do(e.ProcessEnded(pid=77))
    assert thread.asked(f.RunUntil)
    assert thread.decision == ("wait", "verification")
    check(thread, "passed")
    assert thread.status == "complete"


@pytest.mark.parametrize(
    "said",
    [e.SteeringReceived(message_id="m1", text="and lint"), e.EditRequested(objective="And lint")],
)
@pytest.mark.parametrize("when", ["turn", "check"])
def test_an_unread_word_makes_it_wait_one_turn(said: e.Event, when: str) -> None:
    thread = given()
    thread.dispatch()
    if when == "turn":
        thread.do(said)
    thread.end()
    if when == "check":
        thread.do(said)
    if thread.session.check is not None:  # an edit has dropped what was about the goal before
        check(thread, "passed")
        assert thread.reply.code == "unread"
    assert (thread.status, thread.sent()) == ("active", 2)
    thread.turn()
    check(thread, "passed")
    assert thread.status == "complete"


def test_words_need_not_be_read_where_the_policy_says_so() -> None:
    thread = given(Policy(unread_claims="allow"))
    thread.dispatch()
    thread.do(e.SteeringReceived(message_id="m1", text="and lint"))
    thread.end()
    check(thread, "passed")
    assert thread.status == "complete"


def test_a_timeout_pauses_once_and_is_a_no_after_that() -> None:
    thread = given()
    thread.turn()
    check(thread, "unverifiable", "make test: timed out after 600 s", timed_out=True)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "verification")
    assert thread.goal.note == "make test: timed out after 600 s"
    thread.do(e.ResumeRequested())
    thread.turn()
    check(thread, "unverifiable", "make test: timed out after 600 s", timed_out=True)
    assert (thread.reply.code, thread.status, thread.sent()) == ("not_yet", "active", 3)
    thread.do(e.EditRequested(until=COMMAND))
    assert not thread.session.until_late


def test_what_cannot_be_run_pauses_each_time() -> None:
    thread = given()
    for _ in range(2):
        thread.turn()
        check(thread, "unverifiable", "make: No such file")
        assert (thread.status, thread.goal.pause_reason) == ("paused", "verification")
        thread.do(e.ResumeRequested())


def test_a_pause_that_a_rule_refuses_leaves_the_goal_active() -> None:
    thread = at_work("pause", until=UNTIL)
    thread.end()
    check(thread, "unverifiable")
    assert (thread.reply.code, thread.status) == ("unverifiable", "active")


def test_a_goal_that_is_paused_meanwhile_stays_as_it_is() -> None:
    thread = given()
    thread.turn()
    thread.do(e.PauseRequested())
    check(thread, "unverifiable")
    assert (thread.reply.code, thread.status) == ("unverifiable", "paused")
    assert thread.goal.pause_reason == "user"


def test_a_goal_that_a_person_has_paused_is_checked_when_it_is_resumed() -> None:
    thread = given()
    thread.dispatch()
    thread.do(e.PauseRequested())
    thread.end()
    assert not thread.asked(f.RunUntil)
    thread.do(e.ResumeRequested())
    assert thread.asked(f.RunUntil)
    assert (thread.decision, thread.sent()) == (("wait", "verification"), 1)


def test_the_last_turn_of_a_budget_may_have_done_it() -> None:
    thread = given(limits=Limits(tokens=100))
    thread.dispatch()
    thread.use(200)
    thread.end()
    assert thread.status == "budgetLimited"
    assert thread.asked(f.RunUntil)
    assert not can_begin(thread.session)  # the wind-down comes after it
    check(thread, "passed")
    assert (thread.status, thread.session.wind_down) == ("complete", "done")


def test_the_last_of_the_turns_may_have_done_it() -> None:
    thread = given(limits=Limits(continuations=1))
    thread.turn()
    check(thread, "passed")
    assert thread.status == "complete"
    other = given(limits=Limits(continuations=1))
    other.turn()
    check(other, "failed")
    assert (other.status, other.goal.limited_by) == ("budgetLimited", "continuations")


def test_an_outcome_that_nobody_asks_for_changes_nothing() -> None:
    thread = given()
    thread.turn()
    before = thread.session.check
    assert before is not None
    thread.give("Another", replace=True)
    late = e.UntilChecked(check_id=before.check_id, outcome="passed")
    thread.do(late)
    assert (thread.reply.code, thread.status) == ("stale_check", "active")


def test_an_edit_drops_it_or_takes_another() -> None:
    thread = given()
    thread.turn()
    thread.do(e.EditRequested(no_until=True))
    assert (thread.goal.until, thread.session.check) == (None, None)
    assert thread.reply.message == "the command that completes the goal is updated"
    thread.turn()
    assert not thread.asked(f.RunUntil)
    thread.do(e.EditRequested(until=COMMAND))
    thread.turn()
    assert thread.goal.until == COMMAND
    assert thread.asked(f.RunUntil)


def test_a_run_that_a_host_begins_meanwhile_comes_first() -> None:
    thread = given()
    thread.do(e.AgentStarting(), e.TurnStarted(turn_index=1))
    done = e.Message(role="assistant", stop_reason="stop")
    thread.do(e.TurnEnded(turn_index=1, message=done), e.AgentEnded(messages=(done,)))
    assert thread.session.check is not None
    thread.do(e.AgentStarting())
    assert thread.session.check is None
    thread.do(e.AgentEnded())
    assert thread.session.check is not None


def test_it_is_asked_for_again_after_a_restart() -> None:
    thread = given()
    thread.dispatch()
    thread.do(e.ShutdownStarted())
    thread.end()
    assert not thread.asked(f.RunUntil)
    thread.restart(after_crash=False)
    assert thread.asked(f.RunUntil)


@pytest.mark.parametrize(
    "over", [e.CompletionRequested(), e.ObjectiveGiven(objective="y", until=UNTIL, replace=True)]
)
def test_a_turn_that_is_nobodys_any_more_is_not_checked(over: e.Event) -> None:
    thread = given()
    thread.dispatch()
    thread.do(over)
    thread.end()
    assert (thread.session.check, thread.asked(f.RunUntil)) == (None, [])
