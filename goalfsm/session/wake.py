"""What a thread needs of whoever drives it: a turn, a look at a time, or nothing.

All of it follows from the session; nobody has to keep a copy of it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from goalfsm.goal.model import ACTIVE, LIMITED, PAUSED
from goalfsm.session.state import Session


class QueuedWork(NamedTuple):
    """A turn that may be dispatched: a continuation of the goal, or the one that winds it down."""

    kind: Literal["continuation", "wind_down"]
    goal_id: str


def queued_work(session: Session) -> QueuedWork | None:
    """Return the turn that may be dispatched now; None while there is none, or one is running."""
    goal = session.goal
    if goal is None or session.run is not None or session.stopping or not session.host.idle:
        return None
    if session.wind_down == "owed" and goal.status == LIMITED:
        return QueuedWork("wind_down", goal.goal_id)
    if session.continuation.queued == goal.goal_id:
        return QueuedWork("continuation", goal.goal_id)
    return None


def under_way(session: Session) -> bool:
    """Tell whether something of the thread goes on or is owed, whatever its goal's status.

    Such a thread, and one with an active goal, needs a look when an engine starts.
    """
    return (
        session.run is not None
        or session.stopping
        or not session.host.idle
        or session.claim is not None
        or session.wind_down in {"owed", "running"}
    )


def next_wake(session: Session) -> int | None:
    """Return when (unix ms) a ``TimerFired`` is due; None when nothing happens by itself."""
    goal = session.goal
    if goal is None:
        return None
    if goal.status == PAUSED:
        return goal.resume_at_ms
    if goal.status != ACTIVE:
        return overrun_ends(session)
    times = (
        session.retry.at_ms,
        None if session.wait is None else session.wait.until_ms,
        _time_budget_ends(session),
    )
    return min((time for time in times if time is not None), default=None)


def _time_budget_ends(session: Session) -> int | None:
    goal, clock = session.goal, session.clock
    if goal is None or goal.time_budget_seconds is None:
        return None
    if clock.last_ms is None or clock.goal_id != goal.goal_id:
        return None
    left = goal.time_budget_seconds - goal.active_seconds
    if left <= 0:
        return None
    return clock.last_ms + left * 1000 - clock.remainder_ms


def overrun_ends(session: Session) -> int | None:
    """Return when (unix ms) the run of a limited goal is ended; None where none is."""
    goal, run = session.goal, session.run
    if goal is None or goal.status != LIMITED or run is None or run.ending is not None:
        return None
    return run.ends_ms if run.goal_id == goal.goal_id else None
