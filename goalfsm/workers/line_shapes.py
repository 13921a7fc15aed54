"""What one JSON line of a program states: its shapes, and the turn event that each one is.

Nothing here does I/O or raises on bad input.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, get_args

import msgspec

from goalfsm.text import MALFORMED
from goalfsm.workers.output import excerpt
from goalfsm.workers.protocol import (
    MAX_SESSION,
    ErrorReported,
    ErrorSource,
    ModelTurnEnded,
    ModelTurnStarted,
    ProgressReported,
    RetryReported,
    SessionSaved,
    Skipped,
    SteeringAcknowledged,
    StopReason,
    Text,
    ToolCalled,
    ToolEnded,
    TurnEvent,
    UsageReported,
    WaitDeclared,
    WaitFor,
)
from recovery import Kind

MAX_LINE: Final = 1024 * 1024
"""Longest JSON line, in bytes without its newline."""
MAX_NAME: Final = 256
MAX_MESSAGE: Final = 16_000

# A cost in the currency's units that is still an exact number of millionths.
_MAX_COST: Final = 1e9
_MAX_SECONDS: Final = 1e10

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=_MAX_SECONDS)]


class _Line(msgspec.Struct, frozen=True, kw_only=True):
    """The base of a line's shape; fields that nobody knows are ignored."""


class _Head(_Line, frozen=True, kw_only=True):
    type: str


class _Text(_Line, frozen=True, kw_only=True):
    text: str


class _Usage(_Line, frozen=True, kw_only=True):
    """Providers and scripts write counts in many ways: 15000, 15000.0 and "15000" are the same."""

    input_tokens: Count
    output_tokens: Count
    cached_tokens: Count | None = None
    cost: Annotated[float, msgspec.Meta(ge=0, le=_MAX_COST)] | None = None


class _ToolEnd(_Line, frozen=True, kw_only=True):
    name: str
    ok: bool = True


class _Progress(_Line, frozen=True, kw_only=True):
    text: str = ""


class _Session(_Line, frozen=True, kw_only=True):
    id: str | None


class _Retry(_Line, frozen=True, kw_only=True):
    message: str = ""
    seconds: Seconds = 0.0
    attempt: Count | None = None


class _TurnStart(_Line, frozen=True, kw_only=True):
    pass


class _TurnEnd(_Line, frozen=True, kw_only=True):
    stop_reason: StopReason = "stop"


class _ToolCall(_Line, frozen=True, kw_only=True):
    id: str | int
    name: str
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)


class _Error(_Line, frozen=True, kw_only=True):
    message: str
    status: Annotated[int, msgspec.Meta(ge=0, le=999)] | None = None
    code: str | int | None = None
    # Providers send this header as text; a text that is not a number of seconds says nothing.
    retry_after: Seconds | str | None = None
    # What is not one of the known words says nothing either: the error counts all the same.
    source: str | None = None
    kind: str | None = None


class _Wait(_Line, frozen=True, kw_only=True):
    for_: WaitFor = msgspec.field(name="for")
    seconds: Annotated[float, msgspec.Meta(gt=0, le=_MAX_SECONDS)] | None = None
    until: Seconds | None = None
    pid: Annotated[int, msgspec.Meta(gt=1, le=2**31 - 1)] | None = None
    note: str = ""


class _SteerAck(_Line, frozen=True, kw_only=True):
    id: str


_Shape = (
    _Text
    | _Usage
    | _ToolEnd
    | _Progress
    | _Session
    | _Retry
    | _TurnStart
    | _TurnEnd
    | _ToolCall
    | _Error
    | _Wait
    | _SteerAck
)

_HEAD: Final = msgspec.json.Decoder(_Head)
_SHAPES: Final[Mapping[str, type[_Line]]] = {
    "text": _Text,
    "usage": _Usage,
    "tool_end": _ToolEnd,
    "progress": _Progress,
    "session": _Session,
    "retry": _Retry,
    "turn_start": _TurnStart,
    "turn_end": _TurnEnd,
    "tool_call": _ToolCall,
    "error": _Error,
    "wait": _Wait,
    "steer_ack": _SteerAck,
}
_DECODERS: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    name: msgspec.json.Decoder(shape, strict=shape is not _Usage) for name, shape in _SHAPES.items()
}

_SOURCES: Final[Mapping[str, ErrorSource]] = {"provider": "provider", "tool": "tool"}
_KINDS: Final[Mapping[str, Kind]] = {kind: kind for kind in get_args(Kind)}


def parse_line(raw: bytes) -> TurnEvent:
    """Return the event that one line states, or `Skipped` with the reason; never raise.

    Reasons begin with ``too long``, ``not JSON``, ``not an object``, ``no type``,
    ``unknown type`` or ``invalid``. A usage line has no key yet: the reader numbers it.
    """
    if len(raw) > MAX_LINE:
        return Skipped(reason=f"too long: over {MAX_LINE:,} bytes", excerpt=excerpt(raw))
    # The decoder takes bytes in strings as they come; refuse what is not UTF-8 first.
    try:
        raw.decode("utf-8")
        head = _HEAD.decode(raw)
    except msgspec.ValidationError as error:
        reason = "not an object" if "Expected `object`" in str(error) else "no type"
        return Skipped(reason=f"{reason}: {error}", excerpt=excerpt(raw))
    except MALFORMED as error:
        return Skipped(reason=f"not JSON: {error}", excerpt=excerpt(raw))
    decoder = _DECODERS.get(head.type)
    if decoder is None:
        named = excerpt(head.type.encode("utf-8", "replace"), 40)
        return Skipped(reason=f"unknown type: {named}", excerpt=excerpt(raw))
    try:
        line: _Shape = decoder.decode(raw)
        return _event(line)
    except (*MALFORMED, ValueError) as error:
        return Skipped(reason=f"invalid {head.type}: {error}", excerpt=excerpt(raw))


def _event(line: _Shape) -> TurnEvent:  # noqa: C901, PLR0911, PLR0912 - one case a line type
    """Return the event of a decoded line; ValueError where its fields do not fit together."""
    match line:
        case _Text():
            return Text(text=line.text)
        case _Usage():
            # A line's input includes what was read from a cache; inside it does not.
            cached = line.cached_tokens or 0
            return UsageReported(
                input_tokens=max(0, line.input_tokens - cached),
                output_tokens=line.output_tokens,
                cached_tokens=cached,
                cost=round((line.cost or 0.0) * 1_000_000),
            )
        case _ToolEnd():
            return ToolEnded(name=line.name[:MAX_NAME], ok=line.ok)
        case _Progress():
            return ProgressReported(text=line.text[:MAX_MESSAGE])
        case _Session():
            return _session(line)
        case _Retry():
            return RetryReported(
                message=line.message[:MAX_MESSAGE], seconds=line.seconds, attempt=line.attempt
            )
        case _TurnStart():
            return ModelTurnStarted()
        case _TurnEnd():
            return ModelTurnEnded(stop_reason=line.stop_reason)
        case _ToolCall():
            if isinstance(line.id, str) and not 0 < len(line.id) <= MAX_NAME:
                msg = f"`$.id` has 1 to {MAX_NAME} characters"
                raise ValueError(msg)
            return ToolCalled(id=line.id, name=line.name[:MAX_NAME], arguments=line.arguments)
        case _Error():
            return ErrorReported(
                message=line.message[:MAX_MESSAGE],
                status=line.status,
                code=None if line.code is None else str(line.code)[:MAX_NAME],
                retry_after=_seconds(line.retry_after),
                source=_SOURCES.get(line.source or "", "unknown"),
                failure=_KINDS.get(line.kind or ""),
            )
        case _Wait():
            return _wait(line)
        case _SteerAck():
            return SteeringAcknowledged(id=line.id[:MAX_NAME])


def _session(line: _Session) -> SessionSaved:
    session = None if line.id is None else line.id.encode()
    if session is not None and not 0 < len(session) <= MAX_SESSION:
        msg = f"`$.id` has 1 to {MAX_SESSION:,} bytes"
        raise ValueError(msg)
    return SessionSaved(session=session)


def _seconds(value: float | str | None) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
        # Also false for NaN.
        return value if 0 <= value <= _MAX_SECONDS else None
    return value


def _wait(line: _Wait) -> WaitDeclared:
    if line.for_ == "timer" and (line.seconds is None) == (line.until is None):
        msg = "a timer has either `seconds` or `until`"
        raise ValueError(msg)
    if line.for_ != "timer" and line.seconds is not None:
        msg = "only a timer has `seconds`"
        raise ValueError(msg)
    if (line.for_ == "process") != (line.pid is not None):
        msg = "a process has a `pid`, nothing else has"
        raise ValueError(msg)
    return WaitDeclared(
        for_=line.for_,
        seconds=line.seconds,
        until=line.until,
        pid=line.pid,
        note=line.note[:MAX_MESSAGE],
    )


def states_something(line: bytes) -> bool:
    """Tell whether a line is a JSON object whose type is a text, whatever that means."""
    try:
        _HEAD.decode(line)
    except MALFORMED:
        return False
    return True
