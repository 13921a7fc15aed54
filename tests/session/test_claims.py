"""What the model claims, and what has to be shown before that counts."""

from __future__ import annotations

from hashlib import sha256
from typing import Literal

import pytest

from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import default_machine
from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

COMMAND = Verifier(kind="command", argv=("make", "test"))
CALLABLE = Verifier(kind="callable", name="judge")
PERSON = Verifier(kind="person")


def claimed(*verifiers: Verifier, policy: Policy | None = None) -> CheckedThread:
    """Return a thread whose model has claimed completion in its first turn."""
    thread = started(policy, verifiers=verifiers)
    thread.dispatch()
    thread.claim_complete("all tests pass")
    return thread


def answer(
    thread: CheckedThread,
    index: int,
    outcome: Literal["passed", "failed", "unverifiable"],
    detail: str = "",
) -> None:
    """Let one verifier answer."""
    claim = thread.session.claim
    assert claim is not None
    thread.do(
        e.VerificationFinished(claim_id=claim.claim_id, index=index, outcome=outcome, detail=detail)
    )


def test_an_edit_while_the_claim_is_verified_takes_the_work_up_again() -> None:
    """The claim was about the old words; nobody would go on after its verifiers."""
    thread = claimed(COMMAND)
    thread.end()
    thread.do(e.EditRequested(objective="Something more"))
    assert thread.session.claim is None
    assert thread.sent() == 2


def test_a_claim_with_evidence_completes_a_goal_without_verifiers() -> None:
    thread = claimed()
    assert (thread.reply.ok, thread.reply.code, thread.status) == (True, "marked", "complete")
    done = thread.session.completion
    assert done is not None
    assert done.accepted_by == "engine"
    assert [item.text for item in done.evidence] == ["all tests pass"]
    assert done.run_id == "run-1"
    assert thread.history[-1] == SetEntry(source="tool", goal=thread.goal)
    thread.end()
    assert thread.sent() == 1


def test_the_digest_seals_the_evidence_as_it_was_shown() -> None:
    done = claimed().session.completion
    assert done is not None
    canonical = b'[{"text":"all tests pass","criterion":null}]'
    assert done.digest == sha256(canonical).hexdigest()


def test_a_claim_without_evidence_is_refused() -> None:
    thread = started()
    thread.dispatch()
    reply = thread.call("update_goal", status="complete")
    assert (reply.ok, reply.code) == (False, "evidence_missing")
    assert thread.status == "active"


def test_where_the_policy_asks_for_none_a_claim_needs_no_evidence() -> None:
    thread = started(Policy(evidence_required=False))
    assert thread.call("update_goal", status="complete").code == "marked"
    assert thread.session.completion is not None
    assert thread.session.completion.digest == ""


def test_every_criterion_needs_evidence() -> None:
    criteria = (Criterion(text="fast"), Criterion(text="small"))
    thread = started(criteria=criteria)
    reply = thread.call(
        "update_goal", status="complete", evidence=[{"text": "3 ms", "criterion": 1}]
    )
    assert reply.code == "evidence_missing"
    assert reply.message == "no evidence for criterion 2 (small)"
    both = [{"text": "3 ms", "criterion": 1}, {"text": "9 kB", "criterion": 2}]
    assert thread.call("update_goal", status="complete", evidence=both).code == "marked"


def test_evidence_for_a_criterion_that_is_not_there_is_refused() -> None:
    thread = started(criteria=(Criterion(text="fast"),))
    reply = thread.call("update_goal", status="complete", evidence=[{"text": "x", "criterion": 2}])
    assert reply.message == "there is no criterion 2; the goal has 1"


def test_a_second_claim_of_a_complete_goal_is_harmless() -> None:
    thread = claimed()
    goal = thread.goal
    assert thread.claim_complete("again").code == "already_complete"
    assert thread.goal == goal


def test_without_a_goal_there_is_nothing_to_claim() -> None:
    thread = CheckedThread()
    assert thread.claim_complete().code == "no_goal"
    assert thread.claim_blocked().code == "no_goal"


def test_the_engine_runs_verifiers_and_nobody_works_meanwhile() -> None:
    thread = claimed(COMMAND, PERSON, CALLABLE)
    claim = thread.session.claim
    assert claim is not None
    assert thread.reply.code == "verifying"
    assert not thread.asked(f.RunVerifier)  # the turn may still undo what it has shown
    thread.end()
    asked = [effect for effect in thread.effects if isinstance(effect, f.RunVerifier)]
    assert asked == [
        f.RunVerifier(claim_id=claim.claim_id, index=0),
        f.RunVerifier(claim_id=claim.claim_id, index=2),
    ]
    assert thread.decision == ("wait", "verification")
    assert (thread.sent(), thread.status) == (1, "active")


def test_the_goal_is_complete_when_the_last_verifier_has_passed() -> None:
    thread = claimed(COMMAND, CALLABLE)
    thread.end()
    answer(thread, 1, "passed")
    assert thread.reply.code == "recorded"
    assert thread.status == "active"
    answer(thread, 0, "passed", "exit 0")
    assert thread.status == "complete"
    done = thread.session.completion
    assert done is not None
    assert [result.index for result in done.results] == [1, 0]
    assert thread.session.claim is None


def test_a_failed_verification_goes_back_to_the_model() -> None:
    thread = claimed(COMMAND, CALLABLE)
    thread.end()
    answer(thread, 0, "failed", "2 tests failed")
    assert thread.sent() == 1
    answer(thread, 1, "passed")
    assert (thread.status, thread.session.claim, thread.sent()) == ("active", None, 2)
    assert thread.session.notices == ("verification_failed:verifier 1: 2 tests failed",)


def test_a_failure_outweighs_what_could_not_be_verified() -> None:
    thread = claimed(COMMAND, CALLABLE)
    answer(thread, 0, "unverifiable")
    answer(thread, 1, "failed")
    assert thread.status == "active"
    assert thread.session.notices == ("verification_failed:verifier 2: failed",)


def test_what_nobody_can_verify_pauses_the_goal_and_keeps_the_claim() -> None:
    thread = claimed(COMMAND)
    thread.end()
    answer(thread, 0, "unverifiable", "no such program: make")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "verification")
    assert thread.goal.note == "verifier 1: no such program: make"
    assert thread.decision == ("stop", "status")
    assert thread.session.claim is not None
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal.pause_reason == "verification"


def test_a_person_accepts_what_could_not_be_verified() -> None:
    thread = claimed(COMMAND)
    thread.end()
    answer(thread, 0, "unverifiable")
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"
    done = thread.session.completion
    assert done is not None
    assert done.accepted_by == "person"
    assert thread.goal.pause_reason is None


def test_a_rejection_of_what_could_not_be_verified_resumes_the_work() -> None:
    thread = claimed(COMMAND)
    thread.end()
    answer(thread, 0, "unverifiable")
    thread.do(e.ClaimRejected(feedback="  not yet "))
    assert (thread.status, thread.goal.pause_reason, thread.sent()) == ("active", None, 2)
    assert "rejected:not yet" in thread.session.notices


def test_the_turn_after_a_resume_hears_what_could_not_be_verified() -> None:
    thread = claimed(COMMAND)
    thread.end()
    answer(thread, 0, "unverifiable", "no tool")
    thread.do(e.ResumeRequested())
    assert thread.session.claim is None
    assert "unverifiable:verifier 1: no tool" in thread.session.notices


def test_what_is_unverifiable_of_a_paused_goal_leaves_it_paused_as_it_is() -> None:
    thread = claimed(COMMAND)
    thread.end()
    thread.do(e.PauseRequested())
    answer(thread, 0, "unverifiable")
    assert thread.goal.pause_reason == "user"
    assert thread.reply.code == "unverifiable"


def test_a_budget_that_ran_out_with_the_claim_outranks_the_pause() -> None:
    thread = started(verifiers=(COMMAND,), limits=Limits(seconds=10))
    thread.dispatch()
    thread.claim_complete()
    thread.advance(10)
    answer(thread, 0, "unverifiable")
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "time")
    assert thread.sent("wind_down") == 1
    assert thread.reply.code == "unverifiable"


def test_a_person_is_asked_last() -> None:
    thread = claimed(COMMAND, PERSON)
    thread.end()
    answer(thread, 0, "passed")
    assert thread.reply.code == "waiting"
    assert thread.status == "active"
    assert thread.decision == ("wait", "verification")
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"


def test_a_person_may_accept_before_the_verifiers_have_answered() -> None:
    thread = claimed(COMMAND, PERSON)
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"
    thread.do(e.VerificationFinished(claim_id="claim-2", index=0, outcome="failed"))
    assert thread.reply.code == "stale_claim"
    assert thread.status == "complete"


def test_a_rejection_goes_to_the_next_turn() -> None:
    thread = claimed(PERSON)
    thread.end()
    thread.do(e.ClaimRejected())
    assert thread.reply.code == "rejected"
    assert thread.session.notices == ("rejected:a person rejected the claim without saying why",)
    assert thread.sent() == 2


@pytest.mark.parametrize("event", [e.ClaimAccepted(), e.ClaimRejected()])
def test_only_an_open_claim_is_accepted_or_rejected(event: e.Event) -> None:
    thread = started()
    thread.do(event)
    assert (thread.reply.ok, thread.reply.code) == (False, "no_claim")


def test_a_repeated_answer_of_a_verifier_counts_once() -> None:
    thread = claimed(COMMAND, CALLABLE)
    answer(thread, 0, "passed")
    answer(thread, 0, "passed")
    assert thread.reply.code == "recorded"
    assert thread.status == "active"


@pytest.mark.parametrize("index", [-1, 1, 2, 7])
def test_nobody_answers_for_a_verifier_that_was_not_asked(index: int) -> None:
    """Neither one that is not there nor a person's."""
    thread = claimed(COMMAND, PERSON)
    answer(thread, index, "passed")
    assert (thread.reply.ok, thread.reply.code) == (False, "verifier_unknown")
    answer(thread, 0, "passed")
    assert thread.status == "active"


def test_one_claim_at_a_time() -> None:
    thread = claimed(COMMAND)
    reply = thread.claim_complete("and more")
    assert (reply.ok, reply.code) == (False, "claim_open")


def test_a_goal_that_a_person_blocked_meanwhile_is_not_completed_by_its_verifiers() -> None:
    thread = claimed(COMMAND)
    thread.end()
    claim = thread.session.claim
    assert claim is not None
    late = e.VerificationFinished(claim_id=claim.claim_id, index=0, outcome="passed")
    thread.do(e.BlockRequested(), late)
    assert (thread.reply.code, thread.status) == ("stale_claim", "blocked")


def test_a_goal_completes_in_its_wind_down_turn() -> None:
    thread = started(limits=Limits(tokens=10))
    thread.dispatch()
    thread.use(10)
    assert thread.claim_complete().code == "marked"
    assert (thread.status, thread.goal.limited_by) == ("complete", None)


def test_an_embedders_machine_may_keep_goals_from_completing() -> None:
    """Whoever leaves the row out of a machine of their own has it refused, not raised."""
    machine = default_machine()
    rows = tuple(
        row._replace(when="never") if row.trigger == "complete" else row for row in machine.rows
    )
    from goalfsm.goal.machine import goal_machine  # noqa: PLC0415  only here

    thread = CheckedThread(
        machine=goal_machine(rows, guards={**machine.guards, "never": lambda _: False})
    )
    thread.give(verifiers=(COMMAND,))
    thread.dispatch()
    thread.claim_complete()
    answer(thread, 0, "passed")
    assert thread.reply.code == "failed"
    assert (thread.status, thread.session.claim) == ("active", None)
    assert thread.session.notices[0].startswith("verification_failed:the goal cannot be completed")


def test_a_row_of_an_embedder_may_send_a_completion_to_a_review() -> None:
    machine = default_machine().extended(
        [Row("complete", "active", "paused", when="large")],
        guards={"large": lambda goal: len(goal.objective) > 20},
    )
    thread = CheckedThread(machine=machine)
    thread.give("An objective that a person has to look at")
    assert thread.claim_complete().ok
    assert thread.status == "paused"


# The goal's tools as such.


def test_the_model_creates_a_goal_where_there_is_none() -> None:
    thread = CheckedThread()
    reply = thread.call("create_goal", objective="Tidy up", token_budget=900)
    assert (reply.code, thread.goal.token_budget) == ("created", 900)
    assert thread.sent() == 1
    assert thread.call("create_goal", objective="Again").code == "goal_exists"


def test_looking_changes_nothing() -> None:
    thread = started()
    before = thread.session
    assert thread.call("get_goal").code == "goal"
    assert thread.session is before


def test_a_malformed_call_is_refused_and_changes_nothing() -> None:
    thread = started()
    before = thread.session
    for name, arguments in (
        ("delete_goal", {}),
        ("update_goal", {"status": "paused"}),
        ("update_goal", {"status": "complete", "evidence": "x"}),
    ):
        reply = thread.call(name, **arguments)
        assert not reply.ok
        assert reply.hint
        assert thread.session is before
