"""Where a framework's conversation is kept between turns: a file beside the engine's database."""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.workers.protocol import ToolResult, Work

KEPT: Final = 3
"""How many states of a conversation are kept: the one that a crash may fall back to, and spares."""

LOST: Final = (
    "\n\nThe conversation of the earlier turns could not be found again: look at what they left "
    "before you go on."
)
"""What a prompt says where a conversation that had been saved is gone."""


def file_for(work: Work, framework: str) -> str:
    """Return the path of the framework's file, readable by its owner alone.

    Where the engine has no file the framework gets none either: ``:memory:``.
    """
    if not work.db:
        return ":memory:"
    path = Path(f"{work.db}.{framework}.db")
    path.touch(mode=0o600)
    return str(path)


def conversation_of(work: Work) -> str:
    """Return the id of the goal's conversation: the saved one, or a new one."""
    return work.session.decode() if work.session else f"{work.thread_id}/{work.goal_id}"


def shown(result: ToolResult) -> str:
    """Return a tool's answer as the text that a model reads."""
    if not result.ok:
        return f"refused ({result.code}): {result.error}"
    if isinstance(result.result, str):
        return result.result
    return msgspec.json.encode(result.result).decode()


class Histories:
    """Conversations as bytes, each under a version; what is written is durable when it returns."""

    def __init__(self) -> None:
        """Open nothing yet: the first work names the place."""
        self._memory: sqlite3.Connection | None = None

    def load(self, work: Work, framework: str) -> bytes | None:
        """Return the conversation that the work's session names, None when it is not there."""
        if work.session is None:
            return None
        with self._opened(work, framework) as database:
            row = database.execute(
                "SELECT messages FROM history WHERE conversation = ? AND version = ?",
                self._named(work.session),
            ).fetchone()
        return None if row is None else bytes(row[0])

    def store(self, work: Work, framework: str, messages: bytes) -> bytes:
        """Write the next version; return the session that names it."""
        conversation, version = (
            (f"{work.thread_id}/{work.goal_id}", 0)
            if work.session is None
            else self._named(work.session)
        )
        with self._opened(work, framework) as database:
            database.execute(
                "INSERT OR REPLACE INTO history VALUES (?, ?, ?)",
                (conversation, version + 1, messages),
            )
            database.execute(
                "DELETE FROM history WHERE conversation = ? AND version <= ?",
                (conversation, version + 1 - KEPT),
            )
        return f"{version + 1}:{conversation}".encode()

    def _named(self, session: bytes) -> tuple[str, int]:
        version, _, conversation = session.decode(errors="replace").partition(":")
        with contextlib.suppress(ValueError):
            return conversation, int(version)
        return conversation, 0

    @contextlib.contextmanager
    def _opened(self, work: Work, framework: str) -> Iterator[sqlite3.Connection]:
        """Open the work's file for one transaction; what has no file lives as long as this."""
        database = None if work.db else self._memory
        if database is None:
            database = sqlite3.connect(file_for(work, framework), check_same_thread=False)
            if not work.db:
                self._memory = database
                weakref.finalize(self, database.close)
        try:
            with database:
                database.execute("PRAGMA synchronous = FULL")
                database.execute(
                    "CREATE TABLE IF NOT EXISTS history (conversation TEXT, version INTEGER,"
                    " messages BLOB NOT NULL, PRIMARY KEY (conversation, version)) STRICT"
                )
                yield database
        finally:
            if work.db:
                database.close()
