"""An engine takes a thread over, lets it go, or meets a fault: what survives, what is asked."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal import accounting
from goalfsm.goal.model import ACTIVE, LIMITED, PAUSED, Rejection
from goalfsm.goal.transition import Fire, RecoveryPause, RecoveryShutdownPause
from goalfsm.session.context import Change, Context
from goalfsm.session.events import DecisionFailed, EngineLost, EngineStarted
from goalfsm.session.rules.change import (
    charge,
    extend,
    flush,
    request,
    restate,
    resume,
    seconds,
    store_goal,
)
from goalfsm.session.state import BY_A_FAULT, FAULT_CODE, Continuation, Host, Reply, Session, Wait
from goalfsm.session.work import GO_ON_QUESTION
from recovery import machine as recovery
from recovery.obligations import IDLE


def started(session: Session, _event: EngineStarted, ctx: Context) -> Change:
    """Take the thread over: nothing runs, and what the policy says happens to an active goal.

    A goal that was paused because an engine shut down in the middle of recovery goes on with the
    schedule it had; every other pause is somebody's, or needs somebody.
    """
    host = Host(
        context_window=session.host.context_window,
        turn_index=session.host.turn_index,
        can_compact=session.host.can_compact,
    )
    session = replace(
        session, host=host, stopping=False, clock=accounting.stopped(session.clock), stale=IDLE
    )
    goal = session.goal
    if goal is None:
        return Change(session)
    stopped = goal.status == PAUSED and goal.pause_reason == "shutdown"
    match session.policy.on_start:
        case "resume" if stopped:
            return _recovered(session, ctx)
        case "ask" if goal.status == ACTIVE and not session.held:
            # What was queued before is given up: it would start a turn without the answer.
            kept = Continuation(warned=session.continuation.warned)
            wait = Wait(kind="person", note=GO_ON_QUESTION, since_ms=ctx.now_ms)
            return Change(replace(session, waits=(wait,), continuation=kept))
        case "pause" if goal.status == ACTIVE:
            return _paused(session, ctx)
        case _:
            return Change(session)


def lost(session: Session, event: EngineLost, ctx: Context) -> Change:
    """Charge the time up to the last sign of an engine that is gone, and let the clock stand."""
    clock = session.clock
    if clock.last_ms is None:
        return Change(session)
    # In the time of that engine: the clock may have been set since, or the machine have slept.
    seen_ms = max(event.seen_ms, clock.last_ms)
    change = charge(session, ctx._replace(now_ms=seen_ms))
    session = change.session
    return replace(change, session=replace(session, clock=accounting.stopped(session.clock)))


def _paused(session: Session, ctx: Context) -> Change:
    paused = request(session, Fire("pause", "runtime"), ctx)
    if isinstance(paused, Rejection):
        return Change(session)
    return restate(paused, pause_reason="shutdown", note="the engine was restarted")


def _recovered(session: Session, ctx: Context) -> Change:
    retry = session.retry
    resumed = resume(session, ctx)
    if isinstance(resumed, Rejection):
        return Change(session)
    goal = resumed.session.goal
    if retry.at_ms is None or goal is None or goal.status != ACTIVE:
        return resumed
    # Resuming forgets recovery, but the provider's outage did not end with the engine.
    pending = recovery.set_pending(resumed.session.recovery, retry.reason)
    return replace(resumed, session=replace(resumed.session, retry=retry, recovery=pending))


def stopping(session: Session, ctx: Context) -> Change:
    """Let the thread go: usage is written, and pending recovery becomes a pause that tells why."""
    change = charge(session, ctx)
    change = extend(change, flush(change.session, ctx))
    session = replace(change.session, stopping=True)
    attention = session.recovery.attention
    if attention is not None and attention.kind == "pending":
        paused = request(session, RecoveryShutdownPause(attention.reason), ctx)
        if isinstance(paused, Change):
            return extend(change, restate(paused, pause_reason="shutdown", note=attention.reason))
    calm = replace(session, recovery=recovery.reset(session.recovery, table=ctx.rules.phases))
    return Change(calm, change.effects)


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
        return _paused_by_fault(session, reason, ctx)
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


def _paused_by_fault(session: Session, reason: str, ctx: Context) -> Change:
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
