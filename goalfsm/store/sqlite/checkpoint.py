"""Moving committed pages from the write-ahead log into the database."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import apsw
import msgspec

from goalfsm.errors import Busy, StoreClosed, StoreError
from goalfsm.store.sqlite.connection import connect, shut, translated
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.place import wal_of
from goalfsm.store.sqlite.spare import free_space

CHECKPOINT_FRAMES: Final = 1_000
"""How long the log may grow before a checkpoint that lets it start over is due."""

_TRUNCATE_BYTES: Final = 64 * 1024 * 1024
"""A log that a long reader made this large is cut; below, its space is kept to be written over."""

LEAST_FRAMES: Final = 64
"""A log of this length is never too long: it is what a few commits take."""

_SHARE: Final = 8
"""The part of the free space that the log takes before it is moved: it grows while it is moved, and
moving it may make the database grow."""

_FRAME_BYTES: Final = 4096 + 24

_READ: Final = "SELECT count(*) FROM sqlite_schema"


class SqliteCheckpointer(msgspec.Struct, eq=False):
    """`goalfsm.store.port.Checkpointer` on a connection of its own.

    It keeps the log of ``database`` short, and connects on the first run, on its thread.
    """

    database: Database
    _db: apsw.Connection | None = None
    _closed: bool = False

    def backlog(self) -> int:
        """Return how many frames the log holds."""
        return self.database.log_frames()

    def room(self) -> int:
        """Return how many frames the log may hold: an eighth of what is free without it."""
        return room(self.database)

    def run(self) -> bool:
        """Move what can be moved; return True when the log is free to start over."""
        if self._closed:
            msg = "the checkpointer was closed"
            raise StoreClosed(msg)
        if self._db is None:
            self._db = self._connect()
        try:
            return move(self._db, self.database)
        except apsw.Error as error:
            raise translated(error, "checkpointing") from error

    def _connect(self) -> apsw.Connection:
        database = self.database
        db = connect(database.path, database.settings, apsw.SQLITE_OPEN_READWRITE)
        try:
            db.pragma("checkpoint_fullfsync", 1)
            db.pragma("synchronous", "FULL")
            db.pragma("wal_autocheckpoint", 0)
            # A connection that never read does not know of the log: its checkpoints do nothing.
            db.execute(_READ).fetchall()
        except apsw.Error as error:
            shut(db)
            raise translated(error, "opening for checkpoints") from error
        return db

    def close(self) -> None:
        """Close the connection."""
        self._closed = True
        db, self._db = self._db, None
        if db is not None:
            shut(db)


class InlineCheckpoint:
    """Checkpoints on the committing connection, for a handle that nobody runs a thread for."""

    def __init__(self, database: Database) -> None:
        """Wait for `CHECKPOINT_FRAMES`."""
        self._database = database
        self._due = CHECKPOINT_FRAMES
        self._look = LEAST_FRAMES
        """From which length on the disk is asked whether it has room for more."""

    def after_commit(self) -> None:
        """Checkpoint when the log is long enough; failure does no harm to what is committed."""
        with suppress(apsw.Error, StoreError):
            frames = self._database.log_frames()
            if frames >= self._due or (frames >= self._look and self._fills(frames)):
                # While a reader holds the log back, try less and less often.
                self._due = frames * 2
                if move(self._database.connection(), self._database):
                    self._due, self._look = CHECKPOINT_FRAMES, LEAST_FRAMES

    def _fills(self, frames: int) -> bool:
        """Tell whether the log takes too much of the disk; it is asked once in a while."""
        self._look = frames + LEAST_FRAMES
        return frames >= room(self._database)


def room(database: Database) -> int:
    """Return how many frames of its log the disk of a database has room for."""
    try:
        free = free_space(database.path.parent) + _wal_size(database)
    except OSError:
        return LEAST_FRAMES
    return max(LEAST_FRAMES, free // (_SHARE * _FRAME_BYTES))


def cut(db: apsw.Connection, database: Database) -> None:
    """Move the whole log and give its space back, where nobody is in the way."""
    if move(db, database):
        _truncate(db, database.settings.busy_ms)


def move(db: apsw.Connection, database: Database) -> bool:
    """Run one PASSIVE checkpoint; return whether nothing is left in the log."""
    total, moved = db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    if total < 0:
        msg = "the log is not in use"
        raise Busy(msg)
    finished = total == moved
    if finished and _wal_size(database) > _TRUNCATE_BYTES:
        _truncate(db, database.settings.busy_ms)
    return finished


def _truncate(db: apsw.Connection, busy_ms: int) -> None:
    """Cut the log when nobody is in the way; otherwise it stays large and is written over."""
    db.set_busy_timeout(0)
    try:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except (apsw.BusyError, apsw.LockedError):
        return
    finally:
        db.set_busy_timeout(busy_ms)


def _wal_size(database: Database) -> int:
    try:
        return wal_of(database.path).stat().st_size
    except OSError:
        return 0
