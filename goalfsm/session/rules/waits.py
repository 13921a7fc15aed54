"""What the work waits for outside, and when the thread has to be looked at by itself."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, PAUSED, Goal
from goalfsm.goal.transition import Rejection
from goalfsm.session.effects import Effect, EndRun, WatchProcess
from goalfsm.session.events import ClockAdjusted, ProcessEnded, WaitDeclared, WakeRequested
from goalfsm.session.rules.change import charge, extend, notify, resume
from goalfsm.session.state import Change, Context, Progress, Reply, Retry, Session, Wait
from goalfsm.session.wake import overrun_ends
from recovery import machine as recovery

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
    wait = Wait(
        kind=event.kind,
        until_ms=event.until_ms,
        pid=event.pid,
        note=event.note,
        since_ms=ctx.now_ms,
        relative=event.relative,
    )
    run = None if session.run is None else replace(session.run, waits_for=event.note)
    effects: tuple[Effect, ...] = ()
    if event.kind == "process" and event.pid is not None:
        effects = (WatchProcess(pid=event.pid, started=event.started),)
    reply = Reply(ok=True, code="waiting", message=_WAITS[event.kind])
    return Change(replace(session, wait=wait, run=run), effects, reply)


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
    if session.wait is None:
        reply = Reply(
            ok=False,
            code="not_waiting",
            message="the goal waits for nothing",
            hint="goalfsm status THREAD shows what it does",
        )
        return Change(session, (), reply)
    reply = Reply(ok=True, code="woken", message="the wait is over")
    over = _over(session, event.note or "somebody ended the wait")
    return Change(replace(over, progress=Progress()), (), reply)


def process_ended(session: Session, event: ProcessEnded, ctx: Context) -> Change:
    """End the wait for that process."""
    wait = session.wait
    if wait is None or wait.kind != "process" or wait.pid != event.pid:
        return Change(session)
    return Change(_over(_waited(session, wait, ctx), f"process {event.pid} has ended"))


def _waited(session: Session, wait: Wait, ctx: Context) -> Session:
    """Count afresh after a wait that was long enough to have been worth it."""
    if ctx.now_ms - wait.since_ms < session.policy.short_wait_s * 1000:
        return session
    return replace(session, progress=Progress())


def _over(session: Session, why: str) -> Session:
    assert session.wait is not None  # noqa: S101  only an open wait is over
    note = session.wait.note
    detail = f"{why} ({note})" if note else why
    return notify(replace(session, wait=None), "woken", detail)


def timer_fired(session: Session, ctx: Context) -> Change:
    """Do what is due: end a wait, allow the next attempt, take a paused goal up, charge time."""
    change = charge(session, ctx)
    session = change.session
    wait, retry, goal = session.wait, session.retry, session.goal
    if wait is not None and wait.until_ms is not None and wait.until_ms <= ctx.now_ms:
        due = "the time has come" if wait.kind == "timer" else "it was waited for long enough"
        session = _over(_waited(session, wait, ctx), due)
    if retry.at_ms is not None and retry.at_ms <= ctx.now_ms:
        calm = recovery.reset_counters(session.recovery)
        session = replace(session, retry=replace(retry, at_ms=None), recovery=calm)
    change = _overran(session, change.effects, ctx)
    if goal is None or goal.status != PAUSED or goal.resume_at_ms is None:
        return change
    if goal.resume_at_ms > ctx.now_ms:
        return change
    return extend(change, _resumed(session, goal, ctx))


def _overran(session: Session, effects: tuple[Effect, ...], ctx: Context) -> Change:
    """End a turn that goes on although a budget was used up long enough ago."""
    goal, run, ends_ms = session.goal, session.run, overrun_ends(session)
    if goal is None or run is None or ends_ms is None or ends_ms > ctx.now_ms:
        return Change(session, effects)
    reason = f"the {goal.limited_by} budget is used up, and the turn went on"
    session = replace(session, run=replace(run, ending=reason))
    return Change(session, (*effects, EndRun(run_id=run.run_id, reason=reason)))


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
    return resumed._replace(session=session)


def clock_adjusted(session: Session, event: ClockAdjusted) -> Session:
    """Move what is measured from a moment along with a wall clock that was set.

    Durations stay what they were; a time of day that somebody named stays that time of day.
    """
    by_ms = event.by_ms
    clock, retry, wait, run = session.clock, session.retry, session.wait, session.run
    if clock.last_ms is not None:
        clock = replace(clock, last_ms=clock.last_ms + by_ms)
    if retry.first_failure_ms is not None:
        retry = replace(retry, first_failure_ms=retry.first_failure_ms + by_ms)
    if retry.at_ms is not None:
        retry = replace(retry, at_ms=retry.at_ms + by_ms)
    if wait is not None:
        until = wait.until_ms
        if until is not None and wait.relative:
            until += by_ms
        wait = replace(wait, until_ms=until, since_ms=wait.since_ms + by_ms)
    if run is not None:
        ends_ms = None if run.ends_ms is None else run.ends_ms + by_ms
        run = replace(run, started_ms=run.started_ms + by_ms, ends_ms=ends_ms)
    session = replace(session, clock=clock, retry=retry, wait=wait, run=run)
    return _resets_later(session, by_ms)


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
