"""The evidence that a goal was completed with, sealed in the journal."""

from __future__ import annotations

import json
from hashlib import sha256

from goalfsm.session import events as e
from goalfsm.views.explain import explain
from tests.session.hosts import started

SHOWN = [{"text": "pytest: 12 passed"}, {"text": "git tag: v2.0"}]


def sealed() -> str:
    """Return the seal, computed from what was shown."""
    canonical = [{"text": item["text"], "criterion": None} for item in SHOWN]
    return sha256(json.dumps(canonical, separators=(",", ":")).encode()).hexdigest()


def test_the_decision_that_ends_the_work_holds_the_seal() -> None:
    """A row of the journal is its event and its decision: the seal is in it."""
    thread = started()
    thread.dispatch()
    thread.call("update_goal", status="complete", evidence=SHOWN)
    assert thread.session.completion is not None
    assert thread.session.completion.digest == sealed()
    decision = thread.last.decision
    assert decision is not None
    assert decision.reason == f"completed: evidence sha256:{sealed()}"
    told = explain(thread.session)
    assert told.last_decision is not None
    assert told.last_decision.reason.endswith(sealed())
    assert sealed() not in "".join(told.words)


def test_a_goal_completed_on_a_persons_word_has_no_seal() -> None:
    thread = started()
    thread.do(e.CompletionRequested())
    decision = thread.last.decision
    assert decision is not None
    assert decision.reason == "completed"
