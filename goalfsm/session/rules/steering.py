"""What a person says to the work: kept until it has been taken into account, once."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, COMPLETE
from goalfsm.goal.validation import Rejected, check_text
from goalfsm.session.effects import DeliverSteering
from goalfsm.session.events import SteeringAcknowledged, SteeringReceived
from goalfsm.session.state import Change, Context, Progress, Reply, Session, Steering

MAX_WAITING: Final = 100_000
"""Most code points of messages that one prompt carries."""


def received(session: Session, event: SteeringReceived, ctx: Context) -> Change:
    """Queue the message; hand it to the running turn where the worker can take it."""
    goal = session.goal
    if goal is None or goal.status == COMPLETE:
        hint = "goalfsm set THREAD OBJECTIVE gives the thread some"
        return _refuse(session, "no_goal", "there is no work to steer", hint)
    text = check_text(event.text, "message")
    if isinstance(text, Rejected):
        return _refuse(session, text.code, text.message, text.hint)
    if any(known.message_id == event.message_id for known in session.steering):
        return Change(session, (), Reply(ok=True, code="recorded", message="it is queued already"))
    waiting = sum(len(kept.text) for kept in session.steering)
    if len(session.steering) >= session.policy.steering_limit or waiting + len(text) > MAX_WAITING:
        return _refuse(
            session,
            "steering_full",
            f"{len(session.steering)} messages wait for the next turn already",
            "wait until a turn has taken them, or say it by goalfsm edit THREAD OBJECTIVE",
        )
    message = Steering(message_id=event.message_id, text=text, at_ms=ctx.now_ms)
    answered = session.wait is not None and session.wait.kind == "person" and not session.held
    wait = None if answered else session.wait
    session = replace(
        session,
        steering=(*session.steering, message),
        wait=wait,
        progress=Progress(),
        model_goals=0,
    )
    reply = Reply(ok=True, code="recorded", message="the next turn takes it into account")
    if goal.status != ACTIVE:
        # No turn follows by itself, and nobody should wait for one.
        later = f"it is kept for when the goal, which is {goal.status}, goes on"
        reply = replace(reply, message=later)
    run = session.run
    if run is None or not run.can_steer or run.ending is not None:
        return Change(session, (), reply)
    deliver = DeliverSteering(run_id=run.run_id, message_id=event.message_id, text=text)
    return Change(session, (deliver,), reply)


def _refuse(session: Session, code: str, message: str, hint: str) -> Change:
    return Change(session, (), Reply(ok=False, code=code, message=message, hint=hint))


def acknowledged(session: Session, event: SteeringAcknowledged) -> Change:
    """Drop the message that the worker took."""
    left = tuple(kept for kept in session.steering if kept.message_id != event.message_id)
    if len(left) == len(session.steering):
        return Change(session)
    return Change(replace(session, steering=left))


def carried(session: Session, run_id: str) -> Session:
    """Note that the prompt of ``run_id`` carries every message that waits."""
    steering = tuple(replace(kept, carried_by=run_id) for kept in session.steering)
    return replace(session, steering=steering) if steering else session


def settled(session: Session, run_id: str, *, taken: bool) -> Session:
    """Drop what the run's prompt carried when it was ``taken``, else send it again."""
    if not any(kept.carried_by == run_id for kept in session.steering):
        return session
    left = tuple(
        replace(kept, carried_by=None) if kept.carried_by == run_id else kept
        for kept in session.steering
        if not (taken and kept.carried_by == run_id)
    )
    return replace(session, steering=left)
