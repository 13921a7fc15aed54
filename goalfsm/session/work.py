"""What of a thread is under way, and which turn waits to be begun."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED
from goalfsm.session.budgets import Spent, progress
from goalfsm.session.effects import Effect, RunUntil, RunVerifier, TakeNextGoal, WatchProcess
from goalfsm.session.routes import Budget, Routed, choose
from goalfsm.session.state import Session

GO_ON_QUESTION: Final = "the engine was restarted; somebody has to say that the work goes on"
"""What a thread waits for whose policy says that a start of the engine has to be asked about."""


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
