"""The completion record: what was asked, what shows that it is done, what it took.

It is the envelope that a pull request or a ticket wants. The session gives the goal and what was
accepted; the journal gives the runs. Times are unix seconds unless the name ends in ``_ms``;
costs are integer millionths.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import msgspec

from goalfsm.errors import GoalError
from goalfsm.goal.accounting import RunRecord, Tally, live
from goalfsm.goal.model import Evidence, Goal, Status, Usage, Verifier
from goalfsm.session.continuation import Progress, progress
from goalfsm.session.events import (
    By,
    ClaimRejected,
    Event,
    RunDispatched,
    RunFinished,
    RunInterrupted,
    TurnEnded,
    UsageReported,
    VerificationFinished,
)
from goalfsm.views.activity import standing

if TYPE_CHECKING:
    from goalfsm.session.state import Claim, Completion, Session, VerifierResult
    from goalfsm.views.parts import Driver


Outcome = Literal["passed", "failed", "unverifiable", "not_run"]


class CriterionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion and the evidence that was given for it."""

    number: int
    text: str
    evidence: tuple[str, ...] = ()


class VerifierRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One verifier and what it said of the claim; ``digest`` seals that."""

    number: int
    kind: Literal["command", "callable", "person"]
    what: str
    outcome: Outcome
    detail: str = ""
    digest: str = ""


class CompletionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A goal with everything that its completion rests on.

    Of a goal that is not complete, ``accepted_by`` and ``completed_at`` are None and the evidence
    is that of the open claim, if there is one. ``evidence`` speaks for the whole goal. ``unread``
    are a person's messages that no turn took into account. ``by`` is who accepted it, where known.
    ``counted_since_ms``: the goal is of an earlier version, and its runs are counted from then on.
    ``queued`` are the objectives of the goals that come after it. ``activity``, ``reason`` and
    ``hint`` are what a status says of it: what goes on, why, and the command that takes it on.
    """

    thread_id: str
    goal_id: str
    objective: str
    status: Status
    created_at: int
    accepted_by: Literal["engine", "person"] | None
    completed_at: int | None
    criteria: tuple[CriterionRecord, ...]
    evidence: tuple[str, ...]
    evidence_digest: str
    verifiers: tuple[VerifierRecord, ...]
    budgets: Progress
    usage: Usage
    runs: int
    finished: int
    interrupted: int
    refused_claims: int
    final_run: RunRecord | None
    counted_since_ms: int | None = None
    unread: tuple[str, ...] = ()
    by: By | None = None
    note: str | None = None
    queued: tuple[str, ...] = ()
    activity: str = ""
    reason: str = ""
    hint: str = ""


class NoRecord(GoalError):
    """The thread has no goal to report on."""

    code = "no_goal"
    hint = "Give the thread an objective first."


def record(
    session: Session, now_ms: int, *, thread_id: str = "", driver: Driver | None = None
) -> CompletionRecord:
    """Return the record of the session's goal at ``now_ms`` (unix ms). Raises NoRecord.

    ``driver`` says which process works on the thread; without it one is taken to.
    """
    goal = live(session.goal, session.clock, now_ms)
    if goal is None:
        raise NoRecord("the thread has no goal")
    accepted = session.completion
    if accepted is not None and accepted.goal_id != goal.goal_id:
        accepted = None
    tally = session.tally or Tally(ledger_before=session.ledger.reported, since_ms=now_ms)
    shown = session.claim if accepted is None else accepted
    evidence = () if shown is None else shown.evidence
    now, advice = standing(session, driver)
    numbers = range(1, len(goal.criteria) + 1)
    return CompletionRecord(
        thread_id=thread_id,
        goal_id=goal.goal_id,
        objective=goal.objective,
        status=goal.status,
        created_at=goal.created_at,
        accepted_by=None if accepted is None else accepted.accepted_by,
        completed_at=None if accepted is None else accepted.at_ms // 1000,
        criteria=tuple(
            CriterionRecord(number=number, text=criterion.text, evidence=_texts(evidence, number))
            for number, criterion in zip(numbers, goal.criteria, strict=True)
        ),
        evidence=tuple(item.text for item in evidence if item.criterion not in numbers),
        evidence_digest="" if shown is None else shown.digest,
        verifiers=_verifiers(
            goal, shown, accepted=accepted is not None and accepted.accepted_by == "person"
        ),
        budgets=progress(goal, session.policy),
        usage=session.ledger.reported - tally.ledger_before,
        runs=tally.runs,
        finished=tally.finished,
        interrupted=tally.interrupted,
        refused_claims=tally.refused_claims,
        final_run=tally.last_run,
        counted_since_ms=tally.since_ms,
        unread=_unread(session, accepted),
        by=None if accepted is None else accepted.by,
        note=goal.note,
        queued=tuple(one.objective for one in session.queue),
        activity=now.text,
        reason=now.detail,
        hint=advice,
    )


def _unread(session: Session, accepted: Completion | None) -> tuple[str, ...]:
    """Return what a person said and no turn took into account, so far or in the end."""
    if accepted is not None:
        return accepted.unread
    return tuple(kept.text for kept in session.steering if kept.kind == "message")


def _texts(evidence: tuple[Evidence, ...], number: int) -> tuple[str, ...]:
    return tuple(item.text for item in evidence if item.criterion == number)


def _verifiers(
    goal: Goal, shown: Claim | Completion | None, *, accepted: bool
) -> tuple[VerifierRecord, ...]:
    results = {} if shown is None else {result.index: result for result in shown.results}
    return tuple(
        _verified(index, verifier, results.get(index), accepted=accepted)
        for index, verifier in enumerate(goal.verifiers)
    )


def _verified(
    index: int, verifier: Verifier, result: VerifierResult | None, *, accepted: bool
) -> VerifierRecord:
    unasked: Outcome = "passed" if verifier.kind == "person" and accepted else "not_run"
    return VerifierRecord(
        number=index + 1,
        kind=verifier.kind,
        what=" ".join(verifier.argv) or verifier.name,
        outcome=unasked if result is None else result.outcome,
        detail="" if result is None else result.detail,
        digest="" if result is None else result.digest,
    )


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the runs of a time came to.

    ``usage`` is all that they reported, charged or not. ``refused_claims`` failed verification or
    were rejected by a person.
    """

    runs: int = 0
    finished: int = 0
    interrupted: int = 0
    refused_claims: int = 0
    usage: Usage = Usage()


def gather(events: Iterable[Event]) -> Facts:  # noqa: C901  one case an event
    """Return what the events of a journal, oldest first, say of the runs in them."""
    runs = finished = interrupted = rejected = 0
    usage = Usage()
    run, reported = "", set[str]()
    refused: set[str] = set()
    for event in events:
        match event:
            case RunDispatched():
                runs += 1
            case RunFinished(outcome=outcome, message=message):
                finished += outcome == "finished"
                usage = usage if message is None else usage + message.usage
            case RunInterrupted():
                interrupted += 1
            case UsageReported(run_id=run_id, key=key):
                # A key counts once in its run; runs do not overlap.
                if run_id != run:
                    run, reported = run_id, set()
                if key not in reported:
                    reported.add(key)
                    usage += event.usage
            case TurnEnded(message=message):
                usage += message.usage
            case ClaimRejected():
                rejected += 1
            case VerificationFinished(outcome="failed", claim_id=claim_id):
                # A claim that several verifiers fail is one claim refused.
                refused.add(claim_id)
            case _:
                pass
    return Facts(
        runs=runs,
        finished=finished,
        interrupted=interrupted,
        refused_claims=rejected + len(refused),
        usage=usage,
    )
