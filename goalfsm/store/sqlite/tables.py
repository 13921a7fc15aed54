"""The nouns of the port, one class a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import apsw
import msgspec

from goalfsm.store.limits import bounded, check_size, surplus
from goalfsm.store.port import (
    KEPT_BYTES,
    KEPT_TRANSCRIPTS,
    PAGE_BYTES,
    SPARE_TRANSCRIPTS,
    Answer,
    Done,
    Identity,
    InboxRow,
    JournalRow,
    OpenEffect,
    Process,
    Stored,
    ThreadRow,
    Transcript,
)
from goalfsm.store.sqlite.database import Database

_THREADS: Final = """
    SELECT thread_id, status, wake_at_ms, revision, updated_at_ms FROM session ORDER BY thread_id"""
_THREADS_IN: Final = """
    SELECT thread_id, status, wake_at_ms, revision, updated_at_ms FROM session
    WHERE status IN (SELECT value FROM json_each(?)) ORDER BY thread_id"""
_DUE: Final = """
    SELECT thread_id, status, wake_at_ms, revision, updated_at_ms FROM session
    WHERE wake_at_ms <= ? ORDER BY wake_at_ms, thread_id LIMIT ?"""
# By the index of open rows: the planner may prefer to walk the whole table in order.
_OPEN: Final = """
    SELECT seq, thread_id, revision, at_ms, key, kind, payload
    FROM outbox INDEXED BY outbox_open
    WHERE done_at_ms IS NULL AND seq > ? ORDER BY seq LIMIT ?"""
_OPEN_OF: Final = """
    SELECT seq, thread_id, revision, at_ms, key, kind, payload
    FROM outbox INDEXED BY outbox_open
    WHERE thread_id = ? AND done_at_ms IS NULL AND seq > ? ORDER BY seq LIMIT ?"""


class Table:
    """Reads and writes one table, or what belongs to it."""

    def __init__(self, database: Database) -> None:
        """Use ``database``."""
        self._database = database


class SqliteInbox(Table):
    """`goalfsm.store.port.Inbox`."""

    def put(self, inbox_id: str, thread_id: str, *, at_ms: int, event: bytes) -> bool:
        """Store the event; return False when the id is known."""
        check_size("event", event)
        row = (inbox_id, thread_id, at_ms, event)

        def work(cursor: apsw.Cursor) -> bool:
            cursor.execute(
                "INSERT INTO inbox (inbox_id, thread_id, at_ms, event) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING",
                row,
            )
            return cursor.connection.changes() == 1

        return self._database.write(work, owned=False)

    def pending(self, *, after: int = 0, limit: int = 1000) -> tuple[InboxRow, ...]:
        """Return rows not consumed, oldest first."""
        rows = self._database.rows(
            "SELECT seq, inbox_id, thread_id, at_ms, event FROM inbox INDEXED BY inbox_pending"
            " WHERE revision IS NULL AND seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return tuple(InboxRow(*row) for row in rows)

    def answer(self, inbox_id: str) -> Answer | None:
        """Return what became of that row."""
        rows = self._database.rows(
            "SELECT revision, reply FROM inbox WHERE inbox_id = ?", (inbox_id,)
        )
        return Answer(revision=rows[0][0], reply=rows[0][1]) if rows else None


class SqliteSessions(Table):
    """`goalfsm.store.port.Sessions`."""

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread."""
        rows = self._database.rows(
            "SELECT thread_id, state, revision, rules_version, status, wake_at_ms, updated_at_ms,"
            " epoch FROM session WHERE thread_id = ?",
            (thread_id,),
        )
        return Stored(*rows[0]) if rows else None

    def many(self, thread_ids: Collection[str]) -> tuple[Stored, ...]:
        """Return the snapshots of these threads, as far as they are there, in the same order."""
        return tuple(filter(None, map(self.load, thread_ids)))

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """Return all threads, or those with one of these statuses, by thread id."""
        if statuses:
            wanted = msgspec.json.encode(list(statuses)).decode()
            return tuple(ThreadRow(*row) for row in self._database.rows(_THREADS_IN, (wanted,)))
        return tuple(ThreadRow(*row) for row in self._database.rows(_THREADS))

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """Return threads whose timer has run out, the longest due first."""
        rows = self._database.rows(_DUE, (now_ms, limit))
        return tuple(ThreadRow(*row) for row in rows)

    def next_wake(self) -> int | None:
        """Return the earliest timer."""
        rows = self._database.rows(
            "SELECT min(wake_at_ms) FROM session WHERE wake_at_ms IS NOT NULL"
        )
        wake: int | None = rows[0][0]
        return wake


class SqliteOutbox(Table):
    """`goalfsm.store.port.Outbox`."""

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        """Return effects not done, in the order of commit."""
        if thread_id is None:
            rows = self._database.rows(_OPEN, (after, limit))
        else:
            rows = self._database.rows(_OPEN_OF, (thread_id, after, limit))
        return tuple(OpenEffect(*row) for row in rows)

    def mark_done(self, done: Sequence[Done]) -> None:
        """Record that the effects of these keys were done."""
        rows = [(mark.at_ms, mark.key) for mark in done]
        self._database.write(
            lambda cursor: cursor.executemany(
                "UPDATE outbox SET done_at_ms = ? WHERE key = ? AND done_at_ms IS NULL", rows
            )
        )


class SqliteWorkerConfigs(Table):
    """`goalfsm.store.port.WorkerConfigs`."""

    def put(self, thread_id: str, config: bytes) -> None:
        """Store or replace the thread's worker."""
        check_size("worker", config)
        self._database.write(
            lambda cursor: cursor.execute(
                "INSERT INTO worker (thread_id, config) VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET config = excluded.config",
                (thread_id, config),
            ),
            owned=False,
        )

    def remove(self, thread_id: str) -> None:
        """Forget the thread's worker."""
        self._database.write(
            lambda cursor: cursor.execute("DELETE FROM worker WHERE thread_id = ?", (thread_id,)),
            owned=False,
        )

    def get(self, thread_id: str) -> bytes | None:
        """Return the thread's worker."""
        rows = self._database.rows("SELECT config FROM worker WHERE thread_id = ?", (thread_id,))
        return rows[0][0] if rows else None


class SqliteProcesses(Table):
    """`goalfsm.store.port.Processes`.

    Not synced by themselves: what is lost with the machine named processes that are gone with it.
    """

    def put(self, process: Process) -> None:
        """Store or replace the process of a run."""
        who = process.identity
        row = (
            process.run_id,
            process.thread_id,
            who.pid,
            who.start_time,
            who.boot_id,
            who.namespace,
            process.pgid,
            process.at_ms,
        )
        self._database.write_for_this_boot(
            lambda cursor: cursor.execute(
                "INSERT OR REPLACE INTO process (run_id, thread_id, pid, start_time, boot_id,"
                " namespace, pgid, at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
        )

    def end(self, run_id: str) -> None:
        """Forget the process of a run."""
        self._database.write_for_this_boot(
            lambda cursor: cursor.execute("DELETE FROM process WHERE run_id = ?", (run_id,))
        )

    def open(self) -> tuple[Process, ...]:
        """Return the processes that were not ended, oldest first."""
        rows = self._database.rows(
            "SELECT run_id, thread_id, pid, start_time, boot_id, namespace, pgid, at_ms"
            " FROM process ORDER BY at_ms, run_id"
        )
        return tuple(
            Process(
                run_id=run_id,
                thread_id=thread_id,
                identity=Identity(
                    pid=pid, start_time=start_time, boot_id=boot_id, namespace=namespace
                ),
                pgid=pgid,
                at_ms=at_ms,
            )
            for run_id, thread_id, pid, start_time, boot_id, namespace, pgid, at_ms in rows
        )


_SELECT: Final = (
    "SELECT seq, thread_id, revision, event_id, at_ms, event, decision, digest, rules_version,"
    " epoch FROM journal WHERE thread_id = ? AND "
)
_FIND: Final = _SELECT + "event_id = ?"
_BETWEEN: Final = _SELECT + "revision BETWEEN ? AND ? "
_OLDEST: Final = "ORDER BY revision LIMIT ?"
_NEWEST: Final = "ORDER BY revision DESC LIMIT ?"
_LAST: Final = "SELECT max(revision) FROM journal WHERE thread_id = ?"
_WHEN: Final = "SELECT at_ms FROM journal WHERE thread_id = ? AND revision = ?"
_EVER: Final = 2**62
_KEEP: Final = (
    "INSERT OR REPLACE INTO transcript (run_id, thread_id, turn, at_ms, size,"
    " answer_bytes, stderr_bytes, answer, stderr) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
# By the index alone.
_TOTAL: Final = "SELECT count(*), sum(size) FROM transcript WHERE thread_id = ?"
_SIZES: Final = (
    "SELECT run_id, size FROM transcript WHERE thread_id = ? ORDER BY turn DESC, run_id DESC"
)
_TRANSCRIPT: Final = (
    "SELECT thread_id, run_id, turn, at_ms, answer, stderr, answer_bytes, stderr_bytes"
    " FROM transcript "
)


class SqliteJournal(Table):
    """`goalfsm.store.port.Journal`."""

    def read(  # noqa: PLR0913 - each narrows what is read
        self,
        thread_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        max_bytes: int = PAGE_BYTES,
        newest: bool = False,
    ) -> tuple[JournalRow, ...]:
        """Return a page of rows of a thread by revision."""
        last = _EVER if before is None else before - 1
        sql = _BETWEEN + (_NEWEST if newest else _OLDEST)
        rows = self._database.rows(sql, (thread_id, after + 1, last, limit), max_bytes=max_bytes)
        return tuple(JournalRow(*row) for row in rows)

    def revision_before(self, thread_id: str, at_ms: int) -> int:
        """Return the newest revision of a thread that is older than a moment."""
        rows = self._database.rows
        low, high = 0, rows(_LAST, (thread_id,))[0][0] or 0
        while low < high:
            middle = (low + high + 1) // 2
            if rows(_WHEN, (thread_id, middle))[0][0] < at_ms:
                low = middle
            else:
                high = middle - 1
        return low

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """Return the row of an event."""
        rows = self._database.rows(_FIND, (thread_id, event_id))
        return JournalRow(*rows[0]) if rows else None


class SqliteHistory(Table):
    """`goalfsm.store.port.History`."""

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """Return the entries of a thread, oldest first."""
        rows = self._database.rows(
            "SELECT entry FROM history WHERE thread_id = ? ORDER BY seq", (thread_id,)
        )
        return tuple(entry for (entry,) in rows)


class SqliteTranscripts(Table):
    """`goalfsm.store.port.TranscriptKeeping`; they ride with the commit that comes next."""

    def put(self, transcript: Transcript) -> None:
        """Keep what a run said, and drop what is too much by now."""
        kept = bounded(transcript)
        size = len(kept.answer) + len(kept.stderr)
        row = (
            kept.run_id, kept.thread_id, kept.turn, kept.at_ms, size, kept.answer_bytes,
            kept.stderr_bytes, kept.answer, kept.stderr,
        )  # fmt: skip

        def work(cursor: apsw.Cursor) -> None:
            cursor.execute(_KEEP, row)
            count, total = cursor.execute(_TOTAL, (kept.thread_id,)).get
            if count < KEPT_TRANSCRIPTS + SPARE_TRANSCRIPTS and total <= KEPT_BYTES:
                return
            rows: list[tuple[str, int]] = cursor.execute(  # type: ignore[assignment]
                _SIZES, (kept.thread_id,)
            ).fetchall()
            gone = rows[surplus([size for _, size in rows]) :]
            cursor.executemany(
                "DELETE FROM transcript WHERE run_id = ?", [(run_id,) for run_id, _ in gone]
            )

        self._database.ride(work)

    def read(
        self, thread_id: str, *, before_turn: int | None = None, limit: int = 10
    ) -> tuple[Transcript, ...]:
        """Return the newest transcripts of a thread, newest first."""
        self._database.carry()
        last = _EVER if before_turn is None else before_turn
        rows = self._database.rows(
            _TRANSCRIPT
            + "WHERE thread_id = ? AND turn < ? ORDER BY turn DESC, run_id DESC LIMIT ?",
            (thread_id, last, limit),
        )
        return tuple(Transcript(*row) for row in rows)

    def of_run(self, run_id: str) -> Transcript | None:
        """Return the text that a run has said."""
        self._database.carry()
        rows = self._database.rows(_TRANSCRIPT + "WHERE run_id = ?", (run_id,))
        return Transcript(*rows[0]) if rows else None
