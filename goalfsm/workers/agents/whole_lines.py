"""Whole lines, however what an agent writes is cut into pieces."""

from __future__ import annotations

from typing import Final

MAX_LINE: Final = 16 * 1024 * 1024
"""Longest line of an agent, in bytes: a result may carry an image."""


class Lines:
    """Cuts what a program writes into lines; one that is too long comes as None."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = bytearray()
        self._searched = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """Return the lines that these bytes complete, without their ends and blank ones."""
        lines: list[bytes | None] = []
        self._rest += data
        start = 0
        while (end := self._rest.find(b"\n", max(start, self._searched))) >= 0:
            line = bytes(self._rest[start:end]).strip()
            start, self._searched = end + 1, 0
            if self._skipping:
                self._skipping = False
            elif line:
                lines.append(line)
        del self._rest[:start]
        self._searched = len(self._rest)
        if len(self._rest) > MAX_LINE:
            if not self._skipping:
                lines.append(None)
            self._skipping = True
            self._rest.clear()
            self._searched = 0
        return lines
