"""One connection to a file: how it is opened, set up and closed, and whether it is ours."""

from __future__ import annotations

import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import apsw
import msgspec

from goalfsm.errors import (
    Busy,
    CannotWrite,
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    NewerDatabase,
    NotOurDatabase,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from goalfsm.store.port import BUSY_MS
from goalfsm.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS, Migration, version_of
from goalfsm.store.sqlite.place import Key, closed, key_of, opened

if TYPE_CHECKING:
    from tenacity import Retrying


_KINDS: Final[tuple[tuple[type[apsw.Error], type[StoreError]], ...]] = (
    (apsw.FullError, DiskFull),
    (apsw.BusyError, Busy),
    (apsw.LockedError, Busy),
    (apsw.CorruptError, Corrupt),
    (apsw.NotADBError, Corrupt),
    (apsw.ReadOnlyError, CannotWrite),
    (apsw.PermissionsError, CannotWrite),
    (apsw.ConnectionClosedError, StoreClosed),
)

_NO_ERROR: Final = "not an error"
"""What a connection says when a step of a backup fails: the failure is not its own."""


def translated(error: apsw.Error, doing: str) -> StoreError:
    """Return the error for a failure before COMMIT: nothing was written."""
    message = f"{doing}: {_words(error)}"
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_READONLY_DBMOVED:
        return DatabaseReplaced(message)
    if getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        # The index of the log cannot grow, which SQLite calls an I/O error.
        return _no_room(DiskFull, f"{doing}: database or disk is full")
    for theirs, ours in _KINDS:
        if isinstance(error, theirs):
            return _no_room(ours, message) if ours is DiskFull else ours(message)
    return _no_room(StoreUnavailable, message)


def translated_at_commit(error: apsw.Error) -> StoreError:
    """Return the error for a failed COMMIT.

    A full disk and a lock are refusals before the commit frame is complete. Anything else may
    have happened after it: a failed sync leaves the frame in the log, whole or not.
    """
    if isinstance(error, apsw.FullError | apsw.BusyError):
        return translated(error, "committing")
    return _no_room(OutcomeUnknown, f"committing: {_words(error)}")


def _no_room(kind: type[StoreError], message: str) -> StoreError:
    """Return the error for a file that did not grow; its hint names a limit that may be why.

    SQLite calls that limit a full disk or an I/O error, by how much of a write is beyond it.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if most == resource.RLIM_INFINITY:
        return kind(message)
    hint = f"No file may be larger than {most:,} bytes here (ulimit -f): raise that limit if it"
    return kind(message, hint=f"{hint} is too low. {kind.hint}", remedies=kind.remedies)


def _words(error: apsw.Error) -> str:
    """Return what happened; where the connection has no words left, those for the error's code."""
    said = str(error)
    if said != _NO_ERROR:
        return said
    return str(apsw.mapping_result_codes.get(getattr(error, "result", -1), type(error).__name__))


Row = tuple[Any, ...]
MEMORY: Final = ":memory:"
"""What SQLite calls a database in memory."""
_RETRY_S: Final = 0.005
_CACHE_KIB: Final = 8_192


class Settings(msgspec.Struct, eq=False):
    """How a database is opened; shared by every connection of a handle.

    ``owner_lives`` tells whether an owner uses the open database.
    ``before_migration`` is called with the path and the version of a database that is going to
    be migrated.
    """

    busy_ms: int = BUSY_MS
    vfs: str | None = None
    migrations: tuple[Migration, ...] = MIGRATIONS
    owner_lives: Callable[[apsw.Connection], bool] = lambda _db: False
    before_migration: Callable[[Path, int], None] = lambda _path, _version: None


class Connection(apsw.Connection):
    """A connection that knows which file it has open."""

    key: Key | None = None


def fetched(cursor: apsw.Cursor, max_bytes: int | None) -> list[Row]:
    """Return the rows of a cursor; with ``max_bytes`` no row is read that is not returned."""
    if max_bytes is None:
        return cursor.fetchall()
    rows: list[Row] = []
    while max_bytes > 0 and (row := cursor.fetchone()) is not None:
        rows.append(row)
        max_bytes -= sum(len(value) for value in row if isinstance(value, bytes))
    cursor.close()
    return rows


def connect(path: Path, settings: Settings, flags: int, *, name: str | None = None) -> Connection:
    """Return a connection with a bounded wait for locks; raise a `StoreError`."""
    try:
        db = Connection(
            name or str(path), flags=flags | apsw.SQLITE_OPEN_NOFOLLOW, vfs=settings.vfs
        )
    except apsw.Error as error:
        msg = f"cannot open {path}: {error}"
        raise CannotWrite(msg, hint="The file and its directory must be yours.") from error
    db.key = key_of(path)
    opened(db.key)
    db.set_busy_timeout(settings.busy_ms)
    return db


def shut(db: apsw.Connection) -> None:
    """Close a connection whatever the disk says.

    What can fail is the checkpoint of the last one out, and the log keeps every commit.
    """
    try:
        db.close()
    except apsw.Error:
        db.close(force=True)
    if isinstance(db, Connection):
        key, db.key = db.key, None
        closed(key)


def recognise(db: apsw.Connection, path: Path, newest: int) -> bool:
    """Return whether the file is empty; refuse one that is not ours, or newer than we know."""
    try:
        # As of one moment: another process may be creating it.
        with db:
            tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchall()[0][0]
            ours = db.pragma("application_id")
            version = version_of(db)
    except apsw.NotADBError as error:
        msg = f"{path} is not a database"
        raise NotOurDatabase(msg) from error
    if ours == 0 and version == 0 and tables == 0:
        return True
    if ours != APPLICATION_ID:
        msg = f"{path} is another program's database"
        raise NotOurDatabase(msg)
    if version > newest:
        msg = f"{path} has schema version {version}; this version of goalfsm knows {newest}"
        raise NewerDatabase(msg)
    return False


def configure(db: apsw.Connection, settings: Settings, path: Path) -> None:
    """Set up a connection that writes. Raises `Busy` where others keep it from using a log."""
    db.pragma("page_size", 4096)
    _use_wal(db, settings, path)
    db.pragma("synchronous", "FULL")
    # A plain fsync does not reach the platter on every platform; elsewhere these mean nothing.
    db.pragma("fullfsync", 1)
    db.pragma("checkpoint_fullfsync", 1)
    db.pragma("wal_autocheckpoint", 0)
    db.pragma("cache_size", -_CACHE_KIB)
    db.pragma("trusted_schema", 0)


def _use_wal(db: apsw.Connection, settings: Settings, path: Path) -> None:
    """Switch to WAL, waiting for a moment without other connections: SQLite itself does not."""
    switch = partial(db.pragma, "journal_mode", "wal")
    try:
        try:
            mode = switch()
        except apsw.BusyError:
            mode = _waiting(settings.busy_ms / 1000)(switch)
    except apsw.BusyError as error:
        msg = f"{path} is locked by another process"
        raise Busy(msg) from error
    if mode != "wal":
        msg = f"{path} cannot have a write-ahead log there (journal mode stays {mode})"
        raise CannotWrite(msg, hint="Put the database on a local disk.")


def _waiting(most_s: float) -> Retrying:
    """Return what calls a function until no other process holds the lock, for so many seconds."""
    from tenacity import (  # noqa: PLC0415  most find the file unlocked and need no strategy
        Retrying,
        retry_if_exception_type,
        stop_after_delay,
        wait_fixed,
    )

    return Retrying(
        stop=stop_after_delay(most_s),
        wait=wait_fixed(_RETRY_S),
        retry=retry_if_exception_type(apsw.BusyError),
        reraise=True,
    )
