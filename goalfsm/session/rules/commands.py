"""What a person asks of a goal that there is: pause, resume, clear, complete, block, fire."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.machine import TRIGGERS
from goalfsm.goal.model import ACTIVE, LIMITED, PAUSED, Goal, Rejection, no_row
from goalfsm.goal.transition import Clear, Fire
from goalfsm.session.context import Change, Context
from goalfsm.session.events import (
    BlockRequested,
    ClearRequested,
    CompletionRequested,
    PauseRequested,
    ResumeRequested,
    TriggerFired,
)
from goalfsm.session.rules import steering
from goalfsm.session.rules.change import (
    RESUMED,
    charge,
    end_run,
    explained,
    extend,
    request,
    restate,
    seconds,
    store_goal,
)
from goalfsm.session.rules.status_change import SOURCES, afresh, change_status, refused
from goalfsm.session.state import Completion, Continuation, Quota, Reply, Retry, Session, Wait
from recovery import machine as recovery


def pause(session: Session, event: PauseRequested, ctx: Context) -> Change:
    """Pause the goal: the running turn ends, now or by itself, and none follows."""
    change = _pause(session, event, ctx)
    refused = change.reply is not None and not change.reply.ok
    if not event.now or refused:
        return change
    return extend(change, end_run(change.session, "a person paused the goal, at once"))


def _pause(session: Session, event: PauseRequested, ctx: Context) -> Change:
    goal, source = session.goal, SOURCES[event.origin]
    if goal is not None and goal.status == LIMITED and session.wind_down == "owed":
        reply = Reply(
            ok=True,
            code="marked",
            message="the goal stays limited; no turn winds the work down any more",
        )
        return Change(replace(session, wind_down="done"), (), reply)
    if goal is not None and goal.status == PAUSED and not _ends_by_itself(goal):
        return Change(
            session, (), Reply(ok=True, code="marked", message="the goal is paused already")
        )
    if goal is None or not _ends_by_itself(goal):
        why = {"pause_reason": event.reason, "note": event.note or None}
        asked = change_status(session, "paused", source, ctx, **why)
        left = asked.session.goal
        return asked if left is None or left.status != ACTIVE else _held(asked, ctx)
    goal = replace(
        goal,
        pause_reason=event.reason,
        resume_at_ms=None,
        note=event.note or None,
        updated_at=seconds(session, ctx),
    )
    change = store_goal(session, goal, source, ctx)
    reply = Reply(ok=True, code="marked", message="the goal stays paused until it is resumed")
    return replace(change, reply=reply)


def _held(change: Change, ctx: Context) -> Change:
    """Start no further turn although an embedder's rule keeps the goal from being paused."""
    session = change.session
    note = "a pause was asked for, and a rule of the machine is against it"
    wait = Wait(kind="person", note=note, since_ms=ctx.now_ms, held=True)
    # What was queued before is given up: it would start a turn all the same.
    kept = Continuation(warned=session.continuation.warned)
    reply = Reply(
        ok=True,
        code="suspended",
        message="no turn follows, though a rule of the machine keeps the goal active",
        remedies=(Remedy("wake", does="takes the work up again"),),
    )
    session = replace(session, waits=(wait,), continuation=kept)
    return replace(change, session=session, reply=reply, decide=True)


def _ends_by_itself(goal: Goal) -> bool:
    """Tell whether the goal is in a pause that a time or the next start of an engine ends."""
    return goal.status == PAUSED and (
        goal.resume_at_ms is not None or goal.pause_reason == "shutdown"
    )


def resume(session: Session, event: ResumeRequested, ctx: Context) -> Change:
    """Take the goal up again; audits and counts start afresh."""
    goal = session.goal
    if goal is not None and goal.blocked_by == "person" and event.origin != "person":
        reply = Reply(
            ok=False,
            code="blocked_by_person",
            message="a person has declared the goal blocked, and takes it up again",
            remedies=(Remedy("resume", does="takes it up"),),
        )
        return Change(session, (), reply)
    if session.held:
        reply = Reply(ok=True, code="marked", message="the goal is active")
        return Change(afresh(session, "resumed"), (), reply)
    change = change_status(session, "active", SOURCES[event.origin], ctx)
    if change.reply is None or not change.reply.ok:
        return change
    goal = change.session.goal
    if goal is not None and goal.status == LIMITED:
        return replace(
            change,
            reply=Reply(
                ok=False,
                code="budget_limited",
                message=f"the goal is limited by {goal.limited_by}; nothing is left",
                remedies=(Remedy("budget", does="raises it"),),
            ),
        )
    session = afresh(change.session, "resumed")
    if session.policy.retries == "engine":
        # Whoever resumes has looked: there is no turn of theirs that would say so later.
        calm = recovery.reset(session.recovery, table=ctx.rules.phases)
        session = replace(session, recovery=calm, retry=Retry(), quota=Quota())
    return replace(change, session=session)


def clear(session: Session, event: ClearRequested, ctx: Context) -> Change:
    """Give the goal up."""
    if session.goal is None:
        reply = refused(no_row(None, "clear"))
        return Change(session, (), reply)
    cleared = request(session, Clear(SOURCES[event.origin]), ctx)
    if isinstance(cleared, Rejection):
        return Change(session, (), refused(cleared))
    reply = Reply(ok=True, code="cleared", message="the goal is cleared")
    return replace(cleared, reply=steering.with_unread(reply, steering.left_unread(session)))


def complete(session: Session, event: CompletionRequested, ctx: Context) -> Change:
    """Complete the goal on a person's word."""
    change = change_status(session, "complete", SOURCES[event.origin], ctx)
    if change.reply is None or change.reply.code != "marked" or change.session.goal is None:
        return change
    record = Completion(
        goal_id=change.session.goal.goal_id,
        evidence=event.evidence,
        accepted_by="person",
        by=event.by,
        unread=steering.left_unread(session),
        at_ms=ctx.now_ms,
    )
    done = replace(
        change.session, completion=record, claim=None, set_aside=None, waits=(), steering=()
    )
    return replace(change, session=done, reply=steering.with_unread(change.reply, record.unread))


def block(session: Session, event: BlockRequested, ctx: Context) -> Change:
    """Block the goal on a person's word."""
    source = SOURCES[event.origin]
    change = change_status(
        session, "blocked", source, ctx, note=event.reason or None, blocked_by="person"
    )
    if change.reply is None or not change.reply.ok or change.reply.code != "marked":
        return change
    aside = steering.set_aside(change.session, "block", ctx, event.reason)
    if aside is not change.session:
        message = f"{change.reply.message}; the open completion claim is set aside"
        change = replace(change, reply=replace(change.reply, message=message))
    return replace(change, session=aside)


def fire(session: Session, event: TriggerFired, ctx: Context) -> Change:
    """Fire a trigger of an embedder's machine; ours have commands that keep what they mean."""
    if event.trigger in TRIGGERS:
        return Change(
            session,
            (),
            Reply(
                ok=False,
                code="trigger_reserved",
                message=f"{event.trigger!r} is a trigger of goalfsm itself",
                hint="send the command or the event that stands for it",
            ),
        )
    change = charge(session, ctx)
    fired = request(change.session, Fire(event.trigger, SOURCES[event.origin]), ctx)
    if isinstance(fired, Rejection):
        return replace(change, reply=refused(fired))
    reply = Reply(ok=True, code="fired", message=event.trigger)
    before, goal = change.session.goal, fired.session.goal
    if before is not None and goal is not None and goal.status != before.status:
        why = {name: getattr(explained(goal), name) for name in RESUMED}
        fired = restate(fired, **why)
    return extend(change, replace(fired, reply=reply))
