"""The blocked audit: only the same blocker in consecutive turns blocks a goal."""

from __future__ import annotations

from goalfsm.session import Policy
from goalfsm.session import events as e
from tests.session.hosts import started


def test_three_turns_in_a_row_block_the_goal() -> None:
    thread = started()
    for count in (1, 2):
        thread.dispatch()
        reply = thread.claim_blocked("no access")
        assert (reply.ok, reply.code) == (True, "recorded")
        assert reply.message == f"recorded {count} of 3: the goal stays active"
        thread.end()
        assert thread.status == "active"
    thread.dispatch()
    assert thread.claim_blocked("still no access, in other words").code == "marked"
    assert (thread.status, thread.goal.note) == ("blocked", "still no access, in other words")
    thread.end()
    assert thread.sent() == 3


def test_two_claims_in_one_turn_count_once() -> None:
    thread = started()
    thread.dispatch()
    thread.claim_blocked()
    thread.claim_blocked()
    assert thread.session.blocking.count == 1


def test_a_turn_without_a_claim_starts_the_audit_afresh() -> None:
    thread = started()
    for claims in (True, True, False, True, True):
        thread.dispatch()
        if claims:
            thread.claim_blocked()
        thread.end(answer=str(thread.goal.continuations))
    assert (thread.status, thread.session.blocking.count) == ("active", 2)


def test_resume_starts_the_audit_afresh() -> None:
    thread = started()
    for _ in range(3):
        thread.dispatch()
        thread.claim_blocked()
        thread.end()
    assert thread.status == "blocked"
    thread.do(e.ResumeRequested())
    thread.dispatch()
    assert thread.claim_blocked().message.startswith("recorded 1 of 3")


def test_a_turn_that_failed_neither_counts_nor_starts_afresh() -> None:
    thread = started()
    thread.dispatch()
    thread.claim_blocked()
    thread.end()
    thread.dispatch()
    thread.fail("503 Service Unavailable")
    assert thread.session.blocking.count == 1


def test_the_claim_of_an_interrupted_turn_does_not_count() -> None:
    thread = started()
    for _ in range(3):
        thread.dispatch()
        thread.claim_blocked()
        thread.interrupt()
    assert (thread.status, thread.session.blocking.count) == ("active", 0)
    thread.dispatch()
    thread.interrupt()
    assert thread.session.blocking.count == 0


def test_a_blocked_claim_of_a_goal_that_is_not_active_is_refused() -> None:
    thread = started()
    thread.do(e.PauseRequested())
    assert thread.claim_blocked().code == "only_active_can_block"
    thread.do(e.BlockRequested())
    thread.do(e.ResumeRequested(), e.BlockRequested())
    assert thread.claim_blocked().code == "already_blocked"


def test_a_blocked_claim_without_a_reason_has_no_note() -> None:
    thread = started(Policy(blocked_after=1))
    assert thread.call("update_goal", status="blocked").code == "marked"
    assert thread.goal.note is None
