"""One connection to a database of ours: recognised, migrated, checked before it is trusted.

Everything that runs SQL goes through `Database.rows` or `Database.write`, so that a failure means
the same wherever it happens.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import apsw

from goalfsm.errors import (
    CannotWrite,
    Corrupt,
    DatabaseReplaced,
    Fenced,
    NotOurDatabase,
    OlderDatabase,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from goalfsm.store.sqlite.connection import (
    Connection,
    Row,
    Settings,
    configure,
    connect,
    fetched,
    recognise,
    shut,
    translated,
    translated_at_commit,
)
from goalfsm.store.sqlite.migrations import migrate, version_of
from goalfsm.store.sqlite.place import (
    Place,
    Stamp,
    lock,
    refuse_read_only,
    resolve,
    stamp,
    unlock,
)

T = TypeVar("T")


_LENGTH: Final = ("PRAGMA page_count", "PRAGMA page_size")
_EPOCH: Final = "SELECT epoch FROM owner WHERE id = 1 AND pid IS NOT NULL"
# The bytes must change: SQLite writes no page for an update that leaves it as it was.
_BARRIER: Final = "UPDATE owner SET reopened = reopened + 1 WHERE id = 1"


class Database:
    """The connection of a handle that may write."""

    read_only = False
    without_log = False
    """Whether an empty log is taken for none: the disk has no room for its index."""
    in_memory = False

    def __init__(self, path: Path, settings: Settings, *, create: bool = True) -> None:
        """Open the database at ``path``; raise a `StoreError` that says why it cannot be used."""
        # Where nobody has that name it is one of a file.
        self.given = Path(os.path.expanduser(path)).absolute()  # noqa: PTH111
        self.path = resolve(self.given, create=create)
        self.settings = settings
        self._begin()

    def _begin(self) -> None:
        self.epoch: int | None = None
        self._broken: StoreError | None = None
        self._seen: Stamp | None = None
        self._riders: list[Callable[[apsw.Cursor], object]] = []
        self._db: apsw.Connection | None = None
        self._db, self._place = self._open()
        self.cursor = self._db.cursor()

    def _open(self) -> tuple[apsw.Connection, Place]:
        place = Place(self.path, self.given)
        db = connect(self.path, self.settings, apsw.SQLITE_OPEN_READWRITE)
        try:
            fresh = recognise(db, self.path, len(self.settings.migrations))
            configure(db, self.settings, self.path)
            before = version_of(db)
            if not fresh and before < len(self.settings.migrations):
                self._refuse_migration_under_owner(db)
                self.settings.before_migration(self.path, before)
            migrate(db, self.settings.migrations)
            place.check()
        except apsw.CantOpenError as error:
            # The database is open already; what cannot be is the log beside it.
            shut(db)
            msg = f"cannot write beside {self.path}: {error}"
            raise CannotWrite(msg, hint="The file and its directory must be yours.") from error
        except apsw.Error as error:
            shut(db)
            raise translated(error, f"opening {self.path}") from error
        except BaseException:
            shut(db)
            place.close()
            raise
        return db, place

    def _refuse_migration_under_owner(self, db: apsw.Connection) -> None:
        if self.settings.owner_lives(db):
            msg = f"{self.path} needs a migration, and a daemon of an older version is using it"
            raise OlderDatabase(msg)

    def connection(self) -> apsw.Connection:
        """Return the open connection; raise when it is closed or has to be reopened first."""
        if self._broken is not None:
            raise type(self._broken)(self._broken.message)
        if self._db is None:
            msg = "the store handle was closed"
            raise StoreClosed(msg)
        return self._db

    def rows(self, sql: str, bindings: Row = (), *, max_bytes: int | None = None) -> list[Row]:
        """Return all rows of a query, or the first ones, up to the one that makes ``max_bytes``.

        The read ends here: nothing pins a snapshot.
        """
        try:
            cursor = self.connection().execute(sql, bindings)
            return cursor.fetchall() if max_bytes is None else fetched(cursor, max_bytes)
        except apsw.Error as error:
            raise translated(error, "reading") from error

    def write(
        self, work: Callable[[apsw.Cursor], T], *, owned: bool = True, answered: bool = True
    ) -> T:
        """Run ``work`` in one transaction that is durable when this returns.

        ``owned``: only while this handle is the owner; the epoch is compared under the write lock,
        so a successor's claim comes either before, and is seen, or after. ``answered``: somebody
        outside is told of it, so the file must be the one at its path now, not a moment ago.
        """
        # Every event comes through here just after the processor slept on the disk, with its
        # caches cold: each function called costs a microsecond, so the way is one function.
        if self._broken is not None or self._db is None:
            self.connection()
        if owned and self.epoch is None:
            raise _not_owner()
        cursor = self.cursor
        try:
            cursor.execute("BEGIN IMMEDIATE")
            if owned and cursor.execute(_EPOCH).get != self.epoch:
                self.fenced()
            if self._riders:
                self._carry(cursor)
            result = work(cursor)
        except apsw.Error as error:
            self._roll_back()
            raise translated(error, "writing") from error
        except BaseException:
            self._roll_back()
            raise
        try:
            cursor.execute("COMMIT")
        except apsw.Error as error:
            failure = translated_at_commit(error)
            if isinstance(failure, OutcomeUnknown):
                # What this connection believes of the log may differ from what the disk holds.
                self._broken = failure
            self._roll_back()
            raise failure from error
        # After COMMIT and before anybody is told: a commit into a file that is no longer at the
        # path is lost with it, so it must not be acknowledged.
        try:
            self._place.check(afresh=answered)
        except DatabaseReplaced as error:
            self._broken = error
            raise
        return result

    def ride(self, work: Callable[[apsw.Cursor], object]) -> None:
        """Run ``work`` in the next transaction that is written anyway, or before `carry`.

        For what only somebody who looks wants to know: it is lost with this process. What cannot be
        written of it is left out, whatever it rides with.
        """
        self.connection()
        if self.epoch is None:
            raise _not_owner()
        self._riders.append(work)

    def carry(self) -> None:
        """Write what waits for a transaction, before it is read."""
        if self._riders and self.epoch is not None:
            self.write_for_this_boot(lambda _cursor: None)

    def _carry(self, cursor: apsw.Cursor) -> None:
        riders, self._riders = self._riders, []
        for work in riders:
            with suppress(apsw.ConstraintError, apsw.TooBigError, UnicodeError):
                work(cursor)

    def write_for_this_boot(self, work: Callable[[apsw.Cursor], T]) -> T:
        """Run ``work`` as `write` does, without waiting for the disk.

        What is written survives every process, for the system has it; only with the machine is it
        lost, as far as no later commit has synced it. Commits keep their order and their promise:
        the log is synced from its beginning by the next one of `write`.
        """
        db = self.connection()
        try:
            db.execute("PRAGMA synchronous=NORMAL")
            try:
                return self.write(work)
            finally:
                db.execute("PRAGMA synchronous=FULL")
        except apsw.Error as error:
            # Whatever this connection does now, it must not commit with less than is promised.
            self._broken = self._broken or StoreUnavailable(f"writing: {error}")
            raise translated(error, "writing") from error

    def own(self, epoch: int | None) -> None:
        """Commit under an epoch from now on, None: not at all; others see it by the file's lock."""
        self.epoch = epoch
        if epoch is None:
            self.unlock_file()
        else:
            self.lock_file()

    def fenced(self) -> NoReturn:
        """Commit no more, and raise `Fenced`."""
        if self.epoch is None:
            raise _not_owner()
        mine, self.epoch = self.epoch, None
        msg = f"the store has a new owner since epoch {mine}, which was this one's"
        raise Fenced(msg)

    def _roll_back(self) -> None:
        db = self.cursor.connection
        if not db.in_transaction:
            return
        try:
            db.execute("ROLLBACK")
        except apsw.Error as error:
            if self._broken is None:
                self._broken = StoreUnavailable(f"rolling back: {error}")

    def log_frames(self) -> int:
        """Return how many frames the log holds, 0 when all of them were moved."""
        try:
            total, moved = self.connection().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_NOOP)
        except apsw.Error as error:
            raise translated(error, "looking at the log") from error
        return 0 if moved == total else total

    def reopen(self) -> None:
        """Open the same file again, and settle what the last commit left unknown."""
        if self._db is None and self._broken is None:
            msg = "the store handle was closed"
            raise StoreClosed(msg)
        self._broken = self._broken or StoreUnavailable("the store is being reopened")
        self._disconnect()
        before = self._place
        try:
            before.check_database()
            db, place = self._open()
            if not place.is_same_file(before):
                shut(db)
                place.close()
                before.check_database()
        except DatabaseReplaced as error:
            self._broken = error
            raise
        self._db, self._place, self._broken = db, place, None
        self.cursor = db.cursor()
        if self.epoch is not None:
            # A commit whose sync failed may lie whole in the log without being part of it, and
            # would come back at the next recovery. Writing over it makes its absence final.
            self.write(lambda cursor: cursor.execute(_BARRIER))
            self.lock_file()

    def close(self) -> None:
        """Close the connection; a second time is no error."""
        if self.epoch is not None:
            self.unlock_file()
        self._disconnect()
        self._broken = None

    def _disconnect(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            shut(db)
            self._place.close()

    def wait_for_locks(self, busy_ms: int) -> None:
        """Wait so long for another process's lock from now on."""
        self.settings.busy_ms = busy_ms
        db = self.connection()
        db.set_busy_timeout(busy_ms)

    def lock_file(self) -> bool:
        """Keep other processes from owning the file by another name; False when one does."""
        db = self._db
        return not isinstance(db, Connection) or lock(self.path, db.key)

    def unlock_file(self) -> None:
        """Let another process own the file."""
        if isinstance(self._db, Connection):
            unlock(self._db.key)

    def verify_place(self) -> None:
        """Raise `DatabaseReplaced` when the file at the path is no longer the one that is open."""
        try:
            self._place.verify()
        except DatabaseReplaced as error:
            self._broken = error
            raise

    def verify(self) -> None:
        """Look whether the file is still the one that is open, whole, and may be written."""
        self.connection()
        self.verify_place()
        # A file system that became read-only leaves no trace on the file.
        refuse_read_only(self.path)
        seen = stamp(self.path)
        if seen == self._seen:
            return
        try:
            self._check_length(seen)
            self._check_header()
        except Corrupt as error:
            self._broken = error
            raise
        self._seen = seen

    def _check_length(self, seen: Stamp | None) -> None:
        pages, size = (int(self.rows(sql)[0][0]) for sql in _LENGTH)
        # While the log holds pages the file may end before them.
        if seen is not None and self.log_frames() == 0 and seen[2] < pages * size:
            msg = f"{self.path} was cut short: {pages} pages of {size} bytes, {seen[2]} bytes there"
            raise Corrupt(msg)

    def _check_header(self) -> None:
        # A connection of its own reads the file afresh.
        db = connect(self.path, self.settings, apsw.SQLITE_OPEN_READONLY)
        try:
            recognise(db, self.path, len(self.settings.migrations))
        except NotOurDatabase as error:
            msg = f"{self.path} was overwritten: {error.message}"
            raise Corrupt(msg) from error
        except apsw.Error as error:
            raise translated(error, "verifying") from error
        finally:
            shut(db)


def _not_owner() -> Fenced:
    return Fenced("this store handle does not own the store", hint="Claim it first.")
