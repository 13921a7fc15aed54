"""What the work waits for outside, and when the thread has to be looked at by itself."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, PAUSED, Goal, Rejection
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import Effect, WatchProcess
from goalfsm.session.events import ClockAdjusted, ProcessEnded, WaitDeclared, WakeRequested
from goalfsm.session.prompt_notices import parse
from goalfsm.session.rules.change import charge, extend, notify, resume
from goalfsm.session.state import Progress, Reply, Retry, Session, Wait
from recovery import machine as recovery

MAX_WAITS: Final = 16
"""Most waits that a turn may declare."""
_WAITS: Final = {
    "timer": "the work waits until the time has come; end the turn",
    "process": "the work waits until the process has ended; end the turn",
    "person": "the work waits for a person; end the turn",
    "event": "the work waits until it is woken; end the turn",
}


def declared(session: Session, event: WaitDeclared, ctx: Context) -> Change:
    """Wait: nothing is dispatched before what is waited for has happened."""
    fault = _fault(event)
    if fault is not None:
        return Change(session, (), fault)
    if session.goal is None or session.goal.status != ACTIVE:
        reply = Reply(ok=False, code="status_not_allowed", message="the goal is not active")
        return Change(session, (), reply)
    if session.held:
        return Change(session, (), Reply(ok=True, code="waiting", message="a person comes first"))
    kept = tuple(wait for wait in session.waits if not _same(wait, event))
    if len(kept) >= MAX_WAITS:
        reply = Reply(
            ok=False,
            code="too_many_waits",
            message=f"the turn waits for {MAX_WAITS} things already",
            hint="wait for one process that waits for the others",
        )
        return Change(session, (), reply)
    wait = Wait(
        kind=event.kind,
        until_ms=event.until_ms,
        pid=event.pid,
        note=event.note,
        since_ms=ctx.now_ms,
        relative=event.relative,
        any=event.any,
    )
    waits = (*kept, wait)
    run = session.run
    if run is not None:
        run = replace(run, waits_for="; ".join(one.note for one in waits))
    effects: tuple[Effect, ...] = ()
    if event.kind == "process" and event.pid is not None:
        effects = (WatchProcess(pid=event.pid, started=event.started),)
    message = _WAITS[event.kind]
    if kept:
        others = "the first of those that say any" if any(one.any for one in waits) else "all"
        message = f"the work waits for {len(waits)} things, until {others} are over; end the turn"
    if len(kept) < len(session.waits):
        message += "; it takes the place of the same one before"
    reply = Reply(ok=True, code="waiting", message=message)
    return Change(replace(session, waits=waits, run=run), effects, reply)


def _same(wait: Wait, event: WaitDeclared) -> bool:
    """Tell whether a wait is for what is declared now: that takes its place."""
    if wait.kind != event.kind or wait.pid != event.pid:
        return False
    return wait.kind != "timer" or wait.until_ms == event.until_ms


def _fault(event: WaitDeclared) -> Reply | None:
    if event.kind == "timer" and event.until_ms is None:
        return Reply(
            ok=False,
            code="wait_invalid",
            message="a timer needs a time",
            hint="give until or seconds",
        )
    if event.kind == "process" and (event.pid is None or event.pid <= 0):
        return Reply(
            ok=False,
            code="wait_invalid",
            message="a process needs its id",
            hint="give a pid above 0",
        )
    return None


def woken(session: Session, event: WakeRequested) -> Change:
    """End the wait: somebody says that it is over."""
    if not session.waits:
        reply = Reply(
            ok=False,
            code="not_waiting",
            message="the goal waits for nothing",
            hint="goalfsm status THREAD shows what it does",
        )
        return Change(session, (), reply)
    reply = Reply(ok=True, code="woken", message="the wait is over")
    why = event.note or "somebody ended the wait"
    noted = "; ".join(wait.note for wait in session.waits if wait.note)
    session = notify(session, "woken", f"{why} ({noted})" if noted else why)
    return Change(replace(session, waits=(), progress=Progress()), (), reply)


def process_ended(session: Session, event: ProcessEnded, ctx: Context) -> Change:
    """End the wait for that process."""
    for wait in session.waits:
        if wait.kind == "process" and wait.pid == event.pid:
            session = _over(session, wait, f"process {event.pid} has ended", ctx)
    return Change(session)


def _waited(session: Session, wait: Wait, ctx: Context) -> Session:
    """Count afresh after a wait that was long enough to have been worth it."""
    if ctx.now_ms - wait.since_ms < session.policy.short_wait_s * 1000:
        return session
    return replace(session, progress=Progress())


def _over(session: Session, wait: Wait, why: str, ctx: Context) -> Session:
    """Return the session without ``wait``, and without the others where one is enough."""
    detail = f"{why} ({wait.note})" if wait.note else why
    told = [notice for notice in map(parse, session.notices) if notice.kind == "woken"]
    if told:  # what ended before it, while the others were still waited for
        detail = f"{told[0].detail}; {detail}"
    session = notify(_waited(session, wait, ctx), "woken", detail)
    left = () if wait.any else tuple(one for one in session.waits if one is not wait)
    return replace(session, waits=left)


def timer_fired(session: Session, ctx: Context) -> Change:
    """Do what is due: end a wait, allow the next attempt, take a paused goal up, charge time."""
    change = charge(session, ctx)
    session = change.session
    retry, goal = session.retry, session.goal
    for wait in session.waits:
        if wait.until_ms is not None and wait.until_ms <= ctx.now_ms:
            due = "the time has come" if wait.kind == "timer" else "it was waited for long enough"
            session = _over(session, wait, due, ctx)
    if retry.at_ms is not None and retry.at_ms <= ctx.now_ms:
        calm = recovery.reset_counters(session.recovery)
        session = replace(session, retry=replace(retry, at_ms=None), recovery=calm)
    change = replace(change, session=session)
    if goal is None or goal.status != PAUSED or goal.resume_at_ms is None:
        return change
    if goal.resume_at_ms > ctx.now_ms:
        return change
    return extend(change, _resumed(session, goal, ctx))


def _resumed(session: Session, goal: Goal, ctx: Context) -> Change:
    resumed = resume(session, ctx)
    if isinstance(resumed, Rejection):
        # An embedder's guard is against it: the goal stays paused until somebody resumes it.
        goal = replace(goal, resume_at_ms=None)
        return Change(replace(session, goal=goal, flush=replace(session.flush, dirty=True)))
    session = notify(resumed.session, "resumed")
    if session.quota.overdue_since_ms is not None:
        # Nobody named a time for this attempt: it is the same turn once more, as in an outage.
        session = replace(session, retry=Retry(owed=True))
    return replace(resumed, session=session)


def clock_adjusted(session: Session, event: ClockAdjusted) -> Session:
    """Move what is measured from a moment along with a wall clock that was set.

    Durations stay what they were; a time of day that somebody named stays that time of day.
    """
    by_ms = event.by_ms
    clock, retry, run = session.clock, session.retry, session.run
    if clock.last_ms is not None:
        clock = replace(clock, last_ms=clock.last_ms + by_ms)
    if retry.first_failure_ms is not None:
        retry = replace(retry, first_failure_ms=retry.first_failure_ms + by_ms)
    if retry.at_ms is not None:
        retry = replace(retry, at_ms=retry.at_ms + by_ms)
    waits = tuple(_moved(wait, by_ms) for wait in session.waits)
    if run is not None:
        ends_ms = None if run.ends_ms is None else run.ends_ms + by_ms
        run = replace(run, started_ms=run.started_ms + by_ms, ends_ms=ends_ms)
    session = replace(session, clock=clock, retry=retry, waits=waits, run=run)
    return _resets_later(session, by_ms)


def _moved(wait: Wait, by_ms: int) -> Wait:
    until = wait.until_ms
    if until is not None and wait.relative:
        until += by_ms
    return replace(wait, until_ms=until, since_ms=wait.since_ms + by_ms)


def _resets_later(session: Session, by_ms: int) -> Session:
    """Move the reset of a quota that was told as a duration."""
    goal, quota = session.goal, session.quota
    if quota.overdue_since_ms is not None:
        quota = replace(quota, overdue_since_ms=quota.overdue_since_ms + by_ms)
        session = replace(session, quota=quota)
    if goal is None or goal.resume_at_ms is None or not quota.relative:
        return session
    goal = replace(goal, resume_at_ms=goal.resume_at_ms + by_ms)
    return replace(session, goal=goal, flush=replace(session.flush, dirty=True))
