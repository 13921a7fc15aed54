"""A thread from its history, or a goal that another program worked on: nobody works on it yet."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.accounting import STOPPED_CLOCK
from goalfsm.goal.model import (
    ACTIVE,
    BLOCKED,
    LIMITED,
    MAX_COUNT,
    PAUSED,
    Goal,
    Rejection,
    create,
    used_up,
)
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import ClearEntry, Effect, Entry, SetEntry, UserStartEntry
from goalfsm.session.events import GoalImported, ObjectiveGiven, SessionStarted, TreeChanged
from goalfsm.session.rules import objective
from goalfsm.session.rules.change import (
    NOTHING_YET,
    forget,
    resume,
    start_clock,
    store_goal,
    succeeded_by,
)
from goalfsm.session.rules.status_change import SOURCES, refused
from goalfsm.session.state import Continuation, Flush, Imported, Reply, Session
from recovery import machine as recovery
from recovery.obligations import IDLE


def bring(session: Session, event: GoalImported, ctx: Context) -> Change:
    """Take a goal in with what it has used; what came from the same source before stays."""
    known = session.imported
    if known is not None and known.source == event.source:
        return Change(session, (), _again(known, event))
    created = create(
        session.goal,
        objective=event.objective,
        token_budget=event.limits.tokens,
        goal_id=ctx.ids("goal"),
        now=ctx.now,
    )
    given = ObjectiveGiven(objective=event.objective, limits=event.limits)
    wrong = created if isinstance(created, Rejection) else objective.fault(given)
    if wrong is None and not _counted(event):
        wrong = Rejection(
            "usage_invalid",
            message="usage is counted from 0",
            hint="what was used is in tokens and seconds",
        )
    if wrong is not None:
        return Change(session, (), refused(wrong))
    assert isinstance(created, Goal)  # noqa: S101  a refusal is a fault
    goal = replace(
        created,
        time_budget_seconds=event.limits.seconds,
        cost_budget=event.limits.cost,
        max_continuations=event.limits.continuations,
        tokens_used=event.tokens,
        active_seconds=event.seconds,
        created_at=ctx.now if event.created_at is None else max(0, min(ctx.now, event.created_at)),
    )
    goal = replace(goal, **_standing(goal, event))
    change = store_goal(session, goal, SOURCES["person"], ctx)
    brought = Imported(
        goal_id=goal.goal_id, source=event.source, digest=event.digest, at_ms=ctx.now_ms
    )
    # Nothing winds down what ended elsewhere.
    after = replace(change.session, imported=brought, model_goals=0, wind_down="none")
    message = f"goal {goal.goal_id} is {goal.status}, from {event.source}"
    return replace(change, session=after, reply=Reply(ok=True, code="imported", message=message))


def _counted(event: GoalImported) -> bool:
    return all(0 <= used <= MAX_COUNT for used in (event.tokens, event.seconds))


def _standing(goal: Goal, event: GoalImported) -> dict[str, Any]:
    """Return the fields of how the goal stood; a budget that is not used up limits nothing."""
    limited_by = used_up(goal)
    if event.status == LIMITED and limited_by is not None:
        return {"status": LIMITED, "limited_by": limited_by}
    note = {"note": event.note or None}
    if event.status == BLOCKED:
        return {"status": BLOCKED, "blocked_by": "model", **note}
    if event.status in {PAUSED, LIMITED}:
        return {"status": PAUSED, "pause_reason": event.pause_reason, **note}
    return {"status": event.status, **note}


def _again(known: Imported, event: GoalImported) -> Reply:
    if known.digest == event.digest:
        return Reply(ok=True, code="already_imported", message=f"{event.source} is here already")
    return Reply(
        ok=True,
        code="source_changed",
        message=f"{event.source} is here already, and has changed there since; it is left as it is",
        hint="goalfsm clear THREAD gives this one up; another --thread takes the new one",
        remedies=(Remedy("clear", does="gives this one up"),),
    )


class Past(NamedTuple):
    """The goal that a history ends with, and whether it waits for a person."""

    goal: Goal | None = None
    user_start_required: bool = False


def read(entries: tuple[Entry, ...]) -> Past:
    """Return what ``entries``, oldest first, amount to."""
    goal: Goal | None = None
    required = False
    for entry in entries:
        match entry:
            case SetEntry(goal=goal):
                pass
            case ClearEntry():
                goal = None
            case UserStartEntry(active=required):  # pragma: no branch - there is no other
                pass
    return Past(goal, required)


def load(session: Session, event: SessionStarted | TreeChanged, ctx: Context) -> Change:
    """Return the session that the history gives, with fresh recovery and nothing scheduled."""
    past = read(event.history)
    same = _id(session.goal) == _id(past.goal)
    phases = ctx.rules.phases
    before = session.recovery if same else recovery.reset(session.recovery, table=phases)
    loaded = replace(
        session,
        goal=past.goal,
        clock=STOPPED_CLOCK,
        recovery=recovery.sync_user_start(before, active=past.user_start_required, table=phases),
        stale=IDLE,
        continuation=Continuation(),
        flush=Flush(),
        stopping=False,
        host=replace(session.host, inputs=0),
        overflow_noted=False,
        **NOTHING_YET,
    )
    effects: list[Effect] = []
    if succeeded_by(session.goal, past.goal):
        fields: dict[str, Any] = {}
        effects = forget(session, fields)
        loaded = replace(loaded, **fields)
    if not isinstance(event, SessionStarted) or event.reason != "resume":
        return Change(_clocked(loaded, ctx), tuple(effects))
    resumed = _resumed(loaded, ctx)
    return replace(resumed, effects=(*effects, *resumed.effects))


def _id(goal: Goal | None) -> str | None:
    return None if goal is None else goal.goal_id


def _resumed(session: Session, ctx: Context) -> Change:
    """Take a paused goal up again: whoever resumes the thread means that."""
    if session.goal is None or session.goal.status != PAUSED:
        return Change(_clocked(session, ctx))
    resumed = resume(session, ctx)
    if isinstance(resumed, Rejection):
        return Change(session)
    return replace(resumed, session=_clocked(resumed.session, ctx))


def _clocked(session: Session, ctx: Context) -> Session:
    if session.goal is None or session.goal.status != ACTIVE:
        return session
    if not session.policy.idle_time_counts:
        return session
    return replace(session, clock=start_clock(session, ctx))
