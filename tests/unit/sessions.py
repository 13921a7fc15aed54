"""Sessions with a goal, as tests of what is shown of them begin with."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from goalfsm.goal.model import Goal, Verifier
from goalfsm.session import Session
from goalfsm.session.state import Claim, Run
from recovery.state import Attention, RecoveryState

NOW_MS = 1_800_000_010_500
GOAL = Goal(goal_id="g", objective="ship it", created_at=1_800_000_000, updated_at=1_800_000_000)
ACTIVE = Session(goal=GOAL)
FENCE = "fence-of-the-run"
RUN = Run(run_id="r", token=FENCE, goal_id="g", turn=3, started_ms=1_800_000_008_000)
CLAIM = Claim(claim_id="c", goal_id="g", at_ms=1_800_000_009_000)
PENDING = RecoveryState(attention=Attention(kind="pending", reason="provider error (503)"))
PERSON = Verifier(kind="person")
COMMAND = Verifier(kind="command", argv=("true",))


def with_goal(session: Session = ACTIVE, **fields: Any) -> Session:
    return replace(session, goal=replace(GOAL, **fields))


def active(**fields: Any) -> Session:
    return replace(ACTIVE, **fields)
