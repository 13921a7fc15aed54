"""Claims that come to nothing: the same gaps again are no progress, whoever finds them."""

from __future__ import annotations

from typing import Literal

import pytest

from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import GUARDS, TRANSITIONS, GoalMachine, default_machine, goal_machine
from goalfsm.goal.model import Criterion, Goal, Verifier
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

CRITERIA = (Criterion(text="The tests pass"), Criterion(text="The docs are built"))
CHECKED = (Verifier(kind="callable", name="check"),)


def never(_: Goal) -> bool:
    """Hold for no goal."""
    return False


def refusing(trigger: str) -> GoalMachine:
    """Return a machine in which a guard of the embedder's is against one trigger."""
    rows = [
        row._replace(when="never") if row.trigger == trigger and row.source == "active" else row
        for row in TRANSITIONS
    ]
    return goal_machine(rows, guards={**GUARDS, "never": never})


def held(trigger: str) -> GoalMachine:
    """Return a machine in which a row of the embedder's keeps the goal active."""
    row = Row(trigger, "active", None, when="unseen", reason="somebody has to look first")
    return default_machine().extended([row], guards={"unseen": lambda _: True})


def answer(thread: CheckedThread, outcome: Literal["passed", "failed"], detail: str = "") -> None:
    """Let the goal's verifier answer."""
    claim = thread.session.claim
    assert claim is not None
    thread.do(
        e.VerificationFinished(
            claim_id=claim.claim_id,
            index=0,
            outcome=outcome,
            detail=detail,
        )
    )


def test_a_claim_that_leaves_out_a_criterion_three_times_pauses_the_goal() -> None:
    """Whatever else the turns did, and whatever they said: the scope was narrowed."""
    thread = started(criteria=CRITERIA)
    for number in range(3):
        thread.dispatch()
        shown = [{"text": f"run {number}", "criterion": 1}]
        reply = thread.call("update_goal", status="complete", evidence=shown)
        assert (reply.ok, reply.code) == (False, "evidence_missing")
        assert "2 (The docs are built)" in reply.message
        thread.end(answer=f"all done {number}")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")
    assert thread.goal.note == "3 turns in a row left the same gaps in verification"
    assert thread.sent() == 3


def test_other_gaps_are_progress() -> None:
    thread = started(criteria=CRITERIA)
    for number in range(6):
        thread.dispatch()
        shown = [{"text": "seen", "criterion": number % 2 + 1}]
        thread.call("update_goal", status="complete", evidence=shown)
        thread.end(answer=f"done {number}")
    assert thread.status == "active"


def test_many_refused_claims_in_one_turn_count_once() -> None:
    thread = started(criteria=CRITERIA)
    thread.dispatch()
    for _ in range(5):
        thread.call("update_goal", status="complete")
    thread.end(answer="hm")
    assert (thread.status, thread.session.progress.same_gaps) == ("active", 1)
    thread.dispatch()
    thread.call("update_goal", status="complete")
    assert thread.session.progress.same_gaps == 2


def test_many_failed_verifications_in_one_turn_count_once() -> None:
    thread = started(verifiers=CHECKED)
    thread.dispatch()
    for _ in range(4):
        thread.claim_complete()
        answer(thread, "failed", "1 failed")
    assert thread.session.progress.same_gaps == 1


def test_gaps_that_differ_in_times_and_addresses_alone_are_the_same() -> None:
    thread = started(verifiers=CHECKED)
    said = (
        "FAILED test_a <Goal at 0x7f01> (pid 17)\n1 failed in 0.52s at 12:00:01",
        "FAILED test_a <Goal at 0x8a2f> (pid 18)\n1 failed in 1.7s at 12:03:44",
        "FAILED test_a <Goal at 0x11b0> (pid 9) \n1 failed in 12 seconds at 13:00:00",
    )
    for number, detail in enumerate(said):
        thread.dispatch()
        thread.claim_complete()
        thread.end(answer=str(number))
        answer(thread, "failed", detail)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")


@pytest.mark.parametrize("detail", ["2 failed in 1s", "1 failed: test_b in 1s"])
def test_gaps_that_differ_in_what_failed_are_others(detail: str) -> None:
    thread = started(verifiers=CHECKED)
    for said in ("1 failed: test_a in 1s", "1 failed: test_a in 2s", detail):
        thread.dispatch()
        thread.claim_complete()
        thread.end(answer=said)
        answer(thread, "failed", said)
    assert (thread.status, thread.session.progress.same_gaps) == ("active", 1)


def extended(machine: GoalMachine) -> CheckedThread:
    """Return a thread with a goal that an embedder's machine decides about."""
    thread = CheckedThread(machine=machine)
    thread.give()
    return thread


@pytest.mark.parametrize("machine", [refusing("complete"), held("complete")])
def test_a_guard_against_completing_is_met_three_times_at_most(machine: GoalMachine) -> None:
    """A hook that refuses the claim does not keep the work going all night."""
    thread = extended(machine)
    for number in range(3):
        thread.dispatch()
        thread.claim_complete()
        thread.end(answer=f"done {number}")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")
    assert thread.sent() == 3


def test_a_guard_against_blocking_is_met_three_times_at_most() -> None:
    thread = extended(refusing("block"))
    for number in range(3):
        thread.dispatch()
        assert not thread.claim_blocked(f"reason {number}").ok
        thread.end(answer=f"stuck {number}")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")


def test_a_row_that_keeps_a_blocked_goal_active_is_met_three_times_more() -> None:
    """The audit takes three turns, and then three of the same answer are enough."""
    thread = extended(held("block"))
    for number in range(5):
        thread.dispatch()
        assert thread.claim_blocked(f"reason {number}").ok
        thread.end(answer=f"stuck {number}")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")
    assert thread.sent() == 5


def test_a_guard_against_completing_does_not_leave_a_verified_claim_open() -> None:
    thread = CheckedThread(machine=refusing("complete"))
    thread.give(verifiers=CHECKED)
    for number in range(3):
        thread.dispatch()
        thread.claim_complete()
        thread.end(answer=str(number))
        answer(thread, "passed")
        assert thread.session.claim is None
    assert (thread.status, thread.goal.pause_reason) == ("paused", "no_progress")
    assert thread.sent() == 3


def test_a_pause_that_is_refused_sends_nothing_all_the_same() -> None:
    """Where a guard is against pausing as well, the stop is decided and nothing follows."""
    thread = extended(refusing("pause"))
    for _ in range(3):
        thread.dispatch()
        thread.end(tools=(0, 0))
    assert thread.decision == ("stop", "no_progress")
    assert (thread.status, thread.sent()) == ("active", 3)
    assert thread.asked(f.SendWork) == []
