"""Group commit: many events, one transaction, one sync; a handle that only reads loads none of it.

The whole batch is tried at once. When the count of changed rows, or a constraint, shows that some
commit in it lost its compare-and-set or is a repeat, the transaction starts over and takes them one
by one, each under a savepoint. A lone commit, which most are, and a batch take different ways to
the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import apsw

from goalfsm.store.limits import Lost, too_large, weight
from goalfsm.store.port import (
    MAX_COMMIT_BYTES,
    Commit,
    Committed,
    Conflict,
    Done,
    Duplicate,
    Effect,
    Invalid,
    Outcome,
)
from goalfsm.store.sqlite.checkpoint import InlineCheckpoint, SqliteCheckpointer, cut
from goalfsm.store.sqlite.database import Database

Rows = list[tuple[Any, ...]]

_LOOP_BUSY_MS: Final = 20

_SETTLE: Final = "UPDATE inbox SET revision = ? WHERE inbox_id = ? AND revision IS NULL"
_KNOWN_EVENT: Final = "SELECT revision FROM journal WHERE thread_id = ? AND event_id = ?"
_KNOWN_INBOX: Final = "SELECT thread_id, revision, reply FROM inbox WHERE inbox_id = ?"
_REVISION: Final = "SELECT revision FROM session WHERE thread_id = ?"


# On one line each: a prepared statement is looked up by its whole text.
_CREATE: Final = (
    "INSERT INTO session"
    " (epoch, wake_at_ms, updated_at_ms, rules_version, state, thread_id, revision, status)"
    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?9, ?8) ON CONFLICT DO NOTHING"
)
_SET: Final = (
    "UPDATE session SET epoch = ?1, wake_at_ms = ?2, updated_at_ms = ?3, rules_version = ?4,"
    " state = ?5, revision = ?9"
)
_UPDATE: Final = f"{_SET}, status = ?8 WHERE thread_id = ?6 AND revision = ?7"
# Most events leave the status as it is: an update that does not name it spares the index a page.
_KEEP_STATUS: Final = f"{_SET} WHERE thread_id = ?6 AND revision = ?7 AND status = ?8"
_JOURNAL: Final = (
    "INSERT INTO journal"
    " (thread_id, revision, event_id, at_ms, rules_version, epoch, digest, event, decision)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_EFFECT: Final = (
    "INSERT INTO outbox (key, thread_id, revision, at_ms, kind, payload)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_DONE: Final = "UPDATE outbox SET done_at_ms = ? WHERE key = ? AND done_at_ms IS NULL"
_HISTORY: Final = "INSERT INTO history (thread_id, entry) VALUES (?, ?)"
_CONSUME: Final = (
    "INSERT INTO inbox (inbox_id, thread_id, at_ms, event, revision, reply)"
    " VALUES (?, ?, ?, x'', ?, ?)"
    " ON CONFLICT (inbox_id) DO UPDATE SET revision = excluded.revision, reply = excluded.reply"
    " WHERE inbox.revision IS NULL AND inbox.thread_id = excluded.thread_id"
)

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


class LostError(Exception):
    """Some commit of the batch cannot be applied: take them one by one."""


class Batch:
    """The rows of a batch, by statement; raises `LostError` when it has to be taken apart."""

    __slots__ = (
        "consumed", "done", "effects", "epoch", "history", "journal", "outcomes", "sessions"
    )  # fmt: skip

    def __init__(self, batch: Sequence[Commit], marks: Rows, epoch: int | None) -> None:
        """Take the rows of ``batch`` and the ``marks`` that ride with it."""
        self.outcomes: list[Outcome] = []
        self.sessions: list[tuple[Commit, Commit]] = []
        """The first and the last of commits of one thread that follow each other."""
        self.journal: Rows = []
        self.effects: Rows = []
        self.done: Rows = []
        self.history: Rows = []
        self.consumed: Rows = []
        self.epoch = epoch
        before: Commit | None = None
        for commit in batch:
            if weight(commit) > MAX_COMMIT_BYTES:
                raise LostError
            if before is not None and _follows(before, commit):
                # Nobody sees the state between the two.
                self.sessions[-1] = (self.sessions[-1][0], commit)
            else:
                self.sessions.append((commit, commit))
            before = commit
            self.journal.append(_journalled(commit, epoch))
            for effect in commit.outbox:
                self.effects.append(_ordered(commit, effect))
            if commit.outbox_done:
                self.done += _marks(commit)
            if commit.history:
                self.history += _entries(commit)
            if commit.inbox_id is not None:
                self.consumed.append(_consumed(commit))
            self.outcomes.append(Committed(revision=commit.expected_revision + 1))
        self.done += marks
        if self.done and self.effects:
            self._check_marks()

    def insert(self, cursor: apsw.Cursor) -> None:
        """Write every commit of the batch, or raise `LostError`."""
        try:
            for first, last in self.sessions:
                _write_session(cursor, first, last, self.epoch)
            cursor.executemany(_JOURNAL, self.journal)
            if self.effects:
                cursor.executemany(_EFFECT, self.effects)
            if self.done:
                cursor.executemany(_DONE, self.done)
            if self.history:
                cursor.executemany(_HISTORY, self.history)
            if self.consumed and _changed(cursor, _CONSUME, self.consumed) != len(self.consumed):
                raise LostError(_MOVED)
        except _UNFIT as error:
            raise LostError(str(error)) from error

    def _check_marks(self) -> None:
        """All effects are inserted before all marks: a mark must not meet one that comes later.

        An effect that is marked before it was ordered would never be done.
        """
        ordered = {row[0] for row in self.effects}
        if any(key in ordered for _, key in self.done):
            raise LostError(_MOVED)


def _insert_one(commit: Commit, marks: Rows, epoch: int | None, cursor: apsw.Cursor) -> Committed:
    """Write one event and ``marks``, or raise `LostError`.

    Alone it takes the short way, whose statements stay prepared and need no counting of rows.
    """
    execute, changes = cursor.execute, cursor.connection.changes
    try:
        _write_session(cursor, commit, commit, epoch)
        execute(_JOURNAL, _journalled(commit, epoch))
        for effect in commit.outbox:
            execute(_EFFECT, _ordered(commit, effect))
        if commit.outbox_done:
            marks = _marks(commit) + marks
        for mark in marks:
            execute(_DONE, mark)
        if commit.history:
            for entry in _entries(commit):
                execute(_HISTORY, entry)
        if commit.inbox_id is not None:
            execute(_CONSUME, _consumed(commit))
            if not changes():
                raise LostError(_MOVED)
    except _UNFIT as error:
        raise LostError(str(error)) from error
    return Committed(revision=commit.expected_revision + 1)


def _follows(before: Commit, commit: Commit) -> bool:
    """Tell whether a commit goes on where ``before`` has left its thread."""
    return (
        commit.thread_id == before.thread_id
        and commit.expected_revision == before.expected_revision + 1
    )


def _write_session(cursor: apsw.Cursor, first: Commit, last: Commit, epoch: int | None) -> None:
    """Take a thread from before ``first`` to after ``last``, or raise `LostError`."""
    execute, changes = cursor.execute, cursor.connection.changes
    row = (
        epoch, last.wake_at_ms, last.at_ms, last.rules_version, last.state, last.thread_id,
        first.expected_revision, last.status, last.expected_revision + 1,
    )  # fmt: skip
    if first.expected_revision:
        execute(_KEEP_STATUS, row)
        if not changes():
            execute(_UPDATE, row)
    else:
        execute(_CREATE, row)
    if not changes():
        raise LostError(_MOVED)


def _journalled(c: Commit, epoch: int | None) -> tuple[Any, ...]:
    revision = c.expected_revision + 1
    return (
        c.thread_id, revision, c.event_id, c.at_ms, c.rules_version, epoch, c.digest, c.event,
        c.decision,
    )  # fmt: skip


def _ordered(c: Commit, effect: Effect) -> tuple[Any, ...]:
    revision = c.expected_revision + 1
    return (effect.key, c.thread_id, revision, c.at_ms, effect.kind, effect.payload)


def _marks(c: Commit) -> Rows:
    return [(c.at_ms, key) for key in c.outbox_done]


def _entries(c: Commit) -> Rows:
    return [(c.thread_id, entry) for entry in c.history]


def _consumed(c: Commit) -> tuple[Any, ...]:
    return (c.inbox_id, c.thread_id, c.at_ms, c.expected_revision + 1, c.reply)


def _changed(cursor: apsw.Cursor, sql: str, rows: Rows) -> int:
    """Execute a statement for each row; return how many rows of the table it changed."""
    db = cursor.connection
    before = db.total_changes()
    cursor.executemany(sql, rows)
    return db.total_changes() - before


class Commits:
    """Writes batches of commits through one connection, and keeps its log short.

    After each commit the log is looked at, until somebody else does that.
    """

    def __init__(self, database: Database) -> None:
        """Write through ``database``."""
        self._database = database
        self._inline: InlineCheckpoint | None = InlineCheckpoint(database)

    def __call__(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events; see `goalfsm.store.port.Store.commit`."""
        marks = [(mark.at_ms, mark.key) for mark in done] if done else []
        write, epoch = self._database.write, self._database.epoch
        try:
            if len(batch) == 1 and weight(batch[0]) <= MAX_COMMIT_BYTES:
                answered = batch[0].inbox_id is not None
                work = partial(_insert_one, batch[0], marks, epoch)
                outcomes: list[Outcome] = [write(work, answered=answered)]
            else:
                rows = Batch(batch, marks, epoch)
                write(rows.insert, answered=bool(rows.consumed))
                outcomes = rows.outcomes
        except LostError:
            outcomes = write(lambda cursor: self._one_by_one(cursor, batch, marks))
        if self._inline is not None:
            self._inline.after_commit()
        return outcomes

    def checkpointer(self) -> SqliteCheckpointer | None:
        """Return a checkpointer; from then on the handle of ``database`` runs none itself.

        It is in the hands of a loop then, which must not stand still for another's lock: it waits
        for one no longer than a commit may take, and whoever commits tries again.
        """
        if self._database.in_memory:
            return None
        self._database.wait_for_locks(_LOOP_BUSY_MS)
        self._inline = None
        return SqliteCheckpointer(self._database)

    def cut_log(self) -> None:
        """Move the whole log and give its space back. Raises `Busy` and ``apsw.Error``."""
        cut(self._database.connection(), self._database)

    def _one_by_one(
        self, cursor: apsw.Cursor, batch: Sequence[Commit], marks: Rows
    ) -> list[Outcome]:
        lost = Lost()
        outcomes: list[Outcome] = []
        for commit in batch:
            outcome = self._alone(cursor, commit, follows=lost.carries(commit))
            lost.note(commit, outcome)
            outcomes.append(outcome)
        cursor.executemany(_DONE, marks)
        return outcomes

    def _alone(self, cursor: apsw.Cursor, commit: Commit, *, follows: bool) -> Outcome:
        """Write one commit, unless it ``follows`` one that was left out."""
        db = cursor.connection
        db.execute("SAVEPOINT one")
        try:
            outcome = _conflict(db, commit) if follows else _refusal(db, commit)
            if outcome is None:
                outcome = _insert_one(commit, [], self._database.epoch, cursor)
        except (LostError, *_UNFIT) as error:
            db.execute("ROLLBACK TO one")
            outcome = Invalid(reason=f"the store cannot hold it: {error}")
        db.execute("RELEASE one")
        return outcome


def _refusal(db: apsw.Connection, commit: Commit) -> Outcome | None:
    """Return why a commit is not to be applied to what is there now, None when it is."""
    reason = too_large(commit)
    if reason is not None:
        return Invalid(reason=reason)
    inbox = _first(db, _KNOWN_INBOX, (commit.inbox_id,))
    known = _first(db, _KNOWN_EVENT, (commit.thread_id, commit.event_id))
    if known is not None:
        # It came another way before; where it has a row, that has nothing more to wait for.
        db.execute(_SETTLE, (known[0], commit.inbox_id))
        return Duplicate(revision=known[0], reply=None if inbox is None else inbox[2])
    if inbox is not None and inbox[0] != commit.thread_id:
        return Invalid(reason="the inbox row belongs to another thread")
    if inbox is not None and inbox[1] is not None:
        return Duplicate(revision=inbox[1], reply=inbox[2])
    conflict = _conflict(db, commit)
    return conflict if conflict.actual_revision != commit.expected_revision else None


def _conflict(db: apsw.Connection, commit: Commit) -> Conflict:
    found = _first(db, _REVISION, (commit.thread_id,))
    return Conflict(actual_revision=0 if found is None else found[0])


def _first(db: apsw.Connection, sql: str, bindings: tuple[Any, ...]) -> tuple[Any, ...] | None:
    rows: Rows = db.execute(sql, bindings).fetchall()
    return rows[0] if rows else None
