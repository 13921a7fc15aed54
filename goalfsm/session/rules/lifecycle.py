"""An engine takes a thread over and lets it go: what survives, what has to be asked."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal import accounting
from goalfsm.goal.model import ACTIVE, PAUSED, Rejection
from goalfsm.goal.transition import Fire, RecoveryShutdownPause
from goalfsm.session.context import Change, Context
from goalfsm.session.events import EngineLost, EngineStarted
from goalfsm.session.rules.change import charge, extend, flush, request, restate, resume
from goalfsm.session.state import Continuation, Host, Session, Wait
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
    seen_ms = min(max(event.seen_ms, clock.last_ms), ctx.now_ms)
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
