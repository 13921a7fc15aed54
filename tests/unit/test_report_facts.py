"""What the journal says of the runs of a time."""

from __future__ import annotations

from typing import Any

from goalfsm.goal.model import Usage
from goalfsm.session import events as e
from goalfsm.views.report import Facts, gather

FENCE = "fence"


def used(run_id: str, key: str, tokens: int) -> e.UsageReported:
    usage = Usage(input_tokens=tokens, output_tokens=1, cached_tokens=2, cost=3)
    return e.UsageReported(run_id=run_id, run_token=FENCE, key=key, usage=usage)


def verified(claim_id: str, index: int, outcome: Any) -> e.VerificationFinished:
    return e.VerificationFinished(claim_id=claim_id, index=index, outcome=outcome)


def told(**fields: Any) -> e.TurnEnded:
    return e.TurnEnded(turn_index=0, message=e.Message(role="assistant", **fields))


def test_runs_are_counted_by_how_they_ended() -> None:
    facts = gather(
        [
            e.ObjectiveGiven(objective="Release 2.0"),
            e.RunDispatched(run_id="r1", token=FENCE),
            e.RunInterrupted(run_id="r1"),
            e.RunDispatched(run_id="r2", token=FENCE),
            e.RunFinished(run_id="r2"),
            e.RunDispatched(run_id="r3", token=FENCE),
            e.RunFinished(run_id="r3", outcome="timed_out"),
        ]
    )
    assert (facts.runs, facts.finished, facts.interrupted) == (3, 1, 1)


def test_usage_counts_once_a_key_and_what_came_with_the_end_of_a_turn() -> None:
    message = e.Message(role="assistant", usage=Usage(input_tokens=7))
    events = [
        used("r1", "1", 10),
        used("r1", "1", 10),
        used("r2", "1", 20),
        told(usage=Usage(input_tokens=100)),
        told(usage=Usage(input_tokens=100)),
        e.RunFinished(run_id="r1", message=message),
    ]
    assert gather(events).usage == Usage(input_tokens=237, output_tokens=2, cached_tokens=4, cost=6)


def test_claim_that_several_verifiers_refuse_is_refused_once() -> None:
    events = [
        verified("c1", 0, "failed"),
        verified("c1", 1, "failed"),
        verified("c2", 0, "passed"),
        verified("c2", 1, "unverifiable"),
        e.ClaimRejected(feedback="no"),
        verified("c3", 0, "failed"),
    ]
    assert gather(events).refused_claims == 3


def test_nothing_happened() -> None:
    assert gather([]) == Facts()
