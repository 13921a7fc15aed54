"""What one decision becomes in the store: the commit, the keys of its effects, a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, STATUSES
from goalfsm.session import codec
from goalfsm.session.effects import AppendEntry, Effect, SendWork
from goalfsm.session.events import (
    DecisionFailed,
    Expecting,
    RunInterrupted,
    VerificationFinished,
)
from goalfsm.session.state import RULES_VERSION, Decision, Reply, Session, Step
from goalfsm.session.wake import next_wake
from goalfsm.session.work import under_way
from goalfsm.store import port

if TYPE_CHECKING:
    from goalfsm.session.events import Event

ACCEPTED: Final = Reply(ok=True)
"""The reply to an event that nobody refuses."""

_LOOKED_UP: Final = (Expecting, RunInterrupted, VerificationFinished, DecisionFailed)
"""What a journal can be asked for by kind: commands, and what is rare and matters for long."""

_MOVING: Final = "*"
NEED_ENGINE: Final = frozenset({ACTIVE, *(f"{status}{_MOVING}" for status in ("none", *STATUSES))})
"""The labels of threads that an engine has to look at when it starts."""


class Opened(NamedTuple):
    """An effect that was committed and is not marked done."""

    key: str
    effect: Effect


class Prepared(NamedTuple):
    """One event with what was decided about it, ready to be committed."""

    commit: port.Commit
    event: Event
    step: Step
    opened: tuple[Opened, ...]


def prepare(  # noqa: PLR0913 - a row is its columns
    thread_id: str,
    revision: int,
    event: Event,
    step: Step,
    *,
    event_id: str,
    at_ms: int,
    outside: bool = False,
    done: tuple[str, ...] = (),
) -> Prepared:
    """Return the commit of ``step``, which ``event`` made of the state at ``revision``.

    ``outside``: the event came from another process or an API call, so its reply is kept for
    the case that it is sent again. ``done`` are keys of effects that this event reports as done.
    """
    session = step.session
    state = codec.encode(session)
    opened: list[Opened] = []
    history: list[bytes] = []
    for index, effect in enumerate(step.effects):
        if isinstance(effect, AppendEntry):
            history.append(codec.encode_entry(effect.entry))
        else:
            opened.append(Opened(f"{thread_id}/{revision + 1}/{index}", effect))
    commit = port.Commit(
        thread_id=thread_id,
        expected_revision=revision,
        at_ms=at_ms,
        event_id=event_id,
        event=codec.encode_event(event),
        decision=_decided(step, at_ms),
        state=state,
        digest=codec.digest(state),
        rules_version=RULES_VERSION,
        wake_at_ms=next_wake(session),
        status=label(session),
        outbox=tuple(
            port.Effect(key=key, kind=type(effect).__name__, payload=codec.encode_effect(effect))
            for key, effect in opened
        ),
        outbox_done=done,
        history=tuple(history),
        inbox_id=event_id if outside else None,
        reply=codec.encode_reply(step.reply or ACCEPTED) if outside else None,
        kind=type(event).__name__ if isinstance(event, _LOOKED_UP) else "",
    )
    return Prepared(commit, event, step, tuple(opened))


def _decided(step: Step, at_ms: int) -> bytes | None:
    """Return what the journal says of the step: the decision, or that and why it was refused."""
    if step.decision is not None:
        return codec.encode_decision(step.decision)
    reply = step.reply
    if reply is None or reply.ok:
        return None
    refused = Decision(
        decision="refused", guard=reply.code, reason=reply.message or reply.code, at_ms=at_ms
    )
    return codec.encode_decision(refused)


def without(prepared: Prepared, taken: Effect) -> Prepared:
    """Return the record without the effect ``taken``: a later event of the same commit did it."""
    left = tuple(opened for opened in prepared.opened if opened.effect is not taken)
    if len(left) == len(prepared.opened):
        return prepared
    keys = {opened.key for opened in left}
    outbox = tuple(effect for effect in prepared.commit.outbox if effect.key in keys)
    return prepared._replace(commit=replace(prepared.commit, outbox=outbox), opened=left)


def reopened(row: port.OpenEffect) -> Opened:
    """Return an open outbox row as what it asks for."""
    return Opened(row.key, codec.decode_effect(row.payload))


def decode_reply(reply: bytes | None) -> Reply:
    """Return a stored reply; where none was kept the event was accepted."""
    return ACCEPTED if reply is None else codec.decode_reply(reply)


def label(session: Session) -> str:
    """Return the text by which the thread is listed: its status, marked while work is under way.

    Only marked and active threads need an engine's attention when it starts.
    """
    status = "none" if session.goal is None else session.goal.status
    return status + _MOVING if under_way(session) else status


def status_of(listed: str) -> str:
    """Return the goal's status from a label of a listing, ``none`` without a goal."""
    return listed.removesuffix(_MOVING)


def needs_engine(listed: str) -> bool:
    """Tell from its label whether a thread has to be looked at when an engine starts."""
    return listed in NEED_ENGINE


def is_continuation(effect: Effect) -> bool:
    """Tell whether an effect hands the next continuation to the host."""
    return isinstance(effect, SendWork) and effect.kind == "continuation"
