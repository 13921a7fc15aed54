"""What an event that could not be decided means for its thread: nothing follows by itself."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import ACTIVE, LIMITED, PAUSED
from goalfsm.goal.transition import RecoveryPause
from goalfsm.session.context import Change, Context
from goalfsm.session.events import DecisionFailed, EngineStarted
from goalfsm.session.rules.change import request, restate, seconds, store_goal
from goalfsm.session.state import BY_A_FAULT, FAULT_CODE, Continuation, Reply, Session, Wait


def failed(session: Session, event: DecisionFailed, ctx: Context) -> Change:
    """Stop work until a person has looked: a turn more would meet the same fault again."""
    reason = f"{event.kind} {BY_A_FAULT}: {event.error}"
    reply = Reply(
        ok=False,
        code=FAULT_CODE,
        message=f"{reason}; nothing of it was done",
        hint="goalfsm log THREAD shows what happened; goalfsm resume THREAD goes on",
        remedies=(Remedy("log", does="shows what happened"), Remedy("resume", does="goes on")),
    )
    if event.kind == EngineStarted.__name__:
        # It is there all the same: a goal that a person gives next is worked on.
        session = replace(session, stopping=False)
    return replace(_stopped(session, reason, ctx), reply=reply)


def _stopped(session: Session, reason: str, ctx: Context) -> Change:
    goal = session.goal
    if goal is None:
        return Change(session)
    if goal.status == ACTIVE:
        return _paused(session, reason, ctx)
    if goal.status == LIMITED and session.wind_down == "owed":
        return Change(replace(session, wind_down="done"))
    if goal.status == PAUSED and (goal.resume_at_ms is not None or goal.pause_reason == "shutdown"):
        stays = replace(
            goal,
            pause_reason="recovery",
            resume_at_ms=None,
            note=reason,
            updated_at=seconds(session, ctx),
        )
        return store_goal(session, stays, "runtime", ctx)
    return Change(session)


def _paused(session: Session, reason: str, ctx: Context) -> Change:
    asked = request(session, RecoveryPause(reason), ctx)
    change = asked if isinstance(asked, Change) else Change(session)
    goal = change.session.goal
    if goal is not None and goal.status == PAUSED:
        return restate(change, pause_reason="recovery", note=reason)
    if goal is None or goal.status != ACTIVE:
        return change
    # A rule of the embedder's keeps the goal active: it waits for a person all the same.
    wait = Wait(kind="person", note=reason, since_ms=ctx.now_ms, held=True)
    kept = Continuation(warned=change.session.continuation.warned)
    waiting = replace(change.session, waits=(wait,), continuation=kept)
    return replace(change, session=waiting, decide=True)
