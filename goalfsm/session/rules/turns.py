"""The turns of a run: its clock, its charges, its history, what its end asks of the goal.

Queued work of a goal that is no longer the current one is noticed, aborted, cleaned up after.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.goal.accounting import counted, stopped
from goalfsm.goal.model import ACTIVE, Rejection, Usage
from goalfsm.goal.transition import AbortPause
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import AbortRun, Effect
from goalfsm.session.events import AgentEnded, GoalWork, Message, TurnEnded, TurnStarted
from goalfsm.session.rules.change import (
    book,
    charge,
    charge_usage,
    extend,
    flush,
    request,
    restate,
    start_clock,
)
from goalfsm.session.state import Session
from recovery import obligations, stale_work
from recovery.obligations import GoalWork as OwedWork
from recovery.obligations import RunMessage

_RUNNABLE = obligations.RunnableWorkStarted()
TURN_START = obligations.TurnStart()
TOOL_END = obligations.ToolExecutionEnd()
BEFORE_COMPACT = obligations.SessionBeforeCompact()
COMPACT = obligations.SessionCompact()
SHUTDOWN = obligations.SessionShutdown()
USER_INPUT = obligations.UserInputClearAbort()
AGENT_STARTS = obligations.BeforeAgentStartClearAbort()
CONTINUATION_ARRIVED = obligations.ExtensionContinuationClearAbort()

FLUSH_AFTER_MS: Final = 60_000
"""How long usage may go unwritten while tools run."""


def started(session: Session, event: TurnStarted, ctx: Context) -> Change:
    """Start the clock of the goal that is active now: the turn is charged to it."""
    goal, run = session.goal, session.run
    active = goal is not None and goal.status == ACTIVE
    turn_goal = goal.goal_id if goal is not None and active else None
    if run is not None:  # also where it winds the work of its goal down, which is not active then
        turn_goal = run.goal_id
    host = replace(session.host, turn_index=event.turn_index, turn_goal=turn_goal)
    clock = start_clock(session, ctx) if active else session.clock
    return Change(replace(session, host=host, clock=clock))


def tool_finished(session: Session, ctx: Context) -> Change:
    """Charge the time; write it only now and then, so that long turns do not flood the history."""
    change = charge(session, ctx)
    if _unmeasured(session):
        change = replace(change, session=replace(change.session, clock=start_clock(session, ctx)))
    written = change.session.flush.written_ms
    if written is not None and ctx.now_ms - written < FLUSH_AFTER_MS:
        return change
    return extend(change, flush(change.session, ctx))


def _unmeasured(session: Session) -> bool:
    """Tell whether the running turn is the active goal's, and its time is not measured yet."""
    goal, run = session.goal, session.run
    if goal is None or goal.status != ACTIVE or session.clock.goal_id == goal.goal_id:
        return False
    return run is None or run.goal_id == goal.goal_id


def ended(session: Session, event: TurnEnded, ctx: Context) -> Change:
    """Charge the usage of a model call that ended, and write the goal to the history."""
    usage = counted(event.message.usage)
    unless = _whose(session)
    if unless is None:
        change = charge_usage(session, usage, ctx)
    else:
        change = charge(session, ctx)
        change = replace(change, session=book(change.session, usage, unless=unless))
    return extend(change, flush(change.session, ctx))


def agent_ended(session: Session, event: AgentEnded, ctx: Context) -> Change:
    """Charge what the end of the turn did not: the time since, and what was aborted."""
    # Where the aborted turn's own end charged it, the clock has been stopped since.
    unless = _whose(session)
    if unless is None:
        change = charge_usage(session, _aborted_usage(event.messages), ctx)
    else:
        change = charge(session, ctx)
    return extend(change, flush(change.session, ctx))


def _whose(session: Session) -> str | None:
    """Return why the turn's tokens are nobody's; None says that they are the goal's."""
    goal = session.goal
    if goal is None:
        return "no_goal"
    if superseded(session):
        return "goal_changed"
    if goal.status != ACTIVE:
        return "not_active"
    return None if session.clock.goal_id == goal.goal_id else "not_measured"


def superseded(session: Session) -> bool:
    """Tell whether the last turn was started for another goal than the thread now has."""
    goal, turn_goal = session.goal, session.host.turn_goal
    return turn_goal is not None and (goal is None or goal.goal_id != turn_goal)


def _aborted_usage(messages: tuple[Message, ...]) -> Usage:
    total = Usage()
    for message in messages:
        if message.role == "assistant" and message.stop_reason == "aborted":
            total += counted(message.usage)
    return total


def unused(session: Session, usage: Usage) -> Session:
    """Book the usage of a turn that was aborted because its work was stale."""
    return book(session, counted(usage), unless="stale_work")


def aborted(session: Session, ctx: Context) -> Change:
    """Pause the goal whose turn was interrupted."""
    paused = request(session, AbortPause(), ctx)
    if isinstance(paused, Rejection):
        return Change(session)
    return restate(paused, pause_reason="interrupt")


def written(session: Session, ctx: Context) -> Change:
    """Charge and write down, before the host does something from which a process may not return."""
    change = charge(session, ctx)
    return extend(change, flush(change.session, ctx))


def last_answer(messages: tuple[Message, ...]) -> Message | None:
    """Return the last message of the model, None when the run has none."""
    for message in reversed(messages):
        if message.role == "assistant":
            return message
    return None


# Superseded work.


def is_stale(session: Session, work: GoalWork) -> bool:
    """Tell whether ``work`` is for another goal than the one that is being worked on."""
    goal = session.goal
    return goal is None or goal.status != ACTIVE or goal.goal_id != work.goal_id


def screen(session: Session, event: obligations.Event, ctx: Context) -> Change:
    """Run the reducer over ``event`` and carry its plan out."""
    reduced = stale_work.reduce(session.stale, event, table=ctx.rules.lifecycle)
    state, plan = reduced.state, reduced.plan
    if plan is None or plan is stale_work.PASS:
        return Change(session if state is session.stale else replace(session, stale=state))
    clear = "clear_accounting" in plan.effects
    session = replace(
        session, stale=state, clock=stopped(session.clock) if clear else session.clock
    )
    effects: tuple[Effect, ...] = (AbortRun(),) if "abort" in plan.effects else ()
    return Change(session, effects, skipped=plan.skip)


def screen_agent_end(session: Session, event: AgentEnded, ctx: Context) -> Change:
    """Run the reducer over the end of a run; its messages matter only when an end is owed.

    The end of an aborted run that had only work of goals that are given up is nobody's: it may
    come once more, or after the history was loaded, when no end is owed any more.
    """
    if session.stale == obligations.IDLE:
        return Change(session, skipped=_is_nobodys(session, event.messages))
    messages = tuple(_run_message(message) for message in event.messages)
    return screen(session, obligations.AgentEnd(messages=messages), ctx)


def _is_nobodys(session: Session, messages: tuple[Message, ...]) -> bool:
    works = [message.work for message in messages if message.work is not None]
    if not works or messages[-1].stop_reason != "aborted":
        return False
    goal_id = None if session.goal is None else session.goal.goal_id
    others = all(work.goal_id != goal_id for work in works)
    return others and all(message.role != "user" for message in messages)


def _run_message(message: Message) -> RunMessage:
    work = message.work
    owed = None if work is None else OwedWork(kind=work.kind, goal_id=work.goal_id)
    return RunMessage(role=message.role, stop_reason=message.stop_reason, goal_work=owed)


def entered(session: Session, work: GoalWork | None, ctx: Context) -> Change:
    """Note that work entered the turn that is being prepared."""
    if work is not None and is_stale(session, work):
        return screen(session, obligations.StaleWorkStarted(goal_id=work.goal_id), ctx)
    return screen(session, _RUNNABLE, ctx)
