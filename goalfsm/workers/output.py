"""What a process has said: in bounded memory, its beginning and end; and what its end says."""

from __future__ import annotations

import re
import signal
from typing import Final

import msgspec

from goalfsm.workers.protocol import ErrorReported

KEEP_TEXT: Final = 64 * 1024
"""How many characters of a turn's answer are kept from its beginning, and from its end."""
KEEP_TAIL: Final = 16 * 1024
"""How many bytes of a stream of messages are kept, from its end."""

_MAX_PARTS: Final = 256

# Terminal control sequences (CSI, OSC and two-character ones), then any other control
# character except newline and tab.
_CONTROL: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def printable(text: str) -> str:
    """Return the text without what would control a terminal; newlines and tabs stay."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))


def excerpt(raw: bytes, limit: int = 200) -> str:
    """Return the beginning of the bytes as one printable line of at most ``limit`` characters."""
    text = printable(raw[: limit * 4].decode("utf-8", "replace")).replace("\n", " ")
    return text[:limit].strip()


class BoundedText(msgspec.Struct, eq=False):
    """Pass text through up to a limit, then keep only its end.

    The parts that `add` returns and the one that `finish` returns, joined, are the text with
    its middle left out and a line that says so.

    ``keep`` characters are kept of the beginning and as many of the end.
    """

    keep: int = KEEP_TEXT
    _passed: int = 0
    _tail: list[str] = []
    _tail_size: int = 0
    _parts: list[str] = []
    _parts_size: int = 0
    left_out: int = 0

    def add(self, text: str) -> str:
        """Take a part and return what of it belongs to the beginning ("" when nothing)."""
        room = self.keep - self._passed
        head, rest = text[:room], text[room:]
        self._passed += len(head)
        if rest:
            # Thousands of short parts cost more than their characters: join them, each once.
            self._parts.append(rest)
            self._parts_size += len(rest)
            if len(self._parts) >= _MAX_PARTS or self._parts_size >= self.keep:
                self._join()
        return head

    def _join(self) -> None:
        """Make one of the parts that came last, and drop what is far from the end."""
        joined = "".join(self._parts)
        self._parts.clear()
        self._parts_size = 0
        self._tail.append(joined)
        self._tail_size += len(joined)
        while self._tail_size - len(self._tail[0]) >= self.keep:
            gone = len(self._tail.pop(0))
            self._tail_size -= gone
            self.left_out += gone

    def finish(self) -> str:
        """Return the end of the text, after a line that says how much was left out."""
        self._join()
        tail = "".join(self._tail)
        self._tail.clear()
        self._tail_size = 0
        cut = max(0, len(tail) - self.keep)
        self.left_out += cut
        if not self.left_out:
            return tail
        return f"\n[... {self.left_out:,} characters left out ...]\n{tail[cut:]}"


class Tail(msgspec.Struct, eq=False):
    """The last ``keep`` bytes of a stream, and how many there were."""

    keep: int = KEEP_TAIL
    _data: bytearray = bytearray()
    total: int = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        self.total += len(data)
        self._data += data[-self.keep :]
        if len(self._data) > 2 * self.keep:
            del self._data[: -self.keep]

    def kept(self) -> bytes:
        """Return the last bytes."""
        return bytes(self._data[-self.keep :])

    def text(self) -> str:
        """Return the end as printable text; a cut first line begins with an ellipsis."""
        kept = self.kept()
        text = printable(kept.decode("utf-8", "replace")).strip("\n")
        return f"...{text.lstrip(chr(0xFFFD))}" if self.total > len(kept) else text


_MESSAGE_TAIL: Final = 2_000
_WORDS: Final = 4_000


def lost(name: str, left: tuple[int, ...] = ()) -> ErrorReported:
    """Return the error of a process whose end nobody saw, or of which processes are ``left``."""
    if left:
        numbers = ", ".join(map(str, left))
        message = f"{name} could not be ended: process {numbers} is still there"
        return ErrorReported(message=message, kind="lost", code="processes_left")
    message = f"the supervisor of {name} died, and the run was ended"
    return ErrorReported(message=message, kind="lost", code="supervisor_lost")


def ended(name: str, code: int, words: str, *, where: str = "") -> ErrorReported:
    """Return the error of a process that ended with ``code``, below 0 the signal that ended it.

    ``words`` is what it said at last; ``where`` is said with an exit status.
    """
    words = words[-_WORDS:]
    tail = f": {words[-_MESSAGE_TAIL:].strip()}" if words else ""
    how = f"exited with status {code}{where}" if code >= 0 else f"was ended by {_named(-code)}"
    return ErrorReported(
        message=f"{name} {how}{tail}",
        kind="exit" if code >= 0 else "signal",
        source="exit",
        text=words or None,
        code=f"exit_{code}" if code >= 0 else f"signal_{-code}",
    )


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
