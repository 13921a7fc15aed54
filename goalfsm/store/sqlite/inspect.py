"""Backup, integrity and facts: what `doctor` and `backup` ask, on connections of their own."""

from __future__ import annotations

import os
import stat
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import apsw

from goalfsm.errors import Busy, Corrupt, StoreError, StoreUnavailable
from goalfsm.store.contents import TABLES, Contents, Row
from goalfsm.store.port import Facts
from goalfsm.store.sqlite.connection import Settings, connect, shut, translated
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.place import followed, wal_of
from goalfsm.store.sqlite.reader import ReadOnlyDatabase, connect_to_read
from goalfsm.store.sqlite.spare import Reserve, claim_copy, free_space, publish_copy
from goalfsm.text import line

if TYPE_CHECKING:
    from collections.abc import Iterator


MAX_PROBLEMS: Final = 100

_CHECKS: Final = (
    (
        "thread {} is at revision {}, its journal has {} rows up to {}",
        """
        SELECT s.thread_id, s.revision, coalesce(j.rows, 0), coalesce(j.last, 0)
        FROM session s LEFT JOIN (
            SELECT thread_id, count(*) AS rows, max(revision) AS last FROM journal GROUP BY 1
        ) j USING (thread_id)
        WHERE coalesce(j.rows, 0) != s.revision OR coalesce(j.last, 0) != s.revision
        ORDER BY 1 LIMIT ?""",
    ),
    (
        "the journal has events of thread {}, which has no snapshot",
        """
        SELECT DISTINCT thread_id FROM journal
        WHERE thread_id NOT IN (SELECT thread_id FROM session) ORDER BY 1 LIMIT ?""",
    ),
    (
        "effect {} belongs to revision {} of thread {}, which is not in the journal",
        """
        SELECT o.key, o.revision, o.thread_id FROM outbox o
        WHERE NOT EXISTS (SELECT 1 FROM journal j
                          WHERE j.thread_id = o.thread_id AND j.revision = o.revision)
        ORDER BY 1 LIMIT ?""",
    ),
    (
        "inbox row {} was consumed by revision {} of thread {}, which is not in the journal",
        """
        SELECT i.inbox_id, i.revision, i.thread_id FROM inbox i
        WHERE i.revision IS NOT NULL
          AND NOT EXISTS (SELECT 1 FROM journal j
                          WHERE j.thread_id = i.thread_id AND j.revision = i.revision)
        ORDER BY 1 LIMIT ?""",
    ),
)

_COUNTS: Final = """
    SELECT (SELECT count(*) FROM session),
           (SELECT coalesce(max(seq), 0) FROM journal),
           (SELECT count(*) FROM outbox INDEXED BY outbox_open WHERE done_at_ms IS NULL),
           (SELECT count(*) FROM inbox INDEXED BY inbox_pending WHERE revision IS NULL)"""

_SHOWN: Final = ("journal_mode", "synchronous", "page_size", "wal_autocheckpoint", "cache_size")


def integrity(database: Database) -> tuple[str, ...]:
    """Return what is wrong: with the pages, and with what must agree between the tables."""
    if database.in_memory:
        return _problems(database.connection())
    with closing(ReadOnlyDatabase(database.path, database.settings)) as reader:
        return _problems(reader.connection())


def _problems(db: apsw.Connection) -> tuple[str, ...]:
    problems: list[str] = []
    try:
        found = db.execute(f"PRAGMA integrity_check({MAX_PROBLEMS})").fetchall()
        problems += [str(text) for (text,) in found if text != "ok"]
        for sentence, query in _CHECKS:
            rows = db.execute(query, (MAX_PROBLEMS,)).fetchall()
            problems += [sentence.format(*row) for row in rows]
    except (apsw.CorruptError, apsw.NotADBError) as error:
        problems.append(f"the file is corrupt: {error}")
    except apsw.Error as error:
        raise translated(error, "checking") from error
    return tuple(problems)


def backup(database: Database, target: Path) -> None:
    """Write a consistent copy without an owner to ``target``.

    Raises `Corrupt` where a page is: such a copy could take the place of one that is whole.
    """
    target = followed(Path(os.path.expanduser(target)))  # noqa: PTH111 - as for what is opened
    source, _ = connect_to_read(database.path, database.settings, without_log=database.without_log)
    try:
        part = claim_copy(target)
        try:
            _copy(source, part)
            _refuse_broken(part, database.path)
            publish_copy(part, target)
        except apsw.Error as error:
            raise translated(error, f"writing {target}") from error
        finally:
            _remove(part)
    finally:
        shut(source)


def _refuse_broken(copy: Path, path: Path) -> None:
    # Of the copy: nobody waits for it, while a long read of the database keeps its log.
    with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        ((found,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    if found != "ok":
        msg = f"{path} is corrupt, so no copy of it was made: {line(str(found))}"
        raise Corrupt(msg, hint="Keep the copies that you have; goalfsm doctor says what is wrong.")


def keep_copy(path: Path, version: int) -> Path | None:
    """Keep a copy of a database of an older version beside it; None where there is no room.

    A migration is one transaction and loses nothing, so one without a copy is no reason to refuse
    work on a disk that has little room.
    """
    kept = path.with_name(f"{path.name}.version-{version}")
    if kept.exists():
        return kept
    if free_space(path.parent) < 2 * (_size(path) + _size(wal_of(path))):
        return None
    part = claim_copy(kept)
    try:
        source = connect(path, Settings(), apsw.SQLITE_OPEN_READWRITE)
        try:
            _copy(source, part)
        finally:
            shut(source)
        publish_copy(part, kept)
    except (apsw.Error, StoreError):
        return None
    finally:
        _remove(part)
    return kept


def _copy(source: apsw.Connection, part: Path) -> None:
    with closing(apsw.Connection(str(part), flags=apsw.SQLITE_OPEN_READWRITE)) as copy:
        # In one step: the source's snapshot is one read transaction, and commits go on beside it.
        with copy.backup("main", source, "main") as steps:
            steps.step(-1)
            if not steps.done:
                msg = "the copy could not be finished"
                raise StoreUnavailable(msg)
        # The copy stands alone: no log beside it, nobody owning it.
        if copy.pragma("journal_mode", "delete") != "delete":
            msg = "the copy is in use"
            raise Busy(msg)
        copy.execute("UPDATE owner SET pid = NULL, socket = ''")


def _remove(part: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(OSError):
            part.with_name(part.name + suffix).unlink()


def facts(database: Database, reserve: Reserve) -> Facts:
    """Return what `doctor` shows."""
    path = database.path
    if database.in_memory:
        return _without_a_file(database)
    threads, journal, effects, inbox = database.rows(_COUNTS)[0]
    settings = [(name, str(database.rows(f"PRAGMA {name}")[0][0])) for name in _SHOWN]
    return Facts(
        backend="sqlite",
        version=apsw.sqlite_lib_version(),
        path=str(path),
        schema_version=database.rows("PRAGMA user_version")[0][0],
        settings=tuple(settings),
        size=_size(path),
        wal_size=_size(wal_of(path)),
        wal_frames=database.log_frames(),
        reserve=reserve.size(),
        free_space=free_space(path.parent),
        mode=stat.S_IMODE(path.stat().st_mode),
        directory_mode=stat.S_IMODE(path.parent.stat().st_mode),
        threads=threads,
        journal_rows=journal,
        open_effects=effects,
        pending_inbox=inbox,
    )


def _without_a_file(database: Database) -> Facts:
    threads, journal, effects, inbox = database.rows(_COUNTS)[0]
    return Facts(
        backend="sqlite",
        version=apsw.sqlite_lib_version(),
        schema_version=database.rows("PRAGMA user_version")[0][0],
        threads=threads,
        journal_rows=journal,
        open_effects=effects,
        pending_inbox=inbox,
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


_READ: Final = {
    "session": "SELECT thread_id, revision, status, wake_at_ms, updated_at_ms, rules_version,"
    " state FROM session ORDER BY thread_id",
    "journal": "SELECT thread_id, revision, event_id, at_ms, rules_version, digest, event,"
    " decision FROM journal ORDER BY seq",
    "outbox": "SELECT thread_id, key, revision, at_ms, done_at_ms, kind, payload"
    " FROM outbox ORDER BY seq",
    "history": "SELECT thread_id, entry FROM history ORDER BY seq",
    "answer": "SELECT thread_id, inbox_id, at_ms, revision, reply FROM inbox"
    " WHERE revision IS NOT NULL ORDER BY inbox_id",
    "worker": "SELECT thread_id, config FROM worker ORDER BY thread_id",
    "transcript": "SELECT thread_id, run_id, turn, at_ms, answer_bytes, stderr_bytes, answer,"
    " stderr FROM transcript ORDER BY seq",
}
_WRITE: Final = {
    "session": "INSERT INTO session (thread_id, revision, status, wake_at_ms, updated_at_ms,"
    " rules_version, state, epoch) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0)",
    "journal": "INSERT INTO journal (thread_id, revision, event_id, at_ms, rules_version, digest,"
    " event, decision, epoch) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
    "outbox": "INSERT INTO outbox (thread_id, key, revision, at_ms, done_at_ms, kind, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)",
    "history": "INSERT INTO history (thread_id, entry) VALUES (?, ?)",
    "answer": "INSERT INTO inbox (thread_id, inbox_id, at_ms, revision, reply, event)"
    " VALUES (?, ?, ?, ?, ?, x'')",
    "worker": "INSERT INTO worker (thread_id, config) VALUES (?, ?)",
    "transcript": "INSERT INTO transcript (thread_id, run_id, turn, at_ms, answer_bytes,"
    " stderr_bytes, answer, stderr, size) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8,"
    " length(?7) + length(?8))",
}


class SqliteContents:
    """`goalfsm.store.contents.Contents` of a file."""

    def __init__(self, database: Database) -> None:
        """Read and write through ``database``."""
        self._database = database

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table, in the order in which they were written."""
        try:
            yield from self._database.connection().execute(_READ[table])
        except apsw.Error as error:
            raise translated(error, "reading") from error

    def fill(self, contents: Contents) -> None:
        """Write all of ``contents`` in one transaction."""

        def work(cursor: apsw.Cursor) -> None:
            for table in TABLES:
                cursor.executemany(_WRITE[table], contents.rows(table))

        self._database.write(work, owned=False)
