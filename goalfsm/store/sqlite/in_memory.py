"""A database in memory: the same tables and queries, no file, no log, nothing to lose it to."""

from __future__ import annotations

from pathlib import Path

import apsw

from goalfsm.errors import StoreClosed
from goalfsm.store.sqlite.connection import MEMORY, Settings
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.migrations import migrate
from goalfsm.store.sqlite.place import Place


class _Nowhere(Place):
    """A place where nothing is deleted, replaced or locked."""

    def __init__(self) -> None:
        """Do without a path."""

    def check_database(self) -> None:
        """Find no fault: memory cannot be replaced."""

    def check(self, *, afresh: bool = True) -> None:
        """Find no fault: memory cannot be replaced."""

    def verify(self) -> None:
        """Find no fault: memory cannot be replaced."""

    def close(self) -> None:
        """Do nothing: memory has no lock to give back."""


class MemoryDatabase(Database):
    """The connection of a handle on a database of its own in memory; it ends with the handle."""

    in_memory = True

    def __init__(self, settings: Settings) -> None:
        """Open an empty database."""
        self.settings = settings
        self.given = self.path = Path(MEMORY)
        self._begin()

    def _open(self) -> tuple[apsw.Connection, Place]:
        db = apsw.Connection(MEMORY)
        db.pragma("trusted_schema", 0)
        migrate(db, self.settings.migrations)
        return db, _Nowhere()

    def log_frames(self) -> int:
        """Return 0: there is no log."""
        return 0

    def verify(self) -> None:
        """Raise `StoreClosed` on a closed handle: nothing else happens to memory."""
        self.connection()

    def reopen(self) -> None:
        """Keep what there is: a connection to memory cannot be had twice."""
        if self._db is None:
            msg = "the store handle was closed"
            raise StoreClosed(msg)
