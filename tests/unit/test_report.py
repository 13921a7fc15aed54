"""The completion record: what it takes from session and journal, and how it reads."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from goalfsm.goal.accounting import Tally
from goalfsm.goal.model import Evidence
from goalfsm.session import Session
from goalfsm.session.state import Claim, VerifierResult
from goalfsm.views.report import CompletionRecord, NoRecord, as_json, record
from tests.unit.reports import COMPLETION, CREATED, DONE, EVIDENCE, GOAL, NOW_MS


def test_record_puts_evidence_to_its_criterion() -> None:
    made = record(
        replace(DONE, tally=Tally(runs=3, finished=2, interrupted=1)), NOW_MS, thread_id="main"
    )
    assert [(c.number, c.text, c.evidence) for c in made.criteria] == [
        (1, "tests pass", ("12 passed", "exit 0")),
        (2, "tag exists", ()),
    ]
    assert made.evidence == ("CHANGELOG.md is written",)
    assert (made.evidence_digest, made.accepted_by) == ("abc123", "person")
    assert (made.thread_id, made.completed_at) == ("main", CREATED + 500)
    assert (made.runs, made.finished, made.interrupted) == (3, 2, 1)
    assert made.budgets.tokens.left == 250


def test_evidence_for_a_criterion_that_the_goal_has_not_is_kept() -> None:
    stray = replace(COMPLETION, evidence=(Evidence(text="stray", criterion=9),))
    assert record(replace(DONE, completion=stray), NOW_MS).evidence == ("stray",)


def test_record_says_what_each_verifier_said() -> None:
    """A person's verifier passed when a person accepted; nobody else answers for it."""
    made = record(DONE, NOW_MS)
    assert [(v.number, v.kind, v.what, v.outcome, v.detail, v.digest) for v in made.verifiers] == [
        (1, "command", "make test", "passed", "exit 0", "d0"),
        (2, "callable", "tagged", "unverifiable", "no\ntag", ""),
        (3, "person", "", "passed", "", ""),
    ]
    engine = replace(COMPLETION, accepted_by="engine", results=())
    made = record(replace(DONE, completion=engine), NOW_MS)
    assert [v.outcome for v in made.verifiers] == ["not_run"] * 3


def test_record_of_an_open_claim() -> None:
    claim = Claim(
        claim_id="c",
        goal_id="goal-1",
        evidence=EVIDENCE,
        results=(VerifierResult(index=0, outcome="failed"),),
        digest="seal",
        at_ms=1,
    )
    session = Session(goal=replace(GOAL, status="active"), claim=claim)
    made = record(session, NOW_MS)
    assert (made.accepted_by, made.completed_at, made.evidence_digest) == (None, None, "seal")
    assert [v.outcome for v in made.verifiers] == ["failed", "not_run", "not_run"]


def test_completion_of_another_goal_is_not_this_ones() -> None:
    other = replace(DONE, completion=replace(COMPLETION, goal_id="goal-0"))
    made = record(other, NOW_MS)
    assert (made.accepted_by, made.evidence, made.evidence_digest) == (None, (), "")


def test_thread_without_a_goal_has_no_record() -> None:
    with pytest.raises(NoRecord) as refused:
        record(Session(), NOW_MS)
    assert (refused.value.code, bool(refused.value.hint)) == ("no_goal", True)


def test_json_holds_the_whole_record() -> None:
    made = record(DONE, NOW_MS, thread_id="main")
    text = as_json(made)
    assert msgspec.json.decode(text, type=CompletionRecord) == made
    assert text.startswith('{\n  "thread_id": "main",\n')
