"""When a thread has to be looked at by itself."""

from __future__ import annotations

from goalfsm.goal.model import ACTIVE, PAUSED
from goalfsm.session.state import Session, Wait
from goalfsm.text import awaited


def next_wake(session: Session) -> int | None:
    """Return when (unix ms) a ``TimerFired`` is due; None when nothing happens by itself."""
    goal = session.goal
    if goal is None:
        return None
    if goal.status != ACTIVE:
        resumes = goal.resume_at_ms if goal.status == PAUSED else None
        return min((at for at in (resumes, overrun_ends(session)) if at is not None), default=None)
    times = (
        session.retry.at_ms,
        min((w.until_ms for w in session.waits if w.until_ms is not None), default=None),
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
    """Return when (unix ms) the run of a goal that has stopped is ended; None where none is."""
    goal, run = session.goal, session.run
    if goal is None or goal.status == ACTIVE or run is None or run.ending is not None:
        return None
    return run.ends_ms if run.goal_id == goal.goal_id else None


def waiting_on(waits: tuple[Wait, ...]) -> str | None:
    """Return in words what the work waits for; None when for nothing."""
    if not waits:
        return None
    if len(waits) == 1:
        only = waits[0]
        return only.note or f"waiting on {awaited(only.kind, only.pid)}"
    named = [awaited(wait.kind, wait.pid) + (" (any)" if wait.any else "") for wait in waits]
    return f"waiting on {', '.join(named)}"


def waits_end(waits: tuple[Wait, ...]) -> int | None:
    """Return when (unix ms) work goes on by itself at the latest; None when that is not known.

    All waits have to be over, or the first that ends the others.
    """
    if not waits:
        return None
    first = min((w.until_ms for w in waits if w.any and w.until_ms is not None), default=None)
    ends = [wait.until_ms for wait in waits]
    last = None if None in ends else max(end for end in ends if end is not None)
    known = [end for end in (first, last) if end is not None]
    return min(known, default=None)
