"""The completion record: what it takes from session and journal, and how it reads."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Evidence, Usage
from goalfsm.session import Session
from goalfsm.session import events as e
from goalfsm.session.state import Claim, VerifierResult
from goalfsm.views.report import CompletionRecord, Facts, NoRecord, as_json, gather, record
from goalfsm.views.report.facts import RunRecord
from tests.unit.reports import COMPLETION, CREATED, DONE, EVIDENCE, GOAL, NOW_MS, ms

FENCE = "fence"


def dispatched(run_id: str, *, wind_down: bool = False) -> e.RunDispatched:
    return e.RunDispatched(run_id=run_id, token=FENCE, wind_down=wind_down)


def used(run_id: str, key: str, tokens: int) -> e.UsageReported:
    usage = Usage(input_tokens=tokens, output_tokens=1, cached_tokens=2, cost=3)
    return e.UsageReported(run_id=run_id, run_token=FENCE, key=key, usage=usage)


def verified(claim_id: str, index: int, outcome: Any) -> e.VerificationFinished:
    return e.VerificationFinished(claim_id=claim_id, index=index, outcome=outcome)


def told(role: Any, **fields: Any) -> e.TurnEnded:
    return e.TurnEnded(turn_index=0, message=e.Message(role=role, **fields))


GIVEN = (ms(0), e.ObjectiveGiven(objective="Release 2.0"))


def test_runs_are_counted_and_the_last_one_told() -> None:
    facts = gather(
        [
            GIVEN,
            (ms(1), dispatched("r1")),
            (ms(2), e.RunInterrupted(run_id="r1")),
            (ms(3), dispatched("r2")),
            (ms(4), e.RunFinished(run_id="r2")),
            (ms(5), dispatched("r3", wind_down=True)),
            (ms(6), e.RunFinished(run_id="r3", outcome="timed_out")),
        ],
        GOAL,
    )
    assert (facts.runs, facts.finished, facts.interrupted) == (3, 1, 1)
    assert facts.final_run == RunRecord(
        run_id="r3",
        turn=3,
        started_ms=ms(5),
        ended_ms=ms(6),
        outcome="timed_out",
        wind_down=True,
    )


@pytest.mark.parametrize(("ended_ms", "shown"), [(None, ms(9)), (ms(2), ms(2))])
def test_interrupted_run_ended_when_it_is_known_to_have(ended_ms: int | None, shown: int) -> None:
    ended = e.RunInterrupted(run_id="r1", ended_ms=ended_ms)
    rows: list[tuple[int, e.Event]] = [(ms(1), dispatched("r1")), (ms(9), ended)]
    run = gather(rows, GOAL).final_run
    assert run is not None
    assert (run.outcome, run.ended_ms) == ("interrupted", shown)


def test_open_run_has_no_end_and_late_ends_of_others_change_nothing() -> None:
    rows: list[tuple[int, e.Event]] = [
        (ms(1), e.RunFinished(run_id="before")),
        (ms(1), dispatched("r1")),
        (ms(2), dispatched("r2")),
        (ms(3), e.RunFinished(run_id="r1", outcome="failed")),
    ]
    run = gather(rows, GOAL).final_run
    assert run is not None
    assert (run.run_id, run.outcome, run.ended_ms) == ("r2", "open", None)


def test_usage_counts_once_a_key_and_what_hosts_report_with_a_turn() -> None:
    rows: list[tuple[int, e.Event]] = [
        (ms(1), used("r1", "1", 10)),
        (ms(2), used("r1", "1", 10)),
        (ms(3), used("r2", "1", 20)),
        (ms(4), told("assistant", usage=Usage(input_tokens=100))),
        (ms(5), told("assistant", usage=Usage(input_tokens=100))),
    ]
    assert gather(rows, GOAL).usage == Usage(
        input_tokens=230, output_tokens=2, cached_tokens=4, cost=6
    )


def test_claim_that_several_verifiers_refuse_is_refused_once() -> None:
    rows: list[tuple[int, e.Event]] = [
        (ms(1), verified("c1", 0, "failed")),
        (ms(1), verified("c1", 1, "failed")),
        (ms(2), verified("c2", 0, "passed")),
        (ms(2), verified("c2", 1, "unverifiable")),
        (ms(3), e.ClaimRejected(feedback="no")),
        (ms(4), verified("c3", 0, "failed")),
    ]
    assert gather(rows, GOAL).refused_claims == 3


@pytest.mark.parametrize(
    "creating",
    [
        e.ObjectiveGiven(objective="Release 2.0"),
        e.ToolCalled(name="create_goal", arguments={"objective": "Release 2.0"}),
        e.ToolCalled(name="mcp__goalfsm__create_goal", arguments={}),
    ],
)
def test_goals_before_this_one_are_passed_over(creating: e.Event) -> None:
    """Also one that was replaced in the same second."""
    rows: list[tuple[int, e.Event]] = [
        (ms(-100), e.ObjectiveGiven(objective="old")),
        (ms(-99), dispatched("old-1")),
        (ms(-98), used("old-1", "1", 1_000)),
        (ms(0), dispatched("old-2")),
        (ms(0) + 1, e.RunInterrupted(run_id="old-2")),
        (ms(0) + 2, creating),
        (ms(1), dispatched("r1")),
    ]
    facts = gather(rows, GOAL)
    assert (facts.runs, facts.interrupted, facts.usage) == (1, 0, Usage())
    assert facts.final_run is not None
    assert (facts.final_run.run_id, facts.final_run.turn) == ("r1", 1)


def test_refused_attempts_at_a_new_goal_change_nothing() -> None:
    rows: list[tuple[int, e.Event]] = [
        (ms(1), dispatched("r1")),
        (ms(2), e.ObjectiveGiven(objective="another")),
        (ms(3), e.ToolCalled(name="create_goal", arguments={"objective": "another"})),
    ]
    assert gather(rows, GOAL).runs == 1


def test_tool_calls_of_the_first_second_are_no_new_goal() -> None:
    rows: list[tuple[int, e.Event]] = [
        GIVEN,
        (ms(0), dispatched("r1")),
        (ms(0), e.ToolCalled(name="get_goal")),
    ]
    assert gather(rows, GOAL).runs == 1


def test_journal_without_rows() -> None:
    assert gather([], GOAL) == Facts()


def test_record_puts_evidence_to_its_criterion() -> None:
    made = record(DONE, Facts(runs=3, finished=2, interrupted=1), NOW_MS, thread_id="main")
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
    assert record(replace(DONE, completion=stray), Facts(), NOW_MS).evidence == ("stray",)


def test_record_says_what_each_verifier_said() -> None:
    """A person's verifier passed when a person accepted; nobody else answers for it."""
    made = record(DONE, Facts(), NOW_MS)
    assert [(v.number, v.kind, v.what, v.outcome, v.detail, v.digest) for v in made.verifiers] == [
        (1, "command", "make test", "passed", "exit 0", "d0"),
        (2, "callable", "tagged", "unverifiable", "no\ntag", ""),
        (3, "person", "", "passed", "", ""),
    ]
    engine = replace(COMPLETION, accepted_by="engine", results=())
    made = record(replace(DONE, completion=engine), Facts(), NOW_MS)
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
    made = record(session, Facts(), NOW_MS)
    assert (made.accepted_by, made.completed_at, made.evidence_digest) == (None, None, "seal")
    assert [v.outcome for v in made.verifiers] == ["failed", "not_run", "not_run"]


def test_completion_of_another_goal_is_not_this_ones() -> None:
    other = replace(DONE, completion=replace(COMPLETION, goal_id="goal-0"))
    made = record(other, Facts(), NOW_MS)
    assert (made.accepted_by, made.evidence, made.evidence_digest) == (None, (), "")


def test_thread_without_a_goal_has_no_record() -> None:
    with pytest.raises(NoRecord) as refused:
        record(Session(), Facts(), NOW_MS)
    assert (refused.value.code, bool(refused.value.hint)) == ("no_goal", True)


def test_json_holds_the_whole_record() -> None:
    made = record(DONE, Facts(runs=1), NOW_MS, thread_id="main")
    text = as_json(made)
    assert msgspec.json.decode(text, type=CompletionRecord) == made
    assert text.startswith('{\n  "thread_id": "main",\n')


def test_usage_that_came_with_the_end_of_a_turn_is_counted() -> None:
    message = e.Message(role="assistant", usage=Usage(input_tokens=7))
    rows: list[tuple[int, e.Event]] = [
        (ms(1), dispatched("r1")),
        (ms(2), e.RunFinished(run_id="r1", message=message)),
    ]
    assert gather(rows, GOAL).usage == Usage(input_tokens=7)
