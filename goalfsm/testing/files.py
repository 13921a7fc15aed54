"""A database on disk for engines of the test's own, in virtual time."""

from __future__ import annotations

from pathlib import Path

from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing.clock import GoalClock
from goalfsm.testing.crashing import discard


class GoalFile:
    """A database in a file, and the processes of the test that use it.

    `open` returns a store for ``Engine``; `kill` ends every process, so that the next engine
    finds what a killed one left behind.
    """

    def __init__(self, clock: GoalClock, path: Path) -> None:
        """Keep the database at ``path``; nothing is written before `open`."""
        self.path = path
        self._clock = clock
        self._stores: list[SqliteStore] = []

    def open(self, *, read_only: bool = False) -> SqliteStore:
        """Return a store on the file; it is closed when the test ends."""
        store = SqliteStore.open(
            self.path, read_only=read_only, is_alive=self._clock.system.is_alive
        )
        self._stores.append(store)
        return store

    def kill(self) -> None:
        """End everything that runs on the clock, as SIGKILL would: nothing more is written."""
        self.close()
        self._clock.system.power_off()
        discard(self._clock.loop)
        self._clock.forgive()

    def close(self) -> None:
        """Close every store that was opened."""
        stores, self._stores = self._stores, []
        for store in stores:
            store.close()
