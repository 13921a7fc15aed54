"""What is said into an open claim, what that claim counts for, and when it is verified."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from tests.session.hosts import started
from tests.session.speaking import COMMAND, EDIT, PERSON, claim, in_a_host, open_claim, running, say


@pytest.mark.parametrize("checks", [(COMMAND,), (PERSON,), (COMMAND, PERSON)])
def test_a_message_sets_the_open_claim_aside_and_says_so(checks: tuple[Verifier, ...]) -> None:
    thread = open_claim(*checks)
    thread.do(say())
    assert thread.reply.message == (
        "the open completion claim is set aside; the next turn takes it into account"
    )
    assert (thread.session.claim, thread.sent()) == (None, 2)
    assert thread.session.notices == ("set_aside:a person's message came",)


def test_accept_says_which_claim_was_set_aside_and_by_what() -> None:
    thread = open_claim(PERSON)
    thread.do(say(), e.ClaimAccepted())
    assert (thread.reply.ok, thread.reply.code) == (False, "no_claim")
    assert thread.reply.message == (
        "there is no claim to accept: claim claim-2 was set aside when a person's message came: "
        "do not drop the column"
    )
    assert "next claim" in thread.reply.hint
    thread.do(e.ClaimRejected())
    assert "claim-2" in thread.reply.message
    thread.dispatch()
    claim(thread)
    thread.end()
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"


@pytest.mark.parametrize(
    ("edit", "notice"),
    [
        (EDIT, "set_aside:a person changed the objective or its criteria"),
        (
            e.EditRequested(verifiers=(COMMAND, COMMAND)),
            "set_aside:a person changed what completion is checked by",
        ),
        (
            e.EditRequested(acceptance=True),
            "set_aside:a person changed what completion is checked by",
        ),
    ],
)
def test_an_edit_of_the_goal_or_its_checks_sets_the_claim_aside(
    edit: e.EditRequested, notice: str
) -> None:
    thread = open_claim()
    thread.do(edit)
    assert "the open completion claim is set aside" in thread.reply.message
    assert (thread.session.claim, thread.sent()) == (None, 2)
    assert notice in thread.session.notices


def test_an_edit_of_budgets_leaves_the_claim_alone() -> None:
    thread = open_claim()
    before = thread.session.claim
    thread.do(e.BudgetChanged(limits=Limits(tokens=1_000)))
    assert thread.session.claim == before


def test_what_a_person_writes_to_a_host_sets_the_claim_aside() -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    thread.do(e.InputReceived(source="interactive"))
    assert thread.session.claim is None
    allowing = started(Policy(unread_claims="allow"), verifiers=(COMMAND,))
    claim(allowing)
    allowing.do(e.InputReceived(source="interactive"), say())
    assert allowing.session.claim is not None


def test_the_late_verifier_of_a_claim_that_was_set_aside_completes_nothing() -> None:
    thread = open_claim()
    before = thread.session.claim
    assert before is not None
    thread.do(say())
    thread.do(e.VerificationFinished(claim_id=before.claim_id, index=0, outcome="passed"))
    assert (thread.reply.code, thread.status) == ("stale_claim", "active")


# A person's block.


def test_a_persons_block_sets_the_claim_aside() -> None:
    thread = open_claim(PERSON)
    thread.do(e.BlockRequested(reason="wrong credentials"))
    assert thread.reply.message == "the goal is blocked; the open completion claim is set aside"
    thread.do(e.ClaimAccepted())
    assert "a person declared the goal blocked: wrong credentials" in thread.reply.message
    assert thread.status == "blocked"


def test_only_a_person_leaves_a_persons_block() -> None:
    thread = running()
    thread.do(e.BlockRequested(reason="wrong credentials"))
    assert claim(thread) == "blocked_by_person"
    thread.do(e.ResumeRequested(origin="system"))
    assert (thread.reply.code, thread.status) == ("blocked_by_person", "blocked")
    thread.do(e.BlockRequested())
    assert thread.reply.code == "already_blocked"
    thread.do(e.ResumeRequested())
    assert (thread.status, thread.goal.blocked_by) == ("active", None)
    assert claim(thread) == "marked"


def test_a_goal_that_the_model_blocked_may_still_be_completed_by_its_run() -> None:
    thread = started(Policy(blocked_after=1))
    thread.dispatch()
    thread.claim_blocked()
    assert (thread.status, thread.goal.blocked_by) == ("blocked", "model")
    assert claim(thread) == "marked"


# The claim and its revision.


def test_a_claim_counts_in_the_revision() -> None:
    thread = running(PERSON)
    before = thread.goal.revision
    claim(thread)
    first = thread.goal.revision
    thread.end()
    assert first > before
    thread.do(e.ClaimRejected(feedback="thin"))
    thread.dispatch()
    claim(thread)
    thread.do(e.ClaimAccepted(expected_revision=first))
    assert (thread.reply.code, thread.status) == ("revision_changed", "active")


@pytest.mark.parametrize("answer", [e.ClaimAccepted, e.ClaimRejected])
def test_an_answer_is_about_the_claim_that_was_seen(answer: type) -> None:
    thread = open_claim(PERSON)
    first = thread.session.claim
    assert first is not None
    thread.do(e.ClaimRejected(feedback="thin"))
    thread.dispatch()
    claim(thread)
    thread.do(answer(expected_claim=first.claim_id))
    assert (thread.reply.ok, thread.reply.code) == (False, "claim_changed")
    second = thread.session.claim
    assert second is not None
    thread.do(answer(expected_claim=second.claim_id))
    assert thread.reply.ok


# When verifiers are asked for.


@pytest.mark.parametrize(
    "over",
    [
        e.AgentEnded(),
        e.HostChanged(idle=True),
        e.AgentStarting(),
        e.EngineStarted(after_crash=True),
    ],
)
def test_a_hosts_verifiers_are_asked_for_when_its_run_is_over(over: e.Event) -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    assert not thread.asked(f.RunVerifier)
    thread.do(over)
    assert len(thread.asked(f.RunVerifier)) == 1
    thread.do(e.HostChanged(idle=True), e.EngineStarted())
    assert sum(isinstance(one, f.RunVerifier) for one in thread.effects) == 1


def test_with_no_run_open_the_verifiers_are_asked_for_in_the_call() -> None:
    thread = started(verifiers=(COMMAND,))
    claim(thread)
    assert len(thread.asked(f.RunVerifier)) == 1


@pytest.mark.parametrize("outcome", ["failed", "timed_out", "aborted"])
def test_the_claim_of_a_run_that_failed_is_void(outcome: Any) -> None:
    thread = running(COMMAND)
    claim(thread)
    thread.end(outcome=outcome)
    assert thread.session.claim is None
    assert not any(isinstance(one, f.RunVerifier) for one in thread.effects)
    assert "set_aside:the turn that had made it failed" in thread.session.notices


def test_the_claim_of_a_hosts_run_that_failed_is_void() -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    thread.do(
        e.AgentEnded(messages=(e.Message(role="assistant", stop_reason="error", error="503"),))
    )
    assert thread.session.claim is None


def test_a_claim_that_is_being_verified_outlives_another_runs_failure() -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    thread.do(e.AgentEnded(), e.AgentStarting())
    thread.do(
        e.AgentEnded(messages=(e.Message(role="assistant", stop_reason="error", error="503"),))
    )
    assert thread.session.claim is not None


def test_the_claim_of_a_run_that_was_lost_is_verified() -> None:
    thread = running(COMMAND)
    claim(thread)
    thread.interrupt()
    assert any(isinstance(one, f.RunVerifier) for one in thread.effects)


def test_a_claim_while_the_work_waits_is_refused() -> None:
    thread = running()
    thread.do(e.WaitDeclared(kind="event", run_token="token-1"))
    assert claim(thread) == "waiting"
    assert thread.status == "active"


def test_what_speaks_for_the_whole_goal_speaks_for_its_one_criterion() -> None:
    thread = running(criteria=(Criterion(text="fast"),))
    assert claim(thread) == "marked"
