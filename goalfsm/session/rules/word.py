"""The person's word: which words a run has not read, and what they do to a claim.

Words are messages and edits of the objective or the criteria. Each raises the goal's ``word``.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from goalfsm.session.effects import DeliverSteering
from goalfsm.session.rules.change import notify
from goalfsm.session.state import (
    SET_ASIDE_BY,
    Change,
    Context,
    Reply,
    Session,
    SetAside,
    SetAsideBy,
    Steering,
)
from goalfsm.text import shortened

HOST_RUN: Final = "host"
"""What stands for the run of a host that drives its turns itself and gives them no ids."""
_SHOWN: Final = 200


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


def carried(session: Session, run_id: str) -> Session:
    """Note that the prompt of ``run_id`` carries all that waits, and the goal as it is."""
    kept = tuple(replace(one, carried_by=run_id) for one in session.steering if one.kind != "edit")
    if kept == session.steering and session.told_word is None:
        return session
    return replace(session, steering=kept, told_word=None)


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


def handed(session: Session, said: Steering) -> Change:
    """Give one word to the running turn, where its worker can take it."""
    run = session.run
    if run is None or not run.can_steer or run.ending is not None:
        return Change(session)
    deliver = DeliverSteering(run_id=run.run_id, message_id=said.message_id, text=said.text)
    return Change(session, (deliver,))


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
