"""The goals that come after this one: queued by a person, taken up in their order."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import COMPLETE, MAX_ITEMS
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import Effect, TakeNextGoal, WriteReport
from goalfsm.session.events import (
    GoalQueued,
    NextGoalRequested,
    ObjectiveGiven,
    QueueDropped,
    QueueMoved,
)
from goalfsm.session.rules import objective
from goalfsm.session.state import QueuedGoal, Reply, Session
from goalfsm.session.work import advances, is_over
from goalfsm.text import short

_GIVEN: Final = ("objective", "limits", "criteria", "verifiers", "until", "policy", "by")


def add(session: Session, event: GoalQueued, ctx: Context) -> Change:
    """Put a goal into the queue; what it would be refused with is said now, not in the night."""
    if len(session.queue) >= MAX_ITEMS:
        reply = Reply(
            ok=False,
            code="queue_full",
            message=f"{MAX_ITEMS} goals are queued already",
            remedies=(Remedy("queue drop", {"id": None}, "takes one out"),),
        )
        return Change(session, (), reply)
    given = {name: getattr(event, name) for name in _GIVEN}
    # As if the thread had no goal: the one that it has will be complete by then.
    trial = objective.give(replace(session, goal=None), ObjectiveGiven(**given), ctx)
    if trial.reply is not None and not trial.reply.ok:
        return Change(session, (), trial.reply)
    count = session.queue_count + 1
    queued = QueuedGoal(queue_id=f"q{count}", at_ms=ctx.now_ms, **given)
    queue = (queued, *session.queue) if event.first else (*session.queue, queued)
    place = 1 if event.first else len(queue)
    message = f"queued as {queued.queue_id}, in place {place} of {len(queue)}"
    reply = Reply(ok=True, code="queued", message=message)
    if not session.policy.advance:
        goal = session.goal
        free = goal is None or goal.status == COMPLETE
        how = (
            "begins with the first" if free else "goes on to it when the goal before it is complete"
        )
        reply = replace(reply, hint=f"goalfsm run --advance --thread THREAD {how}")
    return Change(replace(session, queue=queue, queue_count=count), (), reply)


def move(session: Session, event: QueueMoved) -> Change:
    """Give a queued goal another place."""
    moved = _named(session, event.queue_id)
    if moved is None:
        return _unknown(session, event.queue_id)
    if not 1 <= event.place <= len(session.queue):
        reply = Reply(
            ok=False,
            code="place_invalid",
            message=f"there is no place {event.place} in a queue of {len(session.queue)}",
            hint="places count from 1",
        )
        return Change(session, (), reply)
    others = [one for one in session.queue if one is not moved]
    others.insert(event.place - 1, moved)
    message = f"{moved.queue_id} is in place {event.place} of {len(others)}"
    reply = Reply(ok=True, code="moved", message=message)
    return Change(replace(session, queue=tuple(others)), (), reply)


def drop(session: Session, event: QueueDropped) -> Change:
    """Take a goal out of the queue."""
    dropped = _named(session, event.queue_id)
    if dropped is None:
        return _unknown(session, event.queue_id)
    queue = tuple(one for one in session.queue if one is not dropped)
    message = f"{dropped.queue_id} is out of the queue: {short(dropped.objective)}"
    return Change(
        replace(session, queue=queue), (), Reply(ok=True, code="dropped", message=message)
    )


def take_next(session: Session, event: NextGoalRequested, ctx: Context) -> Change:
    """Give the thread the first goal of its queue, as the person gave it who queued it."""
    if not session.queue:
        reply = Reply(
            ok=False,
            code="queue_empty",
            message="no goal is queued",
            remedies=(Remedy("queue add", {"objective": None}, "queues one"),),
        )
        return Change(session, (), reply)
    if event.origin == "system" and not advances(session):
        reply = Reply(
            ok=False,
            code="not_advancing",
            message="the thread does not go on to its next goal by itself",
            remedies=(Remedy("queue next", does="takes it up"),),
        )
        return Change(session, (), reply)
    goal = session.goal
    if goal is not None and goal.status != COMPLETE:
        reply = Reply(
            ok=False,
            code="goal_unfinished",
            message="the goal before it is not complete",
            remedies=(Remedy("complete"), Remedy("clear", does="ends that one")),
        )
        return Change(session, (), reply)
    first, *rest = session.queue
    given = ObjectiveGiven(**{name: getattr(first, name) for name in _GIVEN})
    change = objective.give(session, given, ctx)
    if change.reply is None or not change.reply.ok:
        return change
    message = f"{change.reply.message}, from the queue ({first.queue_id}): {short(first.objective)}"
    after = replace(change.session, queue=tuple(rest))
    return replace(change, session=after, reply=replace(change.reply, message=message), decide=True)


def due(before: Session, after: Session) -> tuple[Effect, ...]:
    """Return what follows when a goal is complete and its run is over: once, when that begins."""
    goal = after.goal
    if goal is None or not is_over(after):
        return ()
    same = before.goal is not None and before.goal.goal_id == goal.goal_id
    effects: list[Effect] = []
    form = after.policy.on_complete
    if form != "nothing" and not (same and is_over(before)):
        effects.append(WriteReport(goal_id=goal.goal_id, form=form))
    # The record first: it is of the goal that the thread still has.
    if advances(after) and not (same and advances(before)):
        effects.append(TakeNextGoal(goal_id=goal.goal_id))
    return tuple(effects)


def _named(session: Session, queue_id: str) -> QueuedGoal | None:
    return next((one for one in session.queue if one.queue_id == queue_id), None)


def _unknown(session: Session, queue_id: str) -> Change:
    listed = ", ".join(one.queue_id for one in session.queue)
    reply = Reply(
        ok=False,
        code="queue_unknown",
        message=f"nothing is queued as {short(queue_id)}",
        hint=f"there are {listed}" if listed else "the queue is empty",
    )
    return Change(session, (), reply)
