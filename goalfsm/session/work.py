"""What of a thread is under way, which turn waits to be begun, and when to look by itself."""

from __future__ import annotations

from operator import attrgetter
from typing import Final, Literal, NamedTuple

from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, PAUSED, STATUSES
from goalfsm.session.continuation import Spent, progress
from goalfsm.session.effects import Effect, RunUntil, RunVerifier, TakeNextGoal, WatchProcess
from goalfsm.session.routes import Budget, Routed, choose
from goalfsm.session.state import Session, Wait
from goalfsm.text import awaited

GO_ON_QUESTION: Final = "the engine was restarted; somebody has to say that the work goes on"
"""What a thread waits for whose policy says that a start of the engine has to be asked about."""
_UNTIL: Final = attrgetter("until_ms")
_MOVING: Final = "*"
NEED_ENGINE: Final = frozenset({ACTIVE, *(f"{status}{_MOVING}" for status in ("none", *STATUSES))})
"""The labels of threads that an engine has to look at when it starts."""


class Queued(NamedTuple):
    """A turn that a thread waits for: the goal's next one, or its last one to wind down."""

    goal_id: str
    wind_down: bool


def queued(session: Session) -> Queued | None:
    """Return the turn that waits to be begun, None where none does.

    Only an active goal has a continuation queued, and only a limited one owes a wind-down.
    """
    goal = session.goal
    if goal is None:
        return None
    if session.wind_down == "owed" and goal.status == LIMITED:
        return Queued(goal.goal_id, wind_down=True)
    if session.continuation.queued == goal.goal_id:
        return Queued(goal.goal_id, wind_down=False)
    return None


def route(session: Session) -> Routed | None:
    """Return the route that the thread's next turn takes, None for its own worker."""
    goal, routes = session.goal, session.policy.routes
    if goal is None or not routes:
        return None
    spent = progress(goal, session.policy)
    rows: dict[Budget, Spent] = {
        "tokens": spent.tokens,
        "time": spent.seconds,
        "cost": spent.cost,
        "turns": spent.continuations,
    }
    bounded = {of: row for of, row in rows.items() if row.budget}
    return choose(routes, {of: (row.left or 0, row.budget or 1) for of, row in bounded.items()})


def can_begin(session: Session) -> bool:
    """Tell whether the thread itself is free for a turn: idle, without a run, not stopping.

    What completes the goal is run first.
    """
    check = session.check
    checking = check is not None and check.asked
    return session.host.idle and session.run is None and not session.stopping and not checking


def is_wanted(effect: Effect, session: Session) -> bool:
    """Tell whether there is still use for ``effect``: what it was asked for may be over.

    A verifier ends with its claim, and a process is watched as long as it is waited for.
    """
    match effect:
        case RunVerifier(claim_id=claim_id):
            return session.claim is not None and session.claim.claim_id == claim_id
        case RunUntil(check_id=check_id):
            return session.check is not None and session.check.check_id == check_id
        case WatchProcess(pid=pid):
            return any(wait.kind == "process" and wait.pid == pid for wait in session.waits)
        case TakeNextGoal(goal_id=goal_id):
            goal = session.goal
            return goal is not None and goal.goal_id == goal_id and advances(session)
        case _:
            return True


class Asked(NamedTuple):
    """What nobody but a person can settle now; equal values are the same question."""

    goal_id: str
    about: Literal["claim", "wait"]
    name: str


def asked_of_person(session: Session) -> Asked | None:
    """Return what the active goal waits for a person for: its claim, or what a turn declared."""
    goal, claim = session.goal, session.claim
    if goal is None or goal.status != ACTIVE:
        return None
    if claim is not None:
        people = sum(verifier.kind == "person" for verifier in goal.verifiers)
        answered = len(claim.results) >= len(goal.verifiers) - people
        open_ = claim.asked and people and answered
        return Asked(goal.goal_id, "claim", claim.claim_id) if open_ else None
    for wait in session.waits:
        if wait.kind == "person" and not wait.held:
            return Asked(goal.goal_id, "wait", f"{wait.since_ms} {wait.note}")
    return None


def is_over(session: Session) -> bool:
    """Tell whether the thread's goal is complete, and the run that completed it has ended."""
    goal = session.goal
    if goal is None or goal.status != COMPLETE:
        return False
    return session.run is None and session.host.idle and not session.host.in_run


def awaits_person(session: Session) -> bool:
    """Tell whether nothing but a person's answer to the open claim is waited for."""
    claim, goal = session.claim, session.goal
    if claim is None or goal is None or session.run is not None:
        return False
    answered = {result.index for result in claim.results}
    open_kinds = {one.kind for at, one in enumerate(goal.verifiers) if at not in answered}
    return open_kinds == {"person"}


def advances(session: Session) -> bool:
    """Tell whether the thread goes on to its next queued goal by itself now."""
    return bool(session.queue) and session.policy.advance and is_over(session)


def asks_to_go_on(session: Session) -> bool:
    """Tell whether the work stands still since an engine's start, until a person says go on."""
    return any(wait.note == GO_ON_QUESTION for wait in session.waits)


def under_way(session: Session) -> bool:
    """Tell whether something of the thread is going on, whatever its goal's status."""
    return (
        session.run is not None
        or session.stopping
        or not session.host.idle
        or session.claim is not None
        or session.check is not None
        or session.wind_down in {"owed", "running"}
    )


def label(session: Session) -> str:
    """Return the text by which the thread is listed: its status, marked while work is under way.

    Only marked and active threads need an engine's attention when it starts.
    """
    status = "none" if session.goal is None else session.goal.status
    return status + _MOVING if under_way(session) else status


# When it has to be looked at by itself.


def next_wake(session: Session) -> int | None:
    """Return when (unix ms) a ``TimerFired`` is due; None when nothing happens by itself."""
    goal = session.goal
    if goal is None:
        return None
    if goal.status != ACTIVE:
        resumes = goal.resume_at_ms if goal.status == PAUSED else None
        return min((at for at in (resumes, overrun_ends(session)) if at is not None), default=None)
    first = session.retry.at_ms
    for at_ms in (_time_budget_ends(session), *map(_UNTIL, session.waits)):
        if at_ms is not None and (first is None or at_ms < first):
            first = at_ms
    return first


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
