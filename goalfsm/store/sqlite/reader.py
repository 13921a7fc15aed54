"""A connection that never writes: no database, no log, no lock file, nothing taken.

While a log exists, SQLite reads through it. Where there is none nobody writes, and reading in the
ordinary way would create one; so the file is read as immutable, and each result is kept only when
the file was untouched before and after. So is one whose log is empty, where the disk has no room
for the index of the log.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import apsw

from goalfsm.errors import Busy, CannotWrite, DiskFull, NoDatabase
from goalfsm.store.sqlite.connection import (
    Row,
    Settings,
    connect,
    fetched,
    recognise,
    shut,
    translated,
)
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.migrations import look_newest, version_of
from goalfsm.store.sqlite.place import Place, Stamp, stamp, wal_of

T = TypeVar("T")

_ATTEMPTS: Final = 20


class ReadOnlyDatabase(Database):
    """The connection of a handle that may only read."""

    read_only = True

    def __init__(self, path: Path, settings: Settings) -> None:
        """Open the database at ``path``, which must exist."""
        self._frozen: Stamp | None = None
        super().__init__(path, settings, create=False)

    def _open(self) -> tuple[apsw.Connection, Place]:
        for _ in range(_ATTEMPTS):
            place = Place(self.path)
            db, self._frozen = connect_to_read(
                self.path, self.settings, without_log=self.without_log
            )
            try:
                empty = recognise(db, self.path, len(self.settings.migrations))
                version = version_of(db)
            except apsw.Error as error:
                shut(db)
                if self._moved():
                    continue
                failure = translated(error, f"opening {self.path}")
                if isinstance(failure, DiskFull) and not self.without_log:
                    self.without_log = True
                    continue
                raise failure from error
            except BaseException:
                shut(db)
                raise
            if self._moved():
                shut(db)
                continue
            self._adapt(db, version, empty=empty)
            return db, place
        msg = f"{self.path} keeps changing"
        raise Busy(msg)

    def _adapt(self, db: apsw.Connection, version: int, *, empty: bool) -> None:
        if empty:
            shut(db)
            # Whoever was to fill it was killed; the next one that may write does.
            msg = f"{self.path} is still empty"
            raise NoDatabase(msg)
        if version < len(self.settings.migrations):
            look_newest(db, version)

    def _moved(self) -> bool:
        """Return whether what was read from an immutable file may be torn or old."""
        if self._frozen is None:
            return False
        return _frozen_stamp(self.path, without_log=self.without_log) != self._frozen

    def rows(self, sql: str, bindings: Row = (), *, max_bytes: int | None = None) -> list[Row]:
        """Return all rows of a query, as of one moment."""
        for _ in range(_ATTEMPTS):
            db = self.connection()
            self._place.check_database()
            if not self._moved():
                try:
                    rows = fetched(db.execute(sql, bindings), max_bytes)
                except apsw.Error as error:
                    if not self._moved():
                        raise translated(error, "reading") from error
                else:
                    if not self._moved():
                        return rows
            # Somebody began to write: look again, through the log.
            self._disconnect()
            self._db, self._place = self._open()
        msg = f"{self.path} keeps changing"
        raise Busy(msg)

    def write(
        self, work: Callable[[apsw.Cursor], T], *, owned: bool = True, answered: bool = True
    ) -> T:
        """Raise `CannotWrite`."""
        del work, owned, answered
        self.connection()
        msg = f"{self.path} was opened read-only"
        raise CannotWrite(msg)


def connect_to_read(
    path: Path, settings: Settings, *, without_log: bool = False
) -> tuple[apsw.Connection, Stamp | None]:
    """Return a connection that cannot write, and the stamp of the file where it is immutable.

    ``without_log``: an empty log is taken for none.
    """
    frozen = _frozen_stamp(path, without_log=without_log)
    if frozen is None:
        return connect(path, settings, apsw.SQLITE_OPEN_READONLY), None
    name = f"file:{quote(str(path))}?immutable=1"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    return connect(path, settings, flags, name=name), frozen


def _frozen_stamp(path: Path, *, without_log: bool) -> Stamp | None:
    """Return the stamp of a database that nobody has open for writing, None when somebody may."""
    before = stamp(path)
    try:
        length = wal_of(path).stat().st_size
    except FileNotFoundError:
        return before
    return before if without_log and not length else None
