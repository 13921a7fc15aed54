"""What a person says to the work: kept until it has been taken into account, once."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, Goal
from goalfsm.goal.rejection import Rejection
from goalfsm.goal.validation import check_text
from goalfsm.session.budgets import max_continuations
from goalfsm.session.events import SteeringAcknowledged, SteeringDropped, SteeringReceived
from goalfsm.session.rules import word
from goalfsm.session.rules.change import extend
from goalfsm.session.state import Change, Context, Progress, Reply, Session, Steering

MAX_WAITING: Final = 100_000
"""Most code points of messages that one prompt carries."""


def received(session: Session, event: SteeringReceived, ctx: Context) -> Change:
    """Queue the message; hand it to the running turn where the worker can take it.

    What is claimed but not decided yet was claimed without it: that claim is set aside.
    """
    goal = session.goal
    if goal is None or goal.status == COMPLETE:
        gives = Remedy("set", {"objective": None}, "gives the thread some")
        return _refuse(session, "no_goal", "there is no work to steer", gives)
    text = check_text(event.text, "message")
    if isinstance(text, Rejection):
        return _refuse(session, text.code, text.message, text.hint)
    if any(known.message_id == event.message_id for known in session.steering):
        return Change(session, (), Reply(ok=True, code="recorded", message="it is queued already"))
    messages = [kept for kept in session.steering if kept.kind == "message"]
    waiting = sum(len(kept.text) for kept in messages)
    if len(messages) >= session.policy.steering_limit or waiting + len(text) > MAX_WAITING:
        return _refuse(
            session,
            "steering_full",
            f"{len(messages)} messages wait for the next turn already",
            "wait until a turn has taken them, or say it by goalfsm edit THREAD OBJECTIVE",
        )
    claimed = session.claim
    session = word.raised(session)
    if session.policy.unread_claims == "refuse":
        session = word.set_aside(session, "message", ctx, text)
    said = Steering(message_id=event.message_id, text=text, at_ms=ctx.now_ms, word=goal.word + 1)
    session = replace(
        session,
        steering=(*session.steering, said),
        waits=session.waits if session.held else (),
        progress=Progress(),
        model_goals=0,
    )
    message = _what_happens(session, goal)
    if claimed is not session.claim:
        message = f"the open completion claim is set aside; {message}"
    reply = Reply(ok=True, code="recorded", message=message)
    return extend(Change(session, (), reply), word.handed(session, said))


def _what_happens(session: Session, goal: Goal) -> str:
    """Return what will become of a message that has just been queued, in words."""
    run = session.run
    if run is not None and run.ending is None and run.can_steer:
        return f"the running turn is told; if it does not take it, {_later(session, goal)}"
    if run is not None:
        return f"the running turn cannot be told; {_later(session, goal)}"
    return _later(session, goal)


def _later(session: Session, goal: Goal) -> str:
    if goal.status == LIMITED and session.wind_down == "owed":
        return "the turn that winds the work down takes it into account"
    if goal.status != ACTIVE:
        # No turn follows by itself, and nobody should wait for one.
        return f"it is kept for when the goal, which is {goal.status}, goes on"
    if session.held:
        return "it is kept for when goalfsm wake THREAD takes the work up again"
    most = max_continuations(goal, session.policy)
    if most is not None and session.next_turn > most:
        return f"it is kept for when goalfsm budget THREAD gives more than {most} turns"
    if session.stopping:
        return "the first turn after the engine's next start takes it into account"
    return "the next turn takes it into account"


def _refuse(session: Session, code: str, message: str, hint: str | Remedy) -> Change:
    remedies = (hint,) if isinstance(hint, Remedy) else ()
    reply = Reply(ok=False, code=code, message=message, hint=str(hint), remedies=remedies)
    return Change(session, (), reply)


def dropped(session: Session, event: SteeringDropped) -> Change:
    """Take a message back; what a turn has got already cannot be."""
    known = [kept for kept in session.steering if kept.message_id == event.message_id]
    if not known or known[0].kind == "edit":
        return _refuse(
            session,
            "message_unknown",
            "no such message waits: a turn has taken it into account, or it was never sent",
            Remedy("status", does="lists the messages that wait"),
        )
    if known[0].carried_by is not None:
        return _refuse(
            session,
            "message_taken",
            "the running turn has got the message already",
            Remedy("steer", {"text": None}, "says what holds instead"),
        )
    left = tuple(kept for kept in session.steering if kept.message_id != event.message_id)
    reply = Reply(ok=True, code="dropped", message="the message is taken back; no turn gets it")
    return Change(replace(session, steering=left), (), reply)


def acknowledged(session: Session, event: SteeringAcknowledged) -> Change:
    """Note that the run under way took the word in; with none under way it is done with."""
    run_id = word.reader(session)
    kept: list[Steering] = []
    for one in session.steering:
        if one.message_id != event.message_id:
            kept.append(one)
        elif run_id is not None:
            kept.append(one if one.carried_by == run_id else replace(one, carried_by=run_id))
    left = tuple(kept)
    return Change(session if left == session.steering else replace(session, steering=left))
