"""Lines of what an agent writes, and JSON-RPC over them: one side of it, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

METHOD_NOT_FOUND: Final = -32601


def line(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line."""
    return msgspec.json.encode(message) + b"\n"


class Caller:
    """Numbers our requests, and knows which of them an answer is for."""

    def __init__(self, *, version: str | None = None, prefix: str = "") -> None:
        """Say ``jsonrpc: version`` in every message, or leave it out where that is None.

        With a ``prefix`` ids are texts that begin with it, for a connection that others use too.
        """
        self._mark: dict[str, Any] = {} if version is None else {"jsonrpc": version}
        self._prefix = prefix
        self._asked: dict[int | str, str] = {}
        self._next = 0

    def request(self, method: str, params: Mapping[str, Any]) -> bytes:
        """Return the line that asks for something."""
        self._next += 1
        request_id = f"{self._prefix}{self._next}" if self._prefix else self._next
        self._asked[request_id] = method
        return line({**self._mark, "id": request_id, "method": method, "params": params})

    def notify(self, method: str, params: Mapping[str, Any] | None = None) -> bytes:
        """Return the line that tells something."""
        return line(
            {**self._mark, "method": method, **({} if params is None else {"params": params})}
        )

    def respond(self, request_id: Any, result: Mapping[str, Any]) -> bytes:
        """Return the line that answers the other side's request."""
        return line({**self._mark, "id": request_id, "result": result})

    def refuse(self, request_id: Any, message: str, code: int = METHOD_NOT_FOUND) -> bytes:
        """Return the line that refuses the other side's request."""
        error = {"code": code, "message": message}
        return line({**self._mark, "id": request_id, "error": error})

    def answered(self, message: Mapping[str, Any]) -> str | None:
        """Return the method that this answer is for, once; None where nobody asked."""
        request_id = message.get("id")
        return self._asked.pop(request_id, None) if isinstance(request_id, int | str) else None


MAX_LINE: Final = 16 * 1024 * 1024
"""Longest line of an agent, in bytes: a result may carry an image."""


class Lines:
    """Cuts what a program writes into lines; one that is too long comes as None."""

    def __init__(self) -> None:
        """Have read no byte yet."""
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
