"""Snapshots, events and effects as JSON bytes: what a store keeps and a replay reads."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

import msgspec

from goalfsm.errors import GoalError, Remedy
from goalfsm.session.effects import Effect, Entry
from goalfsm.session.events import (
    Event,
    SessionSaved,
    SteeringAcknowledged,
    ToolCalled,
    UsageReported,
    WaitDeclared,
)
from goalfsm.session.state import Decision, Reply, Session
from goalfsm.text import MALFORMED


class CodecError(GoalError):
    """Stored bytes are not what they should be; nothing was changed."""

    code = "codec_invalid"
    hint = "run: goalfsm doctor"
    remedies = (Remedy("doctor", does="says what is wrong"),)


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
        except MALFORMED as error:
            message = f"a stored {self._what} cannot be read: {error}"
            raise CodecError(message) from error


_WITH_TOKEN: Final = (
    ToolCalled,
    WaitDeclared,
    UsageReported,
    SessionSaved,
    SteeringAcknowledged,
)
_encoder: Final = msgspec.json.Encoder(order="deterministic")

# Each of these returns a value as JSON; equal values give equal bytes.
encode: Final[Callable[[Session], bytes]] = _encoder.encode
encode_event: Final[Callable[[Event], bytes]] = _encoder.encode
encode_effect: Final[Callable[[Effect], bytes]] = _encoder.encode
encode_entry: Final[Callable[[Entry], bytes]] = _encoder.encode
encode_decision: Final[Callable[[Decision], bytes]] = _encoder.encode
encode_reply: Final[Callable[[Reply], bytes]] = _encoder.encode

# Each of these returns the value; it raises `CodecError` for an unknown or malformed one.
decode: Final = _Decoder[Session](Session, "session")
decode_event: Final = _Decoder[Event](Event, "event")
decode_effect: Final = _Decoder[Effect](Effect, "effect")
decode_decision: Final = _Decoder[Decision](Decision, "decision")
decode_reply: Final = _Decoder[Reply](Reply, "reply")


def digest(state: bytes) -> bytes:
    """Return what identifies a snapshot: the first 16 bytes of its SHA-256."""
    return sha256(state).digest()[:16]


def token_digest(token: str) -> str:
    """Return what a run's token is kept as: whoever reads it cannot act as the run."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def sealed(event: Event) -> Event:
    """Return an event from outside with its run's token as the digest that is kept."""
    if isinstance(event, _WITH_TOKEN) and event.run_token:
        return msgspec.structs.replace(event, run_token=token_digest(event.run_token))
    return event
