"""Turn what a program writes into turn events: JSON lines, or plain text.

Nothing here does I/O, raises on bad input, or grows with the size of the output.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import msgspec

from goalfsm.text import MALFORMED, spoken_by
from goalfsm.workers.line_shapes import MAX_LINE, parse_line, states_something
from goalfsm.workers.output import KEEP_TEXT, BoundedText, Tail
from goalfsm.workers.protocol import Skipped, Text, ToolCalled, TurnEvent, UsageReported


class Tongue(NamedTuple):
    """Another program's output format, and which ``--agent`` reads what that program says."""

    name: str
    agent: str


_CODEX: Final = Tongue("codex exec --json", "codex")
_CLAUDE: Final = Tongue("claude --output-format stream-json", "claude")
_PI: Final = Tongue("pi --mode json", "pi")
_RPC: Final = Tongue("JSON-RPC", "acp")

_CODEX_PREFIXES: Final = ("thread.", "turn.", "item.")
_CLAUDE_MEMBERS: Final[Mapping[str, str]] = {
    "system": "subtype",
    "result": "subtype",
    "assistant": "message",
    "user": "message",
    "stream_event": "event",
}
_PI_TYPES: Final = frozenset(
    {
        *("agent_start", "agent_end", "agent_settled", "message_start", "message_update"),
        *("message_end", "tool_execution_start", "tool_execution_end", "queue_update"),
        *("auto_retry_start", "auto_retry_end", "compaction_start", "compaction_end"),
    }
)

_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def tongue_of(line: bytes) -> Tongue | None:
    """Return whose format a line is in, None where it is nobody's that is known."""
    try:
        said = _decoder.decode(line)
    except MALFORMED:
        return None
    kind = said.get("type")
    if not isinstance(kind, str):
        return _RPC if "jsonrpc" in said else None
    if kind.startswith(_CODEX_PREFIXES):
        return _CODEX
    if _CLAUDE_MEMBERS.get(kind, "type") in said.keys() - {"type"}:
        return _CLAUDE
    return _PI if kind in _PI_TYPES or (kind == "session" and "cwd" in said) else None


OutputMode = Literal["auto", "lines", "text"]
"""How stdout is read: by its first line, always as JSON lines, or never."""

MAX_EVENTS: Final = 100_000
"""Most events of one run; usage beyond it is added up, anything else is counted as skipped."""
MAX_REPORTED: Final = 8 * 1024 * 1024
"""Most bytes of lines besides text that one run may report; what is beyond is as for events."""
MAX_SKIPS: Final = 20
"""Most different reasons for skipping a line that are told; what else is skipped is counted."""
_MERGE_EVERY: Final = 1_000
_WORDS: Final = 4_000
_HEAD_BYTES: Final = 64
_USAGE_LINE: Final = re.compile(rb'(?:^|\n)\s*\{\s*"type"\s*:\s*"usage"')
_AFTER_TEXT: Final = (
    "JSON lines after plain text are a part of the answer, and their usage does not count; "
    "--output lines reads them"
)
_TOO_MUCH: Final = f"too much: a turn may report {MAX_REPORTED // 1024**2} MiB besides its text"


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
        stated = states_something(_without_mark(line))
        self.mode = "lines" if stated else "text"
        return stated

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
        f"{spoken_by(tongue.agent)}"
    )


def _may_be_object(begun: bytearray) -> bool:
    """Return whether the first line is blank so far, or begins as a JSON object."""
    first = bytes(begun[:_HEAD_BYTES]).removeprefix(codecs.BOM_UTF8).lstrip()
    return not first or first.startswith(b"{") or codecs.BOM_UTF8.startswith(first)


def _without_mark(line: bytes) -> bytes:
    """Return the line without the byte order mark that some programs begin with."""
    return line.removeprefix(codecs.BOM_UTF8)
