"""A thread from its history: what the entries say, and nothing that only a process knew."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from goalfsm.goal.accounting import STOPPED_CLOCK
from goalfsm.goal.model import ACTIVE, PAUSED, Goal, Rejection
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import ClearEntry, Effect, Entry, SetEntry, UserStartEntry
from goalfsm.session.events import SessionStarted, TreeChanged
from goalfsm.session.rules.change import NOTHING_YET, forget, resume, start_clock, succeeded_by
from goalfsm.session.state import Continuation, Flush, Session
from recovery import machine as recovery
from recovery.obligations import IDLE


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
