"""The SQLite store: one handle, its tables, and what it does to the file as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import apsw

from goalfsm.errors import Busy, CannotWrite
from goalfsm.store.owner import OwnerDrives
from goalfsm.store.owner import is_alive as process_is_alive
from goalfsm.store.port import BUSY_MS
from goalfsm.store.sqlite.connection import MEMORY, Settings
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.lease import SqliteLease, lives
from goalfsm.store.sqlite.migrations import MIGRATIONS, Migration
from goalfsm.store.sqlite.reader import ReadOnlyDatabase
from goalfsm.store.sqlite.spare import RESERVE_BYTES, Reserve, free_space
from goalfsm.store.sqlite.tables import (
    SqliteHistory,
    SqliteInbox,
    SqliteJournal,
    SqliteOutbox,
    SqliteProcesses,
    SqliteSessions,
    SqliteTranscripts,
    SqliteWorkerConfigs,
)

if TYPE_CHECKING:
    from goalfsm.store.port import Checkpointer, Committing, Done, Facts, Identity, Outcome
    from goalfsm.store.rows import Commit
    from goalfsm.store.sqlite.inspect import SqliteContents

# The newest row of each table stays, so that a sequence number is never given out twice.
_PRUNE: Final = (
    """DELETE FROM inbox WHERE revision IS NOT NULL AND at_ms < ?
       AND seq < (SELECT max(seq) FROM inbox)""",
    "DELETE FROM outbox WHERE done_at_ms < ? AND seq < (SELECT max(seq) FROM outbox)",
)


def _before_migration(path: Path, version: int) -> None:
    """Keep a copy of a database as it was, and have room for its migration."""
    from goalfsm.store.sqlite.inspect import keep_copy  # noqa: PLC0415  only before a migration

    keep_copy(path, version)
    # What was set aside is for moments like this; it is set aside again once the store is open.
    if free_space(path.parent) < RESERVE_BYTES:
        with suppress(CannotWrite):
            Reserve(path).release()


class SqliteStore:
    """`goalfsm.store.port.Store` in one SQLite file."""

    def __init__(
        self, database: Database, is_alive: Callable[[Identity], bool], reserve: Reserve
    ) -> None:
        """Read and write ``database``, which `open` has opened."""
        self._database = database
        self._reserve = reserve
        self.commit: Committing = self._refused
        self.checkpointer: Callable[[], Checkpointer | None] = lambda: None
        self._cut_log: Callable[[], None] = lambda: None
        if not database.read_only:
            from goalfsm.store.sqlite.commits import Commits  # noqa: PLC0415  a reader needs none

            commits = Commits(database)
            self.commit, self.checkpointer = commits, commits.checkpointer
            self._cut_log = commits.cut_log
        self.owner = SqliteLease(database, is_alive)
        self.inbox = SqliteInbox(database)
        self.sessions = SqliteSessions(database)
        self.outbox = SqliteOutbox(database)
        self.journal = SqliteJournal(database)
        self.history = SqliteHistory(database)
        self.workers = SqliteWorkerConfigs(database)
        self.processes = SqliteProcesses(database)
        self.drivers = OwnerDrives(self.owner, self.processes)
        self.transcripts = SqliteTranscripts(database)

    @classmethod
    def open(  # noqa: PLR0913 - each is a thing that a test or a platform must be able to say
        cls,
        path: Path | str,
        *,
        read_only: bool = False,
        create: bool = True,
        is_alive: Callable[[Identity], bool] = process_is_alive,
        busy_ms: int = BUSY_MS,
        reserve_bytes: int = RESERVE_BYTES,
        vfs: str | None = None,
        migrations: tuple[Migration, ...] = MIGRATIONS,
    ) -> Self:
        """Open the database at ``path``, creating and migrating it where that is needed.

        ``read_only`` changes nothing on the disk, and needs an existing database; one that waits
        for a migration is read as it is. Before a migration a copy is made beside the database,
        named after its version, where the disk has room for it. ``:memory:`` is a database of this
        handle alone, which ends with it.
        ``busy_ms`` bounds every wait for another process's lock. Raises `NoDatabase`,
        `NotOurDatabase`, `NewerDatabase`, `OlderDatabase`, `CannotWrite`, `Busy`, `Corrupt`,
        `DiskFull`, `StoreUnavailable`.
        """
        settings = Settings(
            busy_ms=busy_ms,
            vfs=vfs,
            migrations=migrations,
            owner_lives=lambda db: lives(db, is_alive),
            before_migration=_before_migration,
        )
        database: Database
        if str(path) == MEMORY:
            from goalfsm.store.sqlite.in_memory import MemoryDatabase  # noqa: PLC0415  few want one

            return cls(MemoryDatabase(settings), is_alive, Reserve(Path(MEMORY), 0))
        if read_only:
            database = ReadOnlyDatabase(Path(path), settings)
        else:
            database = Database(Path(path), settings, create=create)
        reserve = Reserve(database.path, reserve_bytes)
        if not read_only:
            try:
                reserve.restore()
            except BaseException:
                database.close()
                raise
        return cls(database, is_alive, reserve)

    def contents(self) -> SqliteContents:
        """Return all rows of the file, to move them."""
        from goalfsm.store.sqlite.inspect import SqliteContents  # noqa: PLC0415  as above

        return SqliteContents(self._database)

    @property
    def path(self) -> Path:
        """Return the absolute path of the database file."""
        return self._database.path

    @property
    def named(self) -> Path:
        """Return the absolute path by which the database file was named, with the links in it."""
        return self._database.given

    def _refused(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        del batch, done
        return self._database.write(lambda _cursor: [])  # raises what a handle that reads says

    def prune(self, *, before_ms: int) -> int:
        """Delete what is consumed and done and older than that; return how many rows."""

        def work(cursor: apsw.Cursor) -> int:
            db = cursor.connection
            before = db.total_changes()
            for sql in _PRUNE:
                cursor.execute(sql, (before_ms,))
            return db.total_changes() - before

        return self._database.write(work)

    def release_reserve(self) -> bool:
        """Make room on a full disk: move the log and cut it, give back the space kept for this."""
        released = self._reserve.release()
        with suppress(apsw.Error, Busy):
            self._cut_log()
        return released

    def restore_reserve(self) -> bool:
        """Set that space aside again; False while there is no room for it."""
        return self._reserve.restore()

    def backup(self, path: Path) -> None:
        """Write a consistent copy to a path that does not exist."""
        from goalfsm.store.sqlite.inspect import backup  # noqa: PLC0415  few commands inspect

        if self._database.in_memory:
            msg = f"a store in memory cannot be written to {path}"
            raise CannotWrite(msg)
        backup(self._database, path)

    def verify(self) -> None:
        """Look whether the file is still the one that is open, whole, and may be written."""
        self._database.verify()

    def integrity(self) -> tuple[str, ...]:
        """Return what is wrong with the stored data, empty when nothing is."""
        from goalfsm.store.sqlite.inspect import integrity  # noqa: PLC0415  as above

        return integrity(self._database)

    def facts(self) -> Facts:
        """Return what `doctor` shows."""
        from goalfsm.store.sqlite.inspect import facts  # noqa: PLC0415  as above

        return facts(self._database, self._reserve)

    def reopen(self) -> None:
        """Open the same file again, and settle what the last commit left unknown."""
        self._database.reopen()

    def close(self) -> None:
        """Close the handle; a second time is no error."""
        self._database.close()
