"""The owner row: who may commit, under which epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import apsw

from goalfsm.errors import Busy, Corrupt
from goalfsm.store.port import EXPIRY_MS, Acquired, Held, Identity, Owner
from goalfsm.store.sqlite.database import Database, Row

_SELECT: Final = """
    SELECT epoch, pid, start_time, boot_id, namespace, socket, uptime_ms FROM owner WHERE id = 1"""
_TAKE: Final = """
    UPDATE owner SET epoch = ?, pid = ?, start_time = ?, boot_id = ?, namespace = ?, socket = ?,
                     uptime_ms = ?
    WHERE id = 1"""
_BEAT: Final = "UPDATE owner SET uptime_ms = ? WHERE id = 1"
_RELEASE: Final = "UPDATE owner SET pid = NULL, socket = '' WHERE id = 1 AND epoch = ?"


def _only(rows: Sequence[Row]) -> Row:
    """Return the owner row; raise `Corrupt` where the file has lost it."""
    if not rows:
        msg = "the row that says who owns the database is gone"
        raise Corrupt(msg)
    return rows[0]


def owner_in(row: Row) -> Owner | None:
    """Return the owner that a row names, None when it was released."""
    epoch, pid, start_time, boot_id, namespace, socket, uptime = row
    if pid is None:
        return None
    identity = Identity(pid=pid, start_time=start_time, boot_id=boot_id, namespace=namespace)
    return Owner(identity=identity, epoch=epoch, socket=socket, uptime_ms=uptime)


def lives(db: apsw.Connection, is_alive: Callable[[Identity], bool]) -> bool:
    """Return whether a living process owns the database, before its schema is the newest."""
    owner = owner_in(_only(db.execute(_SELECT).fetchall()))
    return owner is not None and is_alive(owner.identity)


class SqliteLease:
    """`goalfsm.store.port.Lease` on the owner row."""

    def __init__(self, database: Database, is_alive: Callable[[Identity], bool]) -> None:
        """Decide who is dead with ``is_alive``."""
        self._database = database
        self._is_alive = is_alive

    @property
    def epoch(self) -> int | None:
        """Return the epoch that this handle claimed."""
        return self._database.epoch

    def acquire(self, identity: Identity, *, socket: str, uptime_ms: int) -> Acquired | Held:
        """Become the owner where that is allowed."""
        try:
            answer = self._database.write(
                lambda db: self._decide(db, identity, socket, uptime_ms), owned=False
            )
        except Busy:
            owner = self.current()
            return Held(owner=owner, silent_for_ms=_silent(owner, uptime_ms), locked=True)
        if isinstance(answer, Acquired):
            self._database.epoch = answer.epoch
        return answer

    def _decide(
        self, db: apsw.Cursor, identity: Identity, socket: str, uptime_ms: int
    ) -> Acquired | Held:
        row = _only(db.execute(_SELECT).fetchall())
        before = owner_in(row)
        epoch: int = row[0]
        renewed = before is not None and epoch == self._database.epoch
        if before is not None and not renewed and self._is_alive(before.identity):
            silent = _silent(before, uptime_ms)
            if silent < EXPIRY_MS:
                return Held(owner=before, silent_for_ms=silent)
        if not renewed:
            epoch += 1
        who = (identity.pid, identity.start_time, identity.boot_id, identity.namespace)
        db.execute(_TAKE, (epoch, *who, socket, uptime_ms))
        return Acquired(epoch=epoch, previous=None if renewed else before)

    def heartbeat(self, *, uptime_ms: int) -> None:
        """Say that the owner lives."""
        self._database.write(lambda cursor: cursor.execute(_BEAT, (uptime_ms,)))
        self._database.verify_place()

    def release(self) -> None:
        """Give the store up."""
        epoch = self._database.epoch
        if epoch is None:
            return
        self._database.write(lambda cursor: cursor.execute(_RELEASE, (epoch,)), owned=False)
        self._database.epoch = None

    def current(self) -> Owner | None:
        """Return who owns the store."""
        return owner_in(_only(self._database.rows(_SELECT)))


def _silent(owner: Owner | None, uptime_ms: int) -> int:
    return 0 if owner is None else max(0, uptime_ms - owner.uptime_ms)
