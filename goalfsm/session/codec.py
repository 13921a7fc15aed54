"""Snapshots, events and effects as JSON bytes: what a store keeps and a replay reads."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from goalfsm.errors import GoalError
from goalfsm.session.effects import Effect
from goalfsm.session.entries import Entry
from goalfsm.session.events import Event
from goalfsm.session.state import Decision, Reply, Session, Wait

if TYPE_CHECKING:
    from collections.abc import Callable


class CodecError(GoalError):
    """Stored bytes are not what they should be; nothing was changed."""

    code = "codec_invalid"
    hint = "run: goalfsm doctor"


class _Waiting(msgspec.Struct, frozen=True):
    """What a snapshot held before a thread could wait for several things."""

    wait: Wait


_T = TypeVar("_T")


class _Decoder(Generic[_T]):
    """Decodes one kind of value; made when it is first used, for a large kind takes a while."""

    __slots__ = ("_decode", "_kind", "_what")

    def __init__(self, kind: Any, what: str) -> None:
        self._kind = kind
        self._what = what
        self._decode: Callable[[bytes], _T] | None = None

    def __call__(self, data: bytes) -> _T:
        decode = self._decode
        if decode is None:
            decode = self._decode = msgspec.json.Decoder(self._kind).decode
        try:
            return decode(data)
        except msgspec.DecodeError as error:
            message = f"a stored {self._what} cannot be read: {error}"
            raise CodecError(message) from error


_ONE_WAIT: Final = b'"wait":{'
"""In a snapshot that has one; inside a text its quotes would be escaped."""
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_waiting: Final = _Decoder[_Waiting](_Waiting, "session")
_session: Final = _Decoder[Session](Session, "session")
_event: Final = _Decoder[Event](Event, "event")
_effect: Final = _Decoder[Effect](Effect, "effect")
_entry: Final = _Decoder[Entry](Entry, "history entry")
_decision: Final = _Decoder[Decision](Decision, "decision")
_reply: Final = _Decoder[Reply](Reply, "reply")


def encode(session: Session) -> bytes:
    """Return the snapshot of ``session``; equal sessions give equal bytes."""
    return _encoder.encode(session)


def decode(data: bytes) -> Session:
    """Return the session of a snapshot; raises ``CodecError`` for anything else."""
    session = _session(data)
    if _ONE_WAIT not in data:
        return session
    # Of a version that knew one wait at a time: nothing else may be lost to it.
    before = _waiting(data)
    return msgspec.structs.replace(session, waits=(before.wait,))


def digest(state: bytes) -> bytes:
    """Return what identifies a snapshot: the first 16 bytes of its SHA-256."""
    return sha256(state).digest()[:16]


def encode_event(event: Event) -> bytes:
    """Return ``event`` as JSON, tagged by its type."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """Return the event; raises ``CodecError`` for an unknown or malformed one."""
    return _event(data)


def encode_effect(effect: Effect) -> bytes:
    """Return ``effect`` as JSON, tagged by its type."""
    return _encoder.encode(effect)


def decode_effect(data: bytes) -> Effect:
    """Return the effect; raises ``CodecError`` for an unknown or malformed one."""
    return _effect(data)


def encode_entry(entry: Entry) -> bytes:
    """Return a history entry as JSON."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Return the history entry; raises ``CodecError`` for anything else."""
    return _entry(data)


def encode_decision(decision: Decision) -> bytes:
    """Return ``decision`` as JSON."""
    return _encoder.encode(decision)


def decode_decision(data: bytes) -> Decision:
    """Return the decision; raises ``CodecError`` for anything else."""
    return _decision(data)


def encode_reply(reply: Reply) -> bytes:
    """Return ``reply`` as JSON."""
    return _encoder.encode(reply)


def decode_reply(data: bytes) -> Reply:
    """Return the reply; raises ``CodecError`` for anything else."""
    return _reply(data)
