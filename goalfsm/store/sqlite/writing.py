"""Commits of a handle, and its log kept short: what a handle that only reads does not load."""

from __future__ import annotations

from collections.abc import Sequence

from goalfsm.store.port import Commit, Done, Outcome
from goalfsm.store.sqlite.checkpoint import InlineCheckpoint, SqliteCheckpointer, cut
from goalfsm.store.sqlite.commits import Commits
from goalfsm.store.sqlite.database import Database


class Writing:
    """Commits into one database; after each the log is looked at, until somebody else does that."""

    def __init__(self, database: Database) -> None:
        """Write through ``database``."""
        self._database = database
        self._commits = Commits(database)
        self._inline: InlineCheckpoint | None = InlineCheckpoint(database)

    def commit(self, batch: Sequence[Commit], done: Sequence[Done]) -> list[Outcome]:
        """Write these events; see `goalfsm.store.port.Store.commit`."""
        outcomes = self._commits.commit(batch, done)
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
