"""The nouns of the port, one class a table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

import apsw
import msgspec

from goalfsm.store.limits import check_size
from goalfsm.store.port import (
    Answer,
    Done,
    Identity,
    InboxRow,
    OpenEffect,
    Process,
    Stored,
    ThreadRow,
)
from goalfsm.store.rows import open_effect, thread_row
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


class SqliteInbox:
    """`goalfsm.store.port.Inbox`."""

    def __init__(self, database: Database) -> None:
        """Read and write through ``database``."""
        self._database = database

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
        return tuple(
            InboxRow(seq=seq, inbox_id=inbox_id, thread_id=thread_id, at_ms=at_ms, event=event)
            for seq, inbox_id, thread_id, at_ms, event in rows
        )

    def answer(self, inbox_id: str) -> Answer | None:
        """Return what became of that row."""
        rows = self._database.rows(
            "SELECT revision, reply FROM inbox WHERE inbox_id = ?", (inbox_id,)
        )
        return Answer(revision=rows[0][0], reply=rows[0][1]) if rows else None


class SqliteSessions:
    """`goalfsm.store.port.Sessions`."""

    def __init__(self, database: Database) -> None:
        """Read through ``database``."""
        self._database = database

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread."""
        rows = self._database.rows(
            "SELECT thread_id, state, revision, rules_version, status, wake_at_ms, updated_at_ms,"
            " epoch FROM session WHERE thread_id = ?",
            (thread_id,),
        )
        if not rows:
            return None
        thread_id, state, revision, rules_version, status, wake, updated, epoch = rows[0]
        return Stored(
            thread_id=thread_id,
            state=state,
            revision=revision,
            rules_version=rules_version,
            status=status,
            wake_at_ms=wake,
            updated_at_ms=updated,
            epoch=epoch,
        )

    def many(self, thread_ids: Collection[str]) -> tuple[Stored, ...]:
        """Return the snapshots of these threads, as far as they are there, in the same order."""
        return tuple(filter(None, map(self.load, thread_ids)))

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """Return all threads, or those with one of these statuses, by thread id."""
        if statuses:
            wanted = msgspec.json.encode(list(statuses)).decode()
            return tuple(map(thread_row, self._database.rows(_THREADS_IN, (wanted,))))
        return tuple(map(thread_row, self._database.rows(_THREADS)))

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """Return threads whose timer has run out, the longest due first."""
        rows = self._database.rows(_DUE, (now_ms, limit))
        return tuple(thread_row(row) for row in rows)

    def next_wake(self) -> int | None:
        """Return the earliest timer."""
        rows = self._database.rows(
            "SELECT min(wake_at_ms) FROM session WHERE wake_at_ms IS NOT NULL"
        )
        wake: int | None = rows[0][0]
        return wake


class SqliteOutbox:
    """`goalfsm.store.port.Outbox`."""

    def __init__(self, database: Database) -> None:
        """Read and write through ``database``."""
        self._database = database

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        """Return effects not done, in the order of commit."""
        if thread_id is None:
            rows = self._database.rows(_OPEN, (after, limit))
        else:
            rows = self._database.rows(_OPEN_OF, (thread_id, after, limit))
        return tuple(map(open_effect, rows))

    def mark_done(self, done: Sequence[Done]) -> None:
        """Record that the effects of these keys were done."""
        rows = [(mark.at_ms, mark.key) for mark in done]
        self._database.write(
            lambda cursor: cursor.executemany(
                "UPDATE outbox SET done_at_ms = ? WHERE key = ? AND done_at_ms IS NULL", rows
            )
        )


class SqliteWorkerConfigs:
    """`goalfsm.store.port.WorkerConfigs`."""

    def __init__(self, database: Database) -> None:
        """Read and write through ``database``."""
        self._database = database

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


class SqliteProcesses:
    """`goalfsm.store.port.Processes`.

    Not synced by themselves: what is lost with the machine named processes that are gone with it.
    """

    def __init__(self, database: Database) -> None:
        """Read and write through ``database``."""
        self._database = database

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
