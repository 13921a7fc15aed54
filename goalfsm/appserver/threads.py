"""Threads whose ids are made as Codex makes them, in a store of ours."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from goalfsm.daemon.config import WorkerConfig, decode_config
from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from goalfsm.store.port import Store

_RANDOM_BITS: Final = 74
_VERSION: Final = 7
_VARIANT: Final = 2


class StoredThreads:
    """The threads of a store; a new one gets the worker that the server was started with."""

    def __init__(self, store: Store, worker: WorkerConfig | None, cwd: Path) -> None:
        """Make threads that ``worker`` works on, in ``cwd`` where a client names no other place.

        Without a worker there are only the threads that have one already.
        """
        self._store = store
        self._worker = worker
        self._cwd = cwd

    def new(self, cwd: str | None) -> str:
        """Make a thread whose turns run in ``cwd``, and return its id. Raises `GoalError`."""
        if self._worker is None:
            raise GoalError(
                "no program is known for a new thread",
                code="program_missing",
                hint="start the server with one: goalfsm app-server --agent NAME, or -- PROGRAM",
            )
        place = self._cwd if cwd is None else Path(cwd)
        config = replace(self._worker, cwd=os.fspath(place.absolute()))
        config.validate()
        thread_id = self.ephemeral()
        self._store.workers.put(thread_id, config.encode())
        return thread_id

    def adopt(self, thread_id: str, cwd: str) -> None:
        """Keep a thread that Codex has made, whose turns run in ``cwd``. Raises `StoreError`."""
        self._store.workers.put(thread_id, WorkerConfig(argv=(), agent="codex", cwd=cwd).encode())

    def adopted(self, thread_id: str) -> bool:
        """Tell whether Codex works on the thread, and has the goal's tools there.

        Raises `StoreError`, and `GoalError` where what is stored cannot be read.
        """
        stored = self._store.workers.get(thread_id)
        return stored is not None and decode_config(stored).agent == "codex"

    def ephemeral(self) -> str:
        """Return a new id, of a thread that nothing is kept of."""
        return str(_uuid7())

    def known(self, thread_id: str) -> bool:
        """Tell whether there is such a thread. Raises `StoreError`."""
        stored = self._store.workers.get(thread_id) is not None
        return stored or self._store.sessions.load(thread_id) is not None

    def cwd(self, thread_id: str) -> str:
        """Return where the thread's turns run. Raises `GoalError`."""
        stored = self._store.workers.get(thread_id)
        named = None if stored is None else decode_config(stored).cwd
        return named or os.fspath(self._cwd)


def _uuid7() -> uuid.UUID:
    """Return a UUID that sorts by the time it was made, as RFC 9562 has it."""
    milliseconds = time.time_ns() // 1_000_000
    chance = int.from_bytes(os.urandom(10)) & ((1 << _RANDOM_BITS) - 1)
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    value = (milliseconds & ((1 << 48) - 1)) << 80
    return uuid.UUID(int=value | _VERSION << 76 | high << 64 | _VARIANT << 62 | low)
