"""What a thread's journal says of one goal: its runs, what they reported, claims refused.

Times are unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from goalfsm.goal.model import Goal, Usage
from goalfsm.session.events import (
    ClaimRejected,
    Event,
    ObjectiveGiven,
    RunDispatched,
    RunFinished,
    RunInterrupted,
    ToolCalled,
    TurnEnded,
    UsageReported,
    VerificationFinished,
)
from goalfsm.session.tools import canonical

Outcome = Literal["open", "finished", "failed", "aborted", "timed_out", "interrupted"]


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the goal; ``turn`` is the number of the goal's turn, from 1."""

    run_id: str
    turn: int
    started_ms: int
    ended_ms: int | None = None
    outcome: Outcome = "open"
    wind_down: bool = False


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal says of a goal's runs.

    ``usage`` is all that they reported, charged or not. ``refused_claims`` failed verification or
    were rejected by a person.
    """

    runs: int = 0
    finished: int = 0
    interrupted: int = 0
    refused_claims: int = 0
    usage: Usage = Usage()
    final_run: RunRecord | None = None


def gather(rows: Iterable[tuple[int, Event]], goal: Goal) -> Facts:
    """Return what a thread's journal says of ``goal``.

    ``rows`` are the events with the time (unix ms) of their commit, oldest first; those of goals
    before this one are passed over.
    """
    journal = _Journal()
    for at_ms, event in rows:
        if at_ms // 1000 == goal.created_at and _creates(event):
            journal = _Journal()
        elif at_ms // 1000 >= goal.created_at:
            journal.note(event, at_ms)
    return Facts(
        runs=journal.runs,
        finished=journal.finished,
        interrupted=journal.interrupted,
        refused_claims=journal.refused_claims,
        usage=journal.usage,
        final_run=journal.run,
    )


def _creates(event: Event) -> bool:
    if isinstance(event, ToolCalled):
        return canonical(event.name) == "create_goal"
    return isinstance(event, ObjectiveGiven)


class _Journal:
    """The rows read so far, added up."""

    def __init__(self) -> None:
        self.runs = 0
        self.finished = 0
        self.interrupted = 0
        self.refused_claims = 0
        self.usage = Usage()
        self.run: RunRecord | None = None
        self._counted: set[tuple[str, str]] = set()
        self._refused: set[str] = set()

    def note(self, event: Event, at_ms: int) -> None:
        """Add one event."""
        if isinstance(event, RunDispatched):
            self.runs += 1
            self.run = RunRecord(
                run_id=event.run_id,
                turn=self.runs,
                started_ms=at_ms,
                wind_down=event.wind_down,
            )
        elif isinstance(event, RunFinished):
            self.finished += event.outcome == "finished"
            self._end(event.run_id, event.outcome, at_ms)
            if event.message is not None:
                self._add(None, event.message.usage)
        elif isinstance(event, RunInterrupted):
            self.interrupted += 1
            ended_ms = at_ms if event.ended_ms is None else event.ended_ms
            self._end(event.run_id, "interrupted", ended_ms)
        elif isinstance(event, UsageReported):
            self._add((event.run_id, event.key), event.usage)
        elif isinstance(event, TurnEnded):
            self._add(None, event.message.usage)
        elif isinstance(event, ClaimRejected):
            self.refused_claims += 1
        elif isinstance(event, VerificationFinished):
            self._verified(event)

    def _end(self, run_id: str, outcome: Outcome, at_ms: int) -> None:
        if self.run is not None and self.run.run_id == run_id:
            self.run = msgspec.structs.replace(self.run, ended_ms=at_ms, outcome=outcome)

    def _add(self, key: tuple[str, str] | None, usage: Usage) -> None:
        if key in self._counted:
            return
        if key is not None:
            self._counted.add(key)
        before = self.usage
        self.usage = Usage(
            input_tokens=before.input_tokens + usage.input_tokens,
            output_tokens=before.output_tokens + usage.output_tokens,
            cached_tokens=before.cached_tokens + usage.cached_tokens,
            cost=before.cost + usage.cost,
        )

    def _verified(self, event: VerificationFinished) -> None:
        # A claim that several verifiers fail is one claim refused.
        if event.outcome == "failed" and event.claim_id not in self._refused:
            self._refused.add(event.claim_id)
            self.refused_claims += 1
