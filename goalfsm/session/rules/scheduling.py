"""Whether and when a continuation leaves: at most one for a goal, when the host can take it."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, Goal, Limit, Rejection, used_up
from goalfsm.goal.transition import Fire
from goalfsm.session.context import Change, Context
from goalfsm.session.continuation import Continue, Situation, Stop, Verdict, Wait, decide
from goalfsm.session.effects import SendWork
from goalfsm.session.events import HostChanged
from goalfsm.session.rules.change import CIRCLE, announce_limit, charge, extend, request, restate
from goalfsm.session.state import Continuation, Decision, Session
from goalfsm.session.work import awaits_person, waiting_on, waits_end
from recovery import machine as recovery
from recovery.obligations import AbortingTurn


def situation(session: Session, *, interrupted: bool = False) -> Situation:
    """Gather what the decision looks at."""
    goal = session.goal
    if goal is None:
        return Situation(None)
    most = goal.max_continuations
    return Situation(
        status=goal.status,
        pause_reason=goal.pause_reason,
        resume_at_ms=goal.resume_at_ms,
        limited_by=goal.limited_by,
        stopping=session.stopping,
        stale_aborting=session.stale.__class__ is AbortingTurn,
        queued=session.continuation.queued == goal.goal_id,
        verifying=session.claim is not None,
        accepting=awaits_person(session),
        checking=session.check is not None and not session.waits,
        recovering=_recovering(session),
        retry_at_ms=session.retry.at_ms,
        waiting=waiting_on(session.waits),
        wait_until_ms=waits_end(session.waits),
        continuations=session.next_turn - 1,
        max_continuations=session.policy.max_continuations if most is None else most,
        used_up=used_up(goal),
        stuck="" if interrupted else stuck(session),
        pending_messages=session.host.pending_messages,
        host_busy=not session.host.idle or session.run is not None,
    )


def _recovering(session: Session) -> str | None:
    attention = session.recovery.attention
    if attention is not None and attention.kind == "pending":
        return attention.reason
    blocked = recovery.blocks_continuation(session.recovery)
    return recovery.OVERFLOW_RECOVERY if blocked else None


def stuck(session: Session) -> str:
    """Return why the last turns got nowhere, in words; empty while they do get somewhere.

    Empty too where nobody saw the end of the last one: the next end decides.
    """
    most, tally = session.policy.no_progress, session.tally
    if tally and tally.last_run and tally.last_run.outcome == "interrupted":
        return ""
    progress = session.progress
    counts = (
        (progress.empty, "ended without an answer and without using a tool"),
        (progress.same_answer, "gave the same answer"),
        (progress.failing_tools, "used only tools that failed"),
        (progress.same_gaps, "left the same gaps in verification"),
    )
    for count, what in counts:
        if most and count >= most:
            return f"{count} turns in a row {what}"
    period = _period(progress.shapes, max(CIRCLE, most)) if most else 0
    if not period:
        return ""
    same = "the same answer" if period == 1 else f"the same {period} answers by turns"
    return f"{len(progress.shapes)} turns in a row gave {same}, but for numbers, times and ids"


def _period(shapes: tuple[str, ...], turns: int) -> int:
    """Return after how many answers they come round again in so many turns; 0 where they do not."""
    if len(shapes) < turns:
        return 0
    for period in (1, 2, 3):
        if shapes[period:] == shapes[:-period]:
            return period
    return 0


def schedule(session: Session, ctx: Context, *, interrupted: bool = False) -> Change:
    """Decide, write the decision down and carry it out.

    ``interrupted``: after a run whose end nobody saw, which says nothing about progress.
    """
    verdict = decide(situation(session, interrupted=interrupted), ctx.rules.guards)
    goal = session.goal
    if goal is None:
        return Change(_decided(session, verdict, ctx))
    continuation = session.continuation
    at_work = not session.host.idle or session.run is not None
    busy = at_work and not session.host.pending_messages
    if isinstance(verdict, Continue):
        queued = replace(continuation, queued=goal.goal_id, wanted=None)
        session = _decided(replace(session, continuation=queued), verdict, ctx)
        work = SendWork(kind="continuation", goal_id=goal.goal_id, deliver_as="follow_up")
        return Change(session, (work,))
    stops = isinstance(verdict, Stop) and goal.status == ACTIVE
    if busy and (stops or verdict.guard == "host_busy"):
        # The running turn may still change everything: look again when it has ended.
        wanted = Continuation(
            queued=continuation.queued, wanted=goal.goal_id, warned=continuation.warned
        )
        if continuation.wanted != goal.goal_id:
            session = replace(session, continuation=wanted)
        return Change(_decided(session, verdict, ctx))
    if continuation.wanted is not None:
        session = replace(session, continuation=replace(continuation, wanted=None))
    change = Change(_decided(session, verdict, ctx))
    if not stops or not isinstance(verdict, Stop):
        return change
    return _stopped(change.session, goal, verdict, ctx)


def _decided(session: Session, verdict: Verdict, ctx: Context) -> Session:
    match verdict:
        case Continue(guard=guard, reason=reason):
            decision = Decision(decision="continue", guard=guard, reason=reason, at_ms=ctx.now_ms)
        case Wait(guard=guard, reason=reason, until_ms=until):
            decision = Decision(
                decision="wait", guard=guard, reason=reason, until_ms=until, at_ms=ctx.now_ms
            )
        case Stop(until_ms=until) as stop:  # pragma: no branch - there is no other
            detail = stop.detail or _seal(session, stop)
            reason = f"{stop.reason}: {detail}" if detail else stop.reason
            decision = Decision(
                decision="stop", guard=stop.guard, reason=reason, until_ms=until, at_ms=ctx.now_ms
            )
    return replace(session, decision=decision)


def _seal(session: Session, verdict: Stop) -> str:
    """Return what seals the evidence that a goal was completed with: it belongs in the journal."""
    done = session.completion
    if verdict.reason != "completed" or done is None or not done.digest:
        return ""
    return f"evidence sha256:{done.digest}"


_LIMITS: dict[str, Limit] = {
    "continuation_limit": "continuations",
    "token_budget": "tokens",
    "time_budget": "time",
    "cost_budget": "cost",
}


def _stopped(session: Session, goal: Goal, verdict: Stop, ctx: Context) -> Change:
    """Give an active goal the status that the stop means."""
    limit = _LIMITS.get(verdict.reason)
    change = charge(session, ctx)
    if limit is None:
        paused = request(change.session, Fire("pause", "runtime"), ctx)
        if isinstance(paused, Rejection):
            return change
        return extend(change, restate(paused, pause_reason="no_progress", note=verdict.detail))
    limited = request(change.session, Fire("limit", "runtime"), ctx)
    if isinstance(limited, Rejection):
        return change
    limited = restate(limited, limited_by=limit)
    if limit == "continuations":
        # A wind-down turn would be one more than was allowed: the last one was told so.
        warned = replace(limited.session.continuation, warned=goal.goal_id)
        session = replace(limited.session, continuation=warned, wind_down="done")
        return extend(change, replace(limited, session=session))
    change = extend(change, limited)
    return extend(change, announce_limit(change.session, ctx))


def noted(session: Session, event: HostChanged) -> Change:
    """Note what the host says about itself."""
    host = session.host
    idle = host.idle if event.idle is None else event.idle
    pending = host.pending_messages if event.pending_messages is None else event.pending_messages
    window = host.context_window if event.context_window is None else event.context_window
    if (idle, pending, window) == (host.idle, host.pending_messages, host.context_window):
        return Change(session)
    host = replace(host, idle=idle, pending_messages=pending, context_window=window)
    return Change(replace(session, host=host))


def caught_up(session: Session, ctx: Context) -> Change:
    """Decide again at an idle host: what was wanted while it was busy leaves or is given up."""
    if session.continuation.wanted is None or not session.host.idle:
        return Change(session)
    return schedule(session, ctx)
