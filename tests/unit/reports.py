"""A goal that is complete, and what its completion record is made of."""

from __future__ import annotations

from goalfsm.goal.model import Criterion, Evidence, Goal, Verifier
from goalfsm.session import Session
from goalfsm.session.state import Completion, VerifierResult

CREATED = 1_800_000_000
NOW_MS = CREATED * 1000 + 600_000
GOAL = Goal(
    goal_id="goal-1",
    objective="Release 2.0",
    status="complete",
    created_at=CREATED,
    updated_at=CREATED + 500,
    token_budget=1_000,
    tokens_used=750,
    active_seconds=95,
    cost_used=1_500_000,
    continuations=3,
    criteria=(Criterion(text="tests pass"), Criterion(text="tag exists")),
    verifiers=(
        Verifier(kind="command", argv=("make", "test")),
        Verifier(kind="callable", name="tagged"),
        Verifier(kind="person"),
    ),
)
EVIDENCE = (
    Evidence(text="12 passed", criterion=1),
    Evidence(text="exit 0", criterion=1),
    Evidence(text="CHANGELOG.md is written"),
)
COMPLETION = Completion(
    goal_id="goal-1",
    evidence=EVIDENCE,
    results=(
        VerifierResult(index=0, outcome="passed", detail="exit 0", digest="d0"),
        VerifierResult(index=1, outcome="unverifiable", detail="no\ntag"),
    ),
    digest="abc123",
    run_id="r3",
    accepted_by="person",
    at_ms=CREATED * 1000 + 500_900,
)
DONE = Session(goal=GOAL, completion=COMPLETION)


def ms(seconds: int) -> int:
    return (CREATED + seconds) * 1000
