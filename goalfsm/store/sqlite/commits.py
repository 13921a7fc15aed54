"""Group commit: many events, one transaction, one sync.

The whole batch is tried at once. When the count of changed rows, or a constraint, shows that some
commit in it lost its compare-and-set or is a repeat, the transaction starts over and takes them one
by one, each under a savepoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw

from goalfsm.store.batches import Lost
from goalfsm.store.limits import too_large
from goalfsm.store.port import (
    Commit,
    Committed,
    Conflict,
    Done,
    Duplicate,
    Outcome,
    Refused,
)
from goalfsm.store.sqlite.database import Database

_Rows = list[tuple[Any, ...]]

_CREATE: Final = """
    INSERT INTO session (thread_id, revision, epoch, status, wake_at_ms, updated_at_ms,
                         rules_version, state)
    VALUES (?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_UPDATE: Final = """
    UPDATE session SET revision = revision + 1, epoch = ?, status = ?, wake_at_ms = ?,
                       updated_at_ms = ?, rules_version = ?, state = ?
    WHERE thread_id = ? AND revision = ?"""
_JOURNAL: Final = """
    INSERT INTO journal (thread_id, revision, event_id, at_ms, rules_version, epoch, digest, event,
                         decision)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_EFFECT: Final = """
    INSERT INTO outbox (key, thread_id, revision, at_ms, kind, payload)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_DONE: Final = "UPDATE outbox SET done_at_ms = ? WHERE key = ? AND done_at_ms IS NULL"
_HISTORY: Final = "INSERT INTO history (thread_id, entry) VALUES (?, ?)"
_CONSUME: Final = """
    INSERT INTO inbox (inbox_id, thread_id, at_ms, event, revision, reply)
    VALUES (?, ?, ?, x'', ?, ?)
    ON CONFLICT (inbox_id) DO UPDATE SET revision = excluded.revision, reply = excluded.reply
    WHERE inbox.revision IS NULL AND inbox.thread_id = excluded.thread_id"""
_SETTLE: Final = "UPDATE inbox SET revision = ? WHERE inbox_id = ? AND revision IS NULL"

_KNOWN_EVENT: Final = "SELECT revision FROM journal WHERE thread_id = ? AND event_id = ?"
_KNOWN_INBOX: Final = "SELECT thread_id, revision, reply FROM inbox WHERE inbox_id = ?"
_REVISION: Final = "SELECT revision FROM session WHERE thread_id = ?"


_UNFIT: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    TypeError,
    OverflowError,
    UnicodeError,
)
"""What one commit's values can raise; nothing here is the disk's doing."""


_MOVED: Final = "the thread moved on"


class _LostError(Exception):
    """Some commit of the batch cannot be applied: take them one by one."""


class Commits:
    """Writes batches of commits through one connection."""

    def __init__(self, database: Database) -> None:
        """Write through ``database``."""
        self._database = database

    def commit(self, batch: Sequence[Commit], done: Sequence[Done]) -> list[Outcome]:
        """Write these events; see `goalfsm.store.port.Store.commit`."""
        marks = [(mark.at_ms, mark.key) for mark in done]
        write = self._database.write
        try:
            rows = _RowsOf(batch, self._database.epoch)
            rows.done += marks
            write(lambda _db: self._together(rows))
        except _LostError:
            return write(lambda db: self._one_by_one(db, batch, marks))
        return rows.outcomes

    def _together(self, rows: _RowsOf) -> None:
        """Write a batch whole, or raise `_LostError`."""
        cursor = self._database.cursor
        try:
            for sql, sessions in rows.sessions:
                if _run(cursor, sql, sessions) != len(sessions):
                    raise _LostError(_MOVED)
            _run(cursor, _JOURNAL, rows.journal)
            if rows.effects:
                _run(cursor, _EFFECT, rows.effects)
            if rows.done:
                _run(cursor, _DONE, rows.done)
            if rows.history:
                _run(cursor, _HISTORY, rows.history)
            if rows.consumed and _run(cursor, _CONSUME, rows.consumed) != len(rows.consumed):
                raise _LostError(_MOVED)
        except _UNFIT as error:
            raise _LostError(str(error)) from error

    def _one_by_one(
        self, db: apsw.Connection, batch: Sequence[Commit], marks: _Rows
    ) -> list[Outcome]:
        lost = Lost()
        outcomes: list[Outcome] = []
        for commit in batch:
            outcome = self._alone(db, commit, follows=lost.carries(commit))
            lost.note(commit, outcome)
            outcomes.append(outcome)
        _run(self._database.cursor, _DONE, marks)
        return outcomes

    def _alone(self, db: apsw.Connection, commit: Commit, *, follows: bool) -> Outcome:
        """Write one commit, unless it ``follows`` one that was left out."""
        db.execute("SAVEPOINT one")
        try:
            outcome = _conflict(db, commit) if follows else _refusal(db, commit)
            if outcome is None:
                rows = _RowsOf((commit,), self._database.epoch)
                self._together(rows)
                outcome = rows.outcomes[0]
        except (_LostError, *_UNFIT) as error:
            db.execute("ROLLBACK TO one")
            outcome = Refused(reason=f"the store cannot hold it: {error}")
        db.execute("RELEASE one")
        return outcome


class _RowsOf:
    """The rows of a batch, by statement; raises `_LostError` when it has to be taken apart."""

    __slots__ = ("consumed", "done", "effects", "history", "journal", "outcomes", "sessions")

    def __init__(  # noqa: C901 - one pass over the batch, on the path of every event
        self, batch: Sequence[Commit], epoch: int | None
    ) -> None:
        self.outcomes: list[Outcome] = []
        self.sessions: list[tuple[str, _Rows]] = []
        self.journal: _Rows = []
        self.effects: _Rows = []
        self.done: _Rows = []
        self.history: _Rows = []
        self.consumed: _Rows = []
        before = ""
        for c in batch:
            if too_large(c) is not None:
                raise _LostError
            thread_id, at_ms, status, wake = c.thread_id, c.at_ms, c.status, c.wake_at_ms
            rules, expected = c.rules_version, c.expected_revision
            revision = expected + 1
            row: tuple[Any, ...]
            if expected:
                sql = _UPDATE
                row = (epoch, status, wake, at_ms, rules, c.state, thread_id, expected)
            else:
                sql = _CREATE
                row = (thread_id, epoch, status, wake, at_ms, rules, c.state)
            # Runs of the same statement, so that the batch keeps its order.
            if sql is before:
                self.sessions[-1][1].append(row)
            else:
                self.sessions.append((sql, [row]))
                before = sql
            self.journal.append(
                (thread_id, revision, c.event_id, at_ms, rules, epoch, c.digest, c.event,
                 c.decision)
            )  # fmt: skip
            if c.outbox:
                for effect in c.outbox:
                    row = (effect.key, thread_id, revision, at_ms, effect.kind, effect.payload)
                    self.effects.append(row)
            if c.outbox_done:
                self.done += [(at_ms, key) for key in c.outbox_done]
            if c.history:
                self.history += [(thread_id, entry) for entry in c.history]
            if c.inbox_id is not None:
                self.consumed.append((c.inbox_id, thread_id, at_ms, revision, c.reply))
            self.outcomes.append(Committed(revision=revision))
        if self.done and self.effects and len(batch) > 1:
            self._check_marks()

    def _check_marks(self) -> None:
        """All effects are inserted before all marks: a mark must not meet one that comes later.

        An effect that is marked before it was ordered would never be done.
        """
        ordered = {row[0] for row in self.effects}
        if any(key in ordered for _, key in self.done):
            raise _LostError(_MOVED)


def _refusal(db: apsw.Connection, commit: Commit) -> Outcome | None:
    """Return why a commit is not to be applied to what is there now, None when it is."""
    reason = too_large(commit)
    if reason is not None:
        return Refused(reason=reason)
    inbox = _first(db, _KNOWN_INBOX, (commit.inbox_id,))
    known = _first(db, _KNOWN_EVENT, (commit.thread_id, commit.event_id))
    if known is not None:
        # It came another way before; where it has a row, that has nothing more to wait for.
        db.execute(_SETTLE, (known[0], commit.inbox_id))
        return Duplicate(revision=known[0], reply=None if inbox is None else inbox[2])
    if inbox is not None and inbox[0] != commit.thread_id:
        return Refused(reason="the inbox row belongs to another thread")
    if inbox is not None and inbox[1] is not None:
        return Duplicate(revision=inbox[1], reply=inbox[2])
    conflict = _conflict(db, commit)
    return conflict if conflict.actual_revision != commit.expected_revision else None


def _conflict(db: apsw.Connection, commit: Commit) -> Conflict:
    found = _first(db, _REVISION, (commit.thread_id,))
    return Conflict(actual_revision=0 if found is None else found[0])


def _first(db: apsw.Connection, sql: str, bindings: tuple[Any, ...]) -> tuple[Any, ...] | None:
    rows: _Rows = db.execute(sql, bindings).fetchall()
    return rows[0] if rows else None


def _run(cursor: apsw.Cursor, sql: str, rows: _Rows) -> int:
    """Execute a statement for each row; return how many rows of tables it changed."""
    db = cursor.connection
    if len(rows) == 1:
        cursor.execute(sql, rows[0])
        return db.changes()
    before = db.total_changes()
    cursor.executemany(sql, rows)
    return db.total_changes() - before
