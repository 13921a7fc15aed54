"""Queued work of a goal that is no longer the current one: noticed, aborted, cleaned up after."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.accounting import stopped
from goalfsm.goal.model import ACTIVE
from goalfsm.session.effects import AbortRun, Effect
from goalfsm.session.events import AgentEnded, GoalWork, Message
from goalfsm.session.state import Change, Context, Session
from recovery import stale_work
from recovery.obligations import GoalWork as OwedWork
from recovery.obligations import RunMessage


def is_stale(session: Session, work: GoalWork) -> bool:
    """Tell whether ``work`` is for another goal than the one that is being worked on."""
    goal = session.goal
    return goal is None or goal.status != ACTIVE or goal.goal_id != work.goal_id


def screen(session: Session, event: stale_work.Event, ctx: Context) -> Change:
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
    if session.stale == stale_work.IDLE:
        return Change(session, skipped=_is_nobodys(session, event.messages))
    messages = tuple(_run_message(message) for message in event.messages)
    return screen(session, stale_work.AgentEnd(messages=messages), ctx)


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
        return screen(session, stale_work.StaleWorkStarted(goal_id=work.goal_id), ctx)
    return screen(session, _RUNNABLE, ctx)


_RUNNABLE = stale_work.RunnableWorkStarted()
TURN_START = stale_work.TurnStart()
TOOL_END = stale_work.ToolExecutionEnd()
BEFORE_COMPACT = stale_work.SessionBeforeCompact()
COMPACT = stale_work.SessionCompact()
SHUTDOWN = stale_work.SessionShutdown()
USER_INPUT = stale_work.UserInputClearAbort()
AGENT_STARTS = stale_work.BeforeAgentStartClearAbort()
CONTINUATION_ARRIVED = stale_work.ExtensionContinuationClearAbort()
