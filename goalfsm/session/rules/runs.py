"""The open run: dispatched once, charged by key, finished or interrupted, never repeated."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.accounting import counted, stopped
from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, Goal, Usage, used_up
from goalfsm.session import prompt_notices as notices
from goalfsm.session.context import Change, Context
from goalfsm.session.continuation import answer_digest, answer_shape
from goalfsm.session.effects import StartRun
from goalfsm.session.events import (
    CompactionEnded,
    RunDispatched,
    RunFinished,
    RunInterrupted,
    SessionSaved,
    UsageReported,
    WindDownDelivered,
)
from goalfsm.session.rules.change import (
    CIRCLE,
    book,
    charge,
    charge_late,
    charge_usage,
    end_run,
    extend,
    notify,
)
from goalfsm.session.state import Blocking, Progress, Reply, Run, Session, WorkerSession, program_of
from goalfsm.session.work import overrun_ends

KEYS_KEPT = 128
"""How many usage keys a run remembers; the journal refuses repeats of all of them."""


def overrun_limit(session: Session, ctx: Context) -> int | None:
    """Return when (unix ms) a turn that goes on from now has to be over; None for never."""
    if not session.policy.end_overrun:
        return None
    return ctx.now_ms + round(session.policy.overrun_s * 1000)


def stale_token(session: Session, token: str | None) -> Reply | None:
    """Return the refusal of what comes from another run than the open one; None lets it through.

    A host that drives the session itself has no runs and gives no token.
    """
    run = session.run
    if token is None or (run is not None and run.token == token and run.ending is None):
        return None
    return Reply(
        ok=False,
        code="stale_run",
        message="this run is over; what it reports no longer counts",
        hint="end this process; the engine has gone on without it",
    )


def fenced(session: Session, token: str | None) -> Change | None:
    """Return what becomes of something that an old run asks for; None lets it through."""
    refusal = stale_token(session, token)
    return None if refusal is None else Change(session, (), refusal, skipped=True)


def dispatched(session: Session, event: RunDispatched, ctx: Context) -> Session:
    """Note the intent to run: from here on a crash reconciles and never repeats."""
    goal = session.goal
    run = Run(
        run_id=event.run_id,
        token=event.token,
        goal_id=None if goal is None else goal.goal_id,
        turn=session.next_turn,
        started_ms=ctx.now_ms,
        wind_down=event.wind_down,
        can_steer=event.can_steer,
        can_compact=event.can_compact,
        notices=session.notices,
        ends_ms=overrun_limit(session, ctx) if event.wind_down else None,
        route=event.route,
    )
    return replace(
        session,
        run=run,
        notices=(),
        waits=tuple(wait for wait in session.waits if wait.held),
        host=replace(session.host, idle=False, can_compact=event.can_compact),
        wind_down="running" if event.wind_down else session.wind_down,
    )


def open_already(run: Run, event: RunDispatched) -> Reply:
    """Return the reply to a dispatch while ``run`` is open: the same one once more is harmless."""
    if run.run_id == event.run_id:
        return Reply(ok=True, code="dispatched", message="the run is open already")
    return Reply(
        ok=False,
        code="run_open",
        message="the thread has an open run",
        hint="report its end before another one is dispatched",
    )


def started(session: Session) -> Change:
    """Start the worker of the run that has been dispatched: a dispatch of its goal counts."""
    run, goal = session.run, session.goal
    # A dispatch opened the run, and is refused where no goal has a turn to begin.
    assert run is not None  # noqa: S101
    assert goal is not None  # noqa: S101
    flush = replace(session.flush, dirty=True)
    # A history that was loaded since the last dispatch may know of more turns.
    goal = replace(goal, continuations=max(goal.continuations, run.turn))
    session = replace(session, goal=goal, flush=flush)
    if session.retry.owed:
        session = replace(session, retry=replace(session.retry, owed=False))
    return Change(session, (StartRun(run_id=run.run_id),))


def session_saved(session: Session, event: SessionSaved) -> Change:
    """Keep what the worker of the open run saved of its own session for the goal's next turn."""
    run = session.run
    stale = stale_token(session, event.run_token)
    if stale is not None or run is None:
        return Change(session, (), stale)
    if event.data is None:
        return Change(replace(session, worker=None))
    saved = WorkerSession(goal_id=run.goal_id, data=event.data, argv=program_of(run.route))
    return Change(replace(session, worker=saved))


def usage_reported(session: Session, event: UsageReported, ctx: Context) -> Change:
    """Keep the usage in the ledger, and charge it to the goal whose run it is, once."""
    usage = counted(event.usage)
    run, goal = session.run, session.goal
    stale = stale_token(session, event.run_token)
    if stale is not None or run is None or goal is None or goal.goal_id != run.goal_id:
        return Change(book(session, usage, unless="stale_run"), (), stale)
    if event.key in run.charged:
        change = Change(session, (), Reply(ok=True, code="charged_before"))
    else:
        charged = (*run.charged, event.key)[-KEYS_KEPT:]
        change = _used(replace(session, run=replace(run, charged=charged)), goal, usage, ctx)
    if goal.status != COMPLETE:
        return change
    return extend(change, _spent_after_completion(change.session))


def compaction_used(session: Session, event: CompactionEnded, ctx: Context) -> Change:
    """Charge what a compaction consumed, and keep what the worker saved of its session by then.

    Where no run is open, no time is charged for it.
    """
    goal, usage = session.goal, counted(event.usage)
    if goal is None or goal.goal_id != event.goal_id:
        return Change(book(session, usage, unless="goal_changed"))
    if event.data is not None:
        by = () if session.worker is None else session.worker.argv
        saved = WorkerSession(goal_id=goal.goal_id, data=event.data, argv=by)
        session = replace(session, worker=saved)
    if usage == Usage():
        return Change(session)
    clock = session.clock
    change = _used(session, goal, usage, ctx)
    if clock.goal_id is not None:
        return change
    return replace(change, session=replace(change.session, clock=stopped(change.session.clock)))


def _used(session: Session, goal: Goal, usage: Usage, ctx: Context) -> Change:
    """Charge the usage to the thread's goal, also to one that has stopped meanwhile."""
    if goal.status != ACTIVE:
        return Change(charge_late(session, usage, ctx))
    return charge_usage(session, usage, ctx)


def finished(session: Session, event: RunFinished) -> Session:
    """Close the open run and count what its end says about progress."""
    run = session.run
    assert run is not None  # noqa: S101  only an open run ends
    closed = _closed(session, run)
    if not _own(session, run):
        return closed
    if event.outcome != "finished":
        return _told_again(closed, run)
    return replace(closed, progress=_progress(closed, run, event))


def _own(session: Session, run: Run) -> bool:
    """Tell whether the run worked for the goal that the thread still has."""
    return session.goal is not None and session.goal.goal_id == run.goal_id


def _closed(session: Session, run: Run) -> Session:
    # A budget that was raised meanwhile has called the wind-down off.
    over = run.wind_down and session.wind_down == "running" and _own(session, run)
    return replace(session, run=None, wind_down="done" if over else session.wind_down)


def _told_again(session: Session, run: Run) -> Session:
    """Keep for the next prompt what this one carried, unless there is newer of its kind."""
    kept = run.notices
    for text in session.notices:
        kept = notices.add(kept, *notices.parse(text))
    return replace(session, notices=kept)


def _progress(session: Session, run: Run, event: RunFinished) -> Progress:
    """Return the counts after a turn; a turn that claimed something is progress.

    What a turn waits for is part of what it says. Whether that was progress shows when the wait is
    over: one that was over at once is no better than looking again and again.
    """
    before = session.progress
    if run.claimed or event.said_progress:
        fresh = replace(before, empty=0, same_answer=0, failing_tools=0, last_answer="")
        return replace(fresh, shapes=(), step=event.answer_step)
    said, used_tools = event.answer_digest, event.tools_ok + event.tools_failed
    empty = not event.answer_length and not used_tools and run.waits_for is None
    shape = event.answer_shape or said
    if run.waits_for is not None:
        said = answer_digest(f"{said} waits for {run.waits_for}")
        shape = answer_shape(f"{shape} waits for {run.waits_for}")
    same = bool(said) and said == before.last_answer
    only_failing = event.tools_failed > 0 and event.tools_ok == 0
    return replace(
        before,
        empty=before.empty + 1 if empty else 0,
        same_answer=before.same_answer + 1 if same else int(bool(said)),
        failing_tools=before.failing_tools + 1 if only_failing else 0,
        last_answer=said or before.last_answer,
        shapes=_shapes(session, event, shape),
        step=event.answer_step,
    )


def _shapes(session: Session, event: RunFinished, shape: str) -> tuple[str, ...]:
    """Return the last answers as far as they may be going round in a circle."""
    before, step = session.progress, event.answer_step
    grew = (
        step is not None
        and before.step is not None
        and step[1] == before.step[1]
        and step[0] > before.step[0]
    )
    if event.tools_ok or grew or not shape:
        return ()
    return (*before.shapes, shape)[-max(CIRCLE, session.policy.no_progress) :]


def interrupted(session: Session, event: RunInterrupted, ctx: Context) -> Change:
    """Close the open run, whose end nobody saw; the next prompt says so. It counts for no rule."""
    run = session.run
    assert run is not None  # noqa: S101  only an open run is interrupted
    change = Change(session)
    if event.ended_ms is not None:
        change = charge(session, ctx._replace(now_ms=min(event.ended_ms, ctx.now_ms)))
    session = _closed(change.session, run)
    if not _own(session, run):
        return replace(change, session=session)
    session = replace(
        _told_again(session, run),
        clock=stopped(session.clock),
        blocking=_uncounted(session.blocking),
    )
    return replace(change, session=notify(session, "interrupted", event.detail))


def _uncounted(blocking: Blocking) -> Blocking:
    """Take the claim of an interrupted turn back: the turn counts for no rule."""
    if not blocking.claimed:
        return blocking
    return Blocking(count=blocking.count - 1, reason=blocking.reason)


def wind_down_delivered(session: Session, event: WindDownDelivered, ctx: Context) -> Session:
    """Make the running turn the goal's last: its worker has been told so."""
    run = session.run
    if run is None or run.run_id != event.run_id or session.wind_down != "owed":
        return session
    run = replace(run, wind_down=True, ends_ms=overrun_limit(session, ctx))
    return replace(session, run=run, wind_down="running")


# What is over is ended: the turn of a goal that has stopped.


def bounded(after: Session, goal: Goal, ctx: Context) -> Session:
    """Return ``after`` with what the ``goal`` that was left or taken up means for the turn.

    A goal that is not worked on any more waits for nothing, and its turn has so long to end. One
    that is taken up again goes on with the turn that it has.
    """
    run = after.run
    mine = run is not None and run.goal_id == goal.goal_id
    if goal.status == ACTIVE:
        if run is not None and mine and run.ends_ms is not None:
            after = replace(after, run=replace(run, ends_ms=None))
        return after
    if run is None or not mine or run.ends_ms is not None:
        return after
    return replace(after, run=replace(run, ends_ms=overrun_limit(after, ctx)))


def fallen_due(session: Session, ctx: Context) -> Change:
    """End a turn that goes on although its goal stopped long enough ago."""
    goal, ends_ms = session.goal, overrun_ends(session)
    if goal is None or ends_ms is None or ends_ms > ctx.now_ms:
        return Change(session)
    over = f"the {goal.limited_by} budget is used up" if goal.status == LIMITED else ""
    return end_run(session, f"{over or f'the goal is {goal.status}'}, and the turn went on")


def _spent_after_completion(session: Session) -> Change:
    """End at once a turn that uses a budget up although its goal is complete."""
    goal = session.goal
    if goal is None or goal.status != COMPLETE or not session.policy.end_overrun:
        return Change(session)
    limit = used_up(goal)
    if limit is None:
        return Change(session)
    return end_run(session, f"the goal is complete, and the turn used the {limit} budget up")
