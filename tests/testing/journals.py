"""What the journal of an engine in memory tells."""

from __future__ import annotations

from goalfsm.session import codec
from goalfsm.testing import MemoryGoals


def events(goals: MemoryGoals, thread: str = "t") -> list[str]:
    return [type(codec.decode_event(row.event)).__name__ for row in goals.journal(thread)]
