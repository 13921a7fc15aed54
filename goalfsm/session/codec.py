"""Snapshots, events and effects as JSON bytes: what a store keeps and a replay reads."""

from __future__ import annotations

from hashlib import sha256
from typing import Final, TypeVar

import msgspec

from goalfsm.errors import GoalError
from goalfsm.session.effects import Effect
from goalfsm.session.entries import Entry
from goalfsm.session.events import Event
from goalfsm.session.state import Decision, Reply, Session, Wait


class CodecError(GoalError):
    """Stored bytes are not what they should be; nothing was changed."""

    code = "codec_invalid"
    hint = "run: goalfsm doctor"


class _Waiting(msgspec.Struct, frozen=True):
    """What a snapshot held before a thread could wait for several things."""

    wait: Wait


_ONE_WAIT: Final = b'"wait":{'
"""In a snapshot that has one; inside a text its quotes would be escaped."""
_waiting: Final = msgspec.json.Decoder(_Waiting)
_encoder: Final = msgspec.json.Encoder(order="deterministic")
_session: Final = msgspec.json.Decoder(Session)
_event: Final[msgspec.json.Decoder[Event]] = msgspec.json.Decoder(Event)
_effect: Final[msgspec.json.Decoder[Effect]] = msgspec.json.Decoder(Effect)
_entry: Final[msgspec.json.Decoder[Entry]] = msgspec.json.Decoder(Entry)
_decision: Final = msgspec.json.Decoder(Decision)
_reply: Final = msgspec.json.Decoder(Reply)


_T = TypeVar("_T")


def _decode(decoder: msgspec.json.Decoder[_T], data: bytes, what: str) -> _T:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        message = f"a stored {what} cannot be read: {error}"
        raise CodecError(message) from error


def encode(session: Session) -> bytes:
    """Return the snapshot of ``session``; equal sessions give equal bytes."""
    return _encoder.encode(session)


def decode(data: bytes) -> Session:
    """Return the session of a snapshot; raises ``CodecError`` for anything else."""
    session = _decode(_session, data, "session")
    if _ONE_WAIT not in data:
        return session
    # Of a version that knew one wait at a time: nothing else may be lost to it.
    before = _decode(_waiting, data, "session")
    return msgspec.structs.replace(session, waits=(before.wait,))


def digest(state: bytes) -> bytes:
    """Return what identifies a snapshot: the first 16 bytes of its SHA-256."""
    return sha256(state).digest()[:16]


def encode_event(event: Event) -> bytes:
    """Return ``event`` as JSON, tagged by its type."""
    return _encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """Return the event; raises ``CodecError`` for an unknown or malformed one."""
    return _decode(_event, data, "event")


def encode_effect(effect: Effect) -> bytes:
    """Return ``effect`` as JSON, tagged by its type."""
    return _encoder.encode(effect)


def decode_effect(data: bytes) -> Effect:
    """Return the effect; raises ``CodecError`` for an unknown or malformed one."""
    return _decode(_effect, data, "effect")


def encode_entry(entry: Entry) -> bytes:
    """Return a history entry as JSON."""
    return _encoder.encode(entry)


def decode_entry(data: bytes) -> Entry:
    """Return the history entry; raises ``CodecError`` for anything else."""
    return _decode(_entry, data, "history entry")


def encode_decision(decision: Decision) -> bytes:
    """Return ``decision`` as JSON."""
    return _encoder.encode(decision)


def decode_decision(data: bytes) -> Decision:
    """Return the decision; raises ``CodecError`` for anything else."""
    return _decode(_decision, data, "decision")


def encode_reply(reply: Reply) -> bytes:
    """Return ``reply`` as JSON."""
    return _encoder.encode(reply)


def decode_reply(data: bytes) -> Reply:
    """Return the reply; raises ``CodecError`` for anything else."""
    return _decode(_reply, data, "reply")
