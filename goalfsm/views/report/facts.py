"""What the rows of a journal say of the runs of a time: how they went, and what they reported."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from goalfsm.goal.model import Usage
from goalfsm.session.events import (
    ClaimRejected,
    Event,
    RunDispatched,
    RunFinished,
    RunInterrupted,
    TurnEnded,
    UsageReported,
    VerificationFinished,
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
