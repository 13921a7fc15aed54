"""What a person says to the work: kept until it has been taken into account, once.

Words are messages and edits of the objective or the criteria. Each raises the goal's ``word``; what
a run has not read of them is against its claims.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.errors import Remedy
from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, Goal, Rejection, check_text
from goalfsm.session.context import Change, Context
from goalfsm.session.continuation import max_continuations
from goalfsm.session.effects import DeliverSteering
from goalfsm.session.events import SteeringAcknowledged, SteeringDropped, SteeringReceived
from goalfsm.session.rules.change import notify, refuse
from goalfsm.session.state import (
    SET_ASIDE_BY,
    Progress,
    Reply,
    Session,
    SetAside,
    SetAsideBy,
    Steering,
)
from goalfsm.text import shortened

MAX_WAITING: Final = 100_000
"""Most code points of messages that one prompt carries."""
HOST_RUN: Final = "host"
"""What stands for the run of a host that drives its turns itself and gives them no ids."""
_SHOWN: Final = 200


def received(session: Session, event: SteeringReceived, ctx: Context) -> Change:
    """Queue the message; hand it to the running turn where the worker can take it.

    What is claimed but not decided yet was claimed without it: that claim is set aside.
    """
    goal = session.goal
    if goal is None or goal.status == COMPLETE:
        gives = Remedy("set", {"objective": None}, "gives the thread some")
        return refuse(Change(session), "no_goal", "there is no work to steer", gives)
    text = check_text(event.text, "message")
    if isinstance(text, Rejection):
        return refuse(Change(session), text.code, text.message, text.hint)
    if any(known.message_id == event.message_id for known in session.steering):
        return Change(session, (), Reply(ok=True, code="recorded", message="it is queued already"))
    messages = [kept.text for kept in session.steering if kept.kind == "message"]
    waiting = sum(map(len, messages))
    if len(messages) >= session.policy.steering_limit or waiting + len(text) > MAX_WAITING:
        return refuse(
            Change(session),
            "steering_full",
            f"{len(messages)} messages wait for the next turn already",
            "wait until a turn has taken them, or say it by goalfsm edit THREAD OBJECTIVE",
        )
    claimed = session.claim
    session = raised(session)
    if session.policy.unread_claims == "refuse":
        session = set_aside(session, "message", ctx, text)
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
    return Change(session, handed(session, said), reply)


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
        return "it is kept for when goalfsm wake takes the work up again"
    most = max_continuations(goal, session.policy)
    if most is not None and session.next_turn > most:
        return f"it is kept for when goalfsm budget gives more turns than {most}"
    if session.stopping:
        return "the first turn after the engine's next start takes it into account"
    return "the next turn takes it into account"


def dropped(session: Session, event: SteeringDropped) -> Change:
    """Take a message back; what a turn has got already cannot be."""
    known = [kept for kept in session.steering if kept.message_id == event.message_id]
    if not known or known[0].kind == "edit":
        return refuse(
            Change(session),
            "message_unknown",
            "no such message waits: a turn has taken it into account, or it was never sent",
            Remedy("status", does="lists the messages that wait"),
        )
    if known[0].carried_by is not None:
        return refuse(
            Change(session),
            "message_taken",
            "the running turn has got the message already",
            Remedy("steer", {"text": None}, "says what holds instead"),
        )
    left = tuple(kept for kept in session.steering if kept.message_id != event.message_id)
    reply = Reply(ok=True, code="dropped", message="the message is taken back; no turn gets it")
    return Change(replace(session, steering=left), (), reply)


def acknowledged(session: Session, event: SteeringAcknowledged) -> Change:
    """Note that the run under way took the word in; with none under way it is done with."""
    run_id = reader(session)
    kept: list[Steering] = []
    for one in session.steering:
        if one.message_id != event.message_id:
            kept.append(one)
        elif run_id is not None:
            kept.append(one if one.carried_by == run_id else replace(one, carried_by=run_id))
    left = tuple(kept)
    return Change(session if left == session.steering else replace(session, steering=left))


# Which words a run has not read, and what they do to a claim.


def raised(session: Session) -> Session:
    """Return the session with one word more said about its goal."""
    goal = session.goal
    if goal is None:
        return session
    return replace(session, goal=replace(goal, word=goal.word + 1))


def reader(session: Session) -> str | None:
    """Return the run that is under way; None while none is."""
    if session.run is not None:
        return session.run.run_id
    return HOST_RUN if session.host.in_run else None


def unread(session: Session) -> tuple[Steering, ...]:
    """Return the words that the run under way has neither got with its prompt nor acknowledged."""
    run_id = reader(session)
    return tuple(kept for kept in session.steering if run_id is None or kept.carried_by != run_id)


def refusal(session: Session, read: int | None) -> tuple[Session, Reply] | None:
    """Return the refusal of a claim whose run has not read all; None lets the claim through.

    A second claim is let through with ``read``: the word up to which the first one was shown what
    it had not read. Should another word have come meanwhile, it is shown as well.
    """
    goal = session.goal
    if goal is None or session.policy.unread_claims == "allow":
        return None
    waiting, inputs = unread(session), session.host.inputs
    if not waiting and not inputs:
        return None
    if read is not None and read == goal.word == session.told_word:
        return None
    texts = tuple(kept.text for kept in waiting)
    count = len(texts) + inputs
    said = "a person has said something" if count == 1 else f"a person has said {count} things"
    reply = Reply(
        ok=False,
        code="unread",
        message=f"{said} that this turn has not read; the claim is not taken",
        hint=f"take it into account; if the claim still holds, claim again with read={goal.word}",
        unread=texts,
        word=goal.word,
    )
    return replace(session, told_word=goal.word), reply


def set_aside(session: Session, by: SetAsideBy, ctx: Context, text: str = "") -> Session:
    """Return the session without its open claim; the next prompt and ``accept`` say why."""
    claim = session.claim
    if claim is None:
        return session
    why = SetAside(claim_id=claim.claim_id, by=by, text=shortened(text, _SHOWN), at_ms=ctx.now_ms)
    return notify(replace(session, claim=None, set_aside=why), "set_aside", SET_ASIDE_BY[by])


def why_set_aside(aside: SetAside) -> str:
    """Return in words which claim was set aside, and by what."""
    said = f": {aside.text}" if aside.text else ""
    return f"claim {aside.claim_id} was set aside when {SET_ASIDE_BY[aside.by]}{said}"


def settled(session: Session, run_id: str, *, taken: bool) -> Session:
    """Drop what the run got when it was ``taken``, else tell it again.

    An edit is kept until a prompt shows the goal as it is: until then nobody has read it.
    """
    left = tuple(
        replace(kept, carried_by=None) if kept.carried_by == run_id else kept
        for kept in session.steering
        if not (taken and kept.carried_by == run_id)
    )
    return session if left == session.steering else replace(session, steering=left)


def handed(session: Session, said: Steering) -> tuple[DeliverSteering, ...]:
    """Return what gives one word to the running turn, where its worker can take it."""
    run = session.run
    if run is None or not run.can_steer or run.ending is not None:
        return ()
    return (DeliverSteering(run_id=run.run_id, message_id=said.message_id, text=said.text),)


def left_unread(session: Session, *, claimed: bool = False) -> tuple[str, ...]:
    """Return the messages that no turn has got, at the end of their goal.

    ``claimed``: it ends by a claim. Those that a refused one has shown to the run have been read
    when the second one is taken; where none was, nobody knows whether anything came of them.
    """
    goal = session.goal
    if goal is None or (claimed and session.told_word == goal.word):
        return ()
    return tuple(kept.text for kept in unread(session) if kept.kind == "message")


def with_unread(reply: Reply, texts: tuple[str, ...]) -> Reply:
    """Return a reply to a person that also says what no turn has got of what was said before."""
    if not texts:
        return reply
    left = "a message was" if len(texts) == 1 else f"{len(texts)} messages were"
    said = shortened(texts[-1], _SHOWN)
    return replace(reply, message=f"{reply.message}; {left} in no turn: {said}")
