"""People are told when work goes no further without one of them, once for each question."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.goal.model import Verifier
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

PERSON = Verifier(kind="person")
COMMAND = Verifier(kind="command", name="make test", argv=("make", "test"))


def asked(thread: CheckedThread) -> list[str]:
    """Return what people were asked for by all events so far."""
    return [one.about for one in thread.effects if isinstance(one, f.AskPerson)]


def claimed(*verifiers: Verifier) -> CheckedThread:
    """Return a thread whose claim is verified, its run gone."""
    thread = started(verifiers=verifiers)
    thread.dispatch()
    thread.claim_complete()
    assert asked(thread) == []
    thread.end()
    return thread


def verify(thread: CheckedThread, outcome: Any) -> None:
    assert thread.session.claim is not None
    claim_id = thread.session.claim.claim_id
    thread.do(e.VerificationFinished(claim_id=claim_id, index=0, outcome=outcome))


def test_a_claim_that_only_a_person_can_accept_asks_one() -> None:
    thread = claimed(PERSON)
    assert asked(thread) == ["claim"]
    thread.do(e.EngineStarted(after_crash=True), e.PolicyChanged(changes={"no_progress": 5}))
    assert asked(thread) == ["claim"]
    thread.do(e.ClaimRejected(feedback="not yet"))
    thread.dispatch()
    thread.claim_complete()
    thread.end()
    assert asked(thread) == ["claim", "claim"]


def test_a_person_is_asked_when_the_verifiers_have_passed() -> None:
    thread = claimed(COMMAND, PERSON)
    assert asked(thread) == []
    verify(thread, "passed")
    assert asked(thread) == ["claim"]


@pytest.mark.parametrize("outcome", ["failed", "unverifiable"])
def test_a_claim_that_comes_to_nothing_asks_nobody(outcome: str) -> None:
    thread = claimed(COMMAND, PERSON)
    verify(thread, outcome)
    assert asked(thread) == []


def test_a_claim_without_a_person_asks_nobody() -> None:
    thread = claimed(COMMAND)
    verify(thread, "passed")
    assert (thread.status, asked(thread)) == ("complete", [])


def test_a_turn_that_waits_for_a_person_asks_one() -> None:
    thread = started()
    thread.dispatch()
    assert thread.session.run is not None
    token = thread.session.run.token
    thread.do(e.WaitDeclared(kind="timer", until_ms=thread.now_ms + 1_000, run_token=token))
    assert asked(thread) == []
    thread.do(e.WaitDeclared(kind="person", note="which key?", run_token=token))
    thread.end()
    assert asked(thread) == ["wait"]
    thread.do(e.PauseRequested())
    assert asked(thread) == ["wait"]
