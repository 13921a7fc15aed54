"""All rows of a file, to be read as a whole, or written into one that is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

from goalfsm.store.contents import TABLES
from goalfsm.store.sqlite.failures import translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.store.contents import Contents, Row
    from goalfsm.store.sqlite.database import Database

_READ: Final = {
    "session": "SELECT thread_id, revision, status, wake_at_ms, updated_at_ms, rules_version,"
    " state FROM session ORDER BY thread_id",
    "journal": "SELECT j.thread_id, j.revision, j.event_id, j.at_ms, j.rules_version,"
    " coalesce(l.kind, ''), j.digest, j.event, j.decision"
    " FROM journal j LEFT JOIN label l USING (thread_id, revision) ORDER BY j.seq",
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
_LABEL: Final = "INSERT INTO label (thread_id, revision, kind) VALUES (?, ?, ?)"


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
                for row in contents.rows(table):
                    if table != "journal":
                        cursor.execute(_WRITE[table], row)
                        continue
                    # The kind of an event has a table of its own here.
                    thread_id, revision, *others, kind, digest, event, decision = row
                    cursor.execute(
                        _WRITE[table], (thread_id, revision, *others, digest, event, decision)
                    )
                    if kind:
                        cursor.execute(_LABEL, (thread_id, revision, kind))

        self._database.write(work, owned=False)
