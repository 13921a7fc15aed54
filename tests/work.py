"""The work of a turn, as a worker is given it."""

from __future__ import annotations

from typing import Any

from goalfsm.workers.protocol import Work


def make_work(**changes: Any) -> Work:
    """Return a turn's work."""
    given: dict[str, Any] = {
        "db": "/nowhere/goals.db",
        "thread_id": "thread",
        "goal_id": "goal",
        "run_id": "run-1",
        "run_token": "token",
        "turn": 1,
        "objective": "do it",
        "prompt": "go on",
    }
    return Work(**{**given, **changes})
