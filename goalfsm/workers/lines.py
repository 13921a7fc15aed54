"""Turn what a program writes into turn events: JSON lines, or plain text.

Nothing here does I/O, raises on bad input, or grows with the size of the output.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

from goalfsm.workers.output import KEEP_TEXT, BoundedText, Tail, excerpt
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
from goalfsm.workers.tongues import Tongue, tongue_of
from recovery import Kind

OutputMode = Literal["auto", "lines", "text"]
"""How stdout is read: by its first line, always as JSON lines, or never."""

MAX_LINE: Final = 1024 * 1024
"""Longest JSON line, in bytes without its newline."""
MAX_EVENTS: Final = 100_000
"""Most events of one run; usage beyond it is added up, anything else is counted as skipped."""
MAX_REPORTED: Final = 8 * 1024 * 1024
"""Most bytes of lines besides text that one run may report; what is beyond is as for events."""
MAX_SKIPS: Final = 20
"""Most different reasons for skipping a line that are told; what else is skipped is counted."""
MAX_NAME: Final = 256
MAX_MESSAGE: Final = 16_000
_MERGE_EVERY: Final = 1_000
_WORDS: Final = 4_000
_HEAD_BYTES: Final = 64
_USAGE_LINE: Final = re.compile(rb'(?:^|\n)\s*\{\s*"type"\s*:\s*"usage"')
_AFTER_TEXT: Final = (
    "JSON lines after plain text are a part of the answer, and their usage does not count; "
    "--output lines reads them"
)
_TOO_MUCH: Final = f"too much: a turn may report {MAX_REPORTED // 1024**2} MiB besides its text"

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
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Skipped(reason=f"not JSON: {error}", excerpt=excerpt(raw))
    decoder = _DECODERS.get(head.type)
    if decoder is None:
        named = excerpt(head.type.encode("utf-8", "replace"), 40)
        return Skipped(reason=f"unknown type: {named}", excerpt=excerpt(raw))
    try:
        line: _Shape = decoder.decode(raw)
        return _event(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
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


class OutputReader:
    """Read one run's stdout piece by piece, in any pieces, and return events.

    In ``auto`` mode the first line that is not blank decides for the whole run: a JSON object
    whose ``type`` is a string means JSON lines, anything else means plain text.

    ``tongue`` is whose lines these are, where the first that was not understood shows it.
    ``unanswered`` are the ids of tool calls that were too much: nobody will answer them.
    """

    def __init__(self, mode: OutputMode = "auto", *, keep: int = KEEP_TEXT) -> None:
        """Keep ``keep`` characters of the answer's beginning and as many of its end."""
        self.mode: OutputMode = mode
        self._answer = BoundedText(keep)
        self._line = bytearray()
        self._searched = 0
        self._overlong = False
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._events = 0
        self._usage_count = 0
        self._merged: UsageReported | None = None
        self._merged_count = 0
        self._reported = 0
        self._told: set[str] = set()
        self._withheld = 0
        self._said = Tail(_WORDS)
        self._hinted = mode == "text"
        self._begun = b""
        self.tongue: Tongue | None = None
        self.unanswered: list[str | int] = []

    @property
    def words(self) -> str:
        """Return the end of what was said: of the answer, or else of the output as it came."""
        return self._said.text()

    def feed(self, data: bytes) -> list[TurnEvent]:
        """Take the next bytes and return the events that they complete."""
        if self.mode == "text":
            return self._plain(data)
        out: list[TurnEvent] = []
        self._line += data
        if self.mode == "auto" and not _may_be_object(self._line):
            # What cannot become an object is shown as it comes, not when its line ends.
            self.mode = "text"
            rest = bytes(self._line)
            self._line.clear()
            blank = len(rest) - len(rest.lstrip())
            return self._plain(rest[rest.rfind(b"\n", 0, blank) + 1 :])
        start = 0
        while (end := self._line.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(self._line[start:end])
            start = end + 1
            self._searched = 0
            if self.mode == "auto" and not self._decide(line):
                # The lines before it were blank, and belong to the answer's white space.
                rest = line + b"\n" + bytes(self._line[start:])
                self._line.clear()
                return out + self._plain(rest)
            self._take(line, out)
        del self._line[:start]
        self._searched = len(self._line)
        if len(self._line) > MAX_LINE:
            if self.mode == "auto":
                self.mode = "text"
                rest = bytes(self._line)
                self._line.clear()
                return out + self._plain(rest)
            # Keep only the beginning, to be shown; the rest of the line is dropped unread.
            if not self._overlong:
                self._overlong = True
                self._emit(parse_line(bytes(self._line)), out)
            self._line.clear()
            self._searched = 0
        return out

    def finish(self) -> list[TurnEvent]:
        """Return the events that the end of the output completes."""
        out: list[TurnEvent] = []
        if self._line:
            line = bytes(self._line)
            self._line.clear()
            if self.mode == "auto" and not self._decide(line):
                out += self._plain(line)
            else:
                self._take(line, out)
        if self.mode == "text" and (text := self._answer.add(self._decode(b"", final=True))):
            out.append(Text(text=text))
        if text := self._answer.finish():
            out.append(Text(text=text))
        if self._merged is not None:
            out.append(self._merged)
            self._merged = None
        if self._withheld:
            out.append(Skipped(reason="more that was not taken", count=self._withheld))
            self._withheld = 0
        return out

    def _decide(self, line: bytes) -> bool:
        """Fix the mode by this line; False when it makes the output plain text."""
        if not line.strip():
            return True
        try:
            _HEAD.decode(_without_mark(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self.mode = "text"
            return False
        self.mode = "lines"
        return True

    def _plain(self, data: bytes) -> list[TurnEvent]:
        self._said.add(data)
        text = self._answer.add(self._decode(data))
        out: list[TurnEvent] = [Text(text=text)] if text else []
        if not self._hinted:
            # The line that is under way may have begun in an earlier piece.
            seen = self._begun + data
            if _USAGE_LINE.search(seen):
                self._hinted = True
                out.append(Skipped(reason=_AFTER_TEXT))
            self._begun = seen[seen.rfind(b"\n") + 1 :][:_HEAD_BYTES]
        return out

    def _take(self, line: bytes, out: list[TurnEvent]) -> None:
        if self._overlong:
            self._overlong = False
            return
        line = _without_mark(line).strip()
        if not line:
            return
        event = parse_line(line)
        if isinstance(event, Skipped):
            self._said.add(line + b"\n")
            if self.tongue is not None:
                # Of a format that was named, no line is news.
                self._withheld += 1
                return
            if (tongue := tongue_of(line)) is not None:
                self.tongue = tongue
                event = Skipped(reason=f"another format: {other_format(tongue)}")
        self._emit(event, out, len(line))

    def _emit(self, event: TurnEvent, out: list[TurnEvent], size: int = 0) -> None:
        """Append the event, unless its kind has been bounded away."""
        match event:
            case UsageReported():
                self._reported += size
                self._usage(event, out)
                return
            case Skipped():
                self._skip(event, out)
                return
            case Text():
                self._said.add(event.text[-_WORDS:].encode("utf-8", "replace"))
                text = self._answer.add(event.text)
                if not text:
                    return
                event = Text(text=text)
            case _:
                self._reported += size
        self._events += 1
        too_much = self._reported > MAX_REPORTED and not isinstance(event, Text)
        if self._events > MAX_EVENTS or too_much:
            if isinstance(event, ToolCalled):
                self.unanswered.append(event.id)
            self._skip(Skipped(reason=_TOO_MUCH), out)
            return
        out.append(event)

    def _skip(self, event: Skipped, out: list[TurnEvent]) -> None:
        """Tell each reason once; of an unknown type, also which one it is."""
        kind = event.reason.partition(":")[0]
        reason = event.reason if kind == "unknown type" else kind
        if reason in self._told or len(self._told) >= MAX_SKIPS:
            self._withheld += 1
            return
        self._told.add(reason)
        out.append(event)

    def _usage(self, event: UsageReported, out: list[TurnEvent]) -> None:
        """Give a usage line its key; past the limit, add up: nothing that was reported is lost."""
        self._usage_count += 1
        if self._usage_count <= MAX_EVENTS and self._reported <= MAX_REPORTED:
            out.append(msgspec.structs.replace(event, key=str(self._usage_count)))
            return
        before = self._merged or UsageReported(key=str(self._usage_count))
        self._merged = UsageReported(
            key=before.key,
            input_tokens=before.input_tokens + event.input_tokens,
            output_tokens=before.output_tokens + event.output_tokens,
            cached_tokens=before.cached_tokens + event.cached_tokens,
            cost=before.cost + event.cost,
        )
        self._merged_count += 1
        if self._merged_count >= _MERGE_EVERY:
            out.append(self._merged)
            self._merged = None
            self._merged_count = 0


def other_format(tongue: Tongue) -> str:
    """Return what to say of output that is in another program's format."""
    return (
        f"this looks like the output of {tongue.name}, of which nothing is read here; "
        f"--agent {tongue.agent} speaks with that program"
    )


def _may_be_object(begun: bytearray) -> bool:
    """Return whether the first line is blank so far, or begins as a JSON object."""
    first = bytes(begun[:_HEAD_BYTES]).removeprefix(codecs.BOM_UTF8).lstrip()
    return not first or first.startswith(b"{") or codecs.BOM_UTF8.startswith(first)


def _without_mark(line: bytes) -> bytes:
    """Return the line without the byte order mark that some programs begin with."""
    return line.removeprefix(codecs.BOM_UTF8)
