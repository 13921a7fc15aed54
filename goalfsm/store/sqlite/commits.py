"""Group commit: many events, one transaction, one sync; a handle that only reads loads none of it.

The whole batch is tried at once. When the count of changed rows, or a constraint, shows that some
commit in it lost its compare-and-set or is a repeat, the transaction starts over and takes them one
by one, each under a savepoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import apsw

from goalfsm.store.batches import Lost
from goalfsm.store.limits import too_large, weight
from goalfsm.store.port import (
    MAX_COMMIT_BYTES,
    Commit,
    Conflict,
    Done,
    Duplicate,
    Invalid,
    Outcome,
)
from goalfsm.store.sqlite.checkpoint import InlineCheckpoint, SqliteCheckpointer, cut
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.inserts import DONE, UNFIT, Batch, LostError, Rows, insert_one

_SETTLE: Final = "UPDATE inbox SET revision = ? WHERE inbox_id = ? AND revision IS NULL"
_KNOWN_EVENT: Final = "SELECT revision FROM journal WHERE thread_id = ? AND event_id = ?"
_KNOWN_INBOX: Final = "SELECT thread_id, revision, reply FROM inbox WHERE inbox_id = ?"
_REVISION: Final = "SELECT revision FROM session WHERE thread_id = ?"


class Commits:
    """Writes batches of commits through one connection, and keeps its log short.

    After each commit the log is looked at, until somebody else does that.
    """

    def __init__(self, database: Database) -> None:
        """Write through ``database``."""
        self._database = database
        self._inline: InlineCheckpoint | None = InlineCheckpoint(database)

    def commit(self, batch: Sequence[Commit], done: Sequence[Done]) -> list[Outcome]:
        """Write these events; see `goalfsm.store.port.Store.commit`."""
        outcomes = self._commit(batch, done)
        if self._inline is not None:
            self._inline.after_commit()
        return outcomes

    def checkpointer(self) -> SqliteCheckpointer:
        """Return what keeps the log short from now on."""
        self._inline = None
        return SqliteCheckpointer(self._database)

    def cut_log(self) -> None:
        """Move the whole log and give its space back. Raises `Busy` and ``apsw.Error``."""
        cut(self._database.connection(), self._database)

    def _commit(self, batch: Sequence[Commit], done: Sequence[Done]) -> list[Outcome]:
        marks = [(mark.at_ms, mark.key) for mark in done] if done else []
        write, epoch = self._database.write, self._database.epoch
        try:
            if len(batch) == 1 and weight(batch[0]) <= MAX_COMMIT_BYTES:
                answered = batch[0].inbox_id is not None
                return [write(partial(insert_one, batch[0], marks, epoch), answered=answered)]
            rows = Batch(batch, marks, epoch)
            write(rows.insert, answered=bool(rows.consumed))
        except LostError:
            return write(lambda cursor: self._one_by_one(cursor, batch, marks))
        return rows.outcomes

    def _one_by_one(
        self, cursor: apsw.Cursor, batch: Sequence[Commit], marks: Rows
    ) -> list[Outcome]:
        lost = Lost()
        outcomes: list[Outcome] = []
        for commit in batch:
            outcome = self._alone(cursor, commit, follows=lost.carries(commit))
            lost.note(commit, outcome)
            outcomes.append(outcome)
        cursor.executemany(DONE, marks)
        return outcomes

    def _alone(self, cursor: apsw.Cursor, commit: Commit, *, follows: bool) -> Outcome:
        """Write one commit, unless it ``follows`` one that was left out."""
        db = cursor.connection
        db.execute("SAVEPOINT one")
        try:
            outcome = _conflict(db, commit) if follows else _refusal(db, commit)
            if outcome is None:
                outcome = insert_one(commit, [], self._database.epoch, cursor)
        except (LostError, *UNFIT) as error:
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
