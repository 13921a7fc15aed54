"""Threads to begin from, and what a host says of work that is stale."""

from __future__ import annotations

from typing import Any, Final

from goalfsm.goal.model import Evidence
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread

SHOWN: Final = {"status": "complete", "evidence": ["pytest: 12 passed"]}


def started(policy: Policy | None = None, **given: Any) -> CheckedThread:
    """Return a thread with a goal, its first continuation sent."""
    thread = CheckedThread(policy)
    thread.give(**given)
    return thread


def stale_work(goal_id: str) -> tuple[e.Event, ...]:
    """Return how a host begins a run on the queued work of a goal that is given up."""
    work = e.GoalWork("continuation", goal_id)
    return (
        e.HostChanged(idle=False),
        e.AgentStarting(work=work),
        e.TurnStarted(turn_index=1),
        e.MessageStarted(message=e.Message(role="custom", work=work)),
        e.ContextRequested(),
    )


def shown(*criteria: int | None) -> tuple[Evidence, ...]:
    """Return evidence for these criteria."""
    return tuple(Evidence(text="seen", criterion=number) for number in criteria)
