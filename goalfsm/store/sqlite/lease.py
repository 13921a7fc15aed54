"""The owner row: who may commit, under which epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import apsw

from goalfsm.errors import Busy, Corrupt
from goalfsm.store.owner import Silence
from goalfsm.store.port import EXPIRY_MS, Acquired, Held, Identity, Owner
from goalfsm.store.sqlite.connection import Row
from goalfsm.store.sqlite.database import Database
from goalfsm.store.sqlite.place import holder_of_write_lock

_SELECT: Final = (
    "SELECT epoch, pid, start_time, boot_id, namespace, socket, uptime_ms, seen_ms, machine,"
    " resting"
    " FROM owner WHERE id = 1"
)
_FIRST: Final = "SELECT pid, start_time, boot_id, namespace FROM owner WHERE id = 1"
_TAKE: Final = """
    UPDATE owner SET epoch = ?, pid = ?, start_time = ?, boot_id = ?, namespace = ?, machine = ?,
                     socket = ?, uptime_ms = ?, seen_ms = ?, resting = 0
    WHERE id = 1"""
_BEAT: Final = "UPDATE owner SET uptime_ms = ?, seen_ms = ?, resting = 0 WHERE id = 1"
_REST: Final = "UPDATE owner SET resting = 1 WHERE id = 1"
_RELEASE: Final = "UPDATE owner SET pid = NULL, socket = '' WHERE id = 1 AND epoch = ?"


def _only(rows: Sequence[Row]) -> Row:
    """Return the owner row; raise `Corrupt` where the file has lost it."""
    if not rows:
        msg = "the row that says who owns the database is gone"
        raise Corrupt(msg)
    return rows[0]


def owner_in(row: Row) -> Owner | None:
    """Return the owner that a row names, None when it was released."""
    epoch, pid, start_time, boot_id, namespace, socket, uptime, seen, machine, resting = row
    if pid is None:
        return None
    identity = Identity(
        pid=pid, start_time=start_time, boot_id=boot_id, namespace=namespace, machine=machine
    )
    return Owner(
        identity=identity,
        epoch=epoch,
        socket=socket,
        uptime_ms=uptime,
        seen_ms=seen,
        resting=bool(resting),
    )


def lives(db: apsw.Connection, is_alive: Callable[[Identity], bool]) -> bool:
    """Return whether a living process owns the database, which may have its first schema."""
    rows = db.execute(_FIRST).fetchall()
    pid, start_time, boot_id, namespace = _only(rows)
    if pid is None:
        return False
    return is_alive(Identity(pid=pid, start_time=start_time, boot_id=boot_id, namespace=namespace))


class SqliteLease:
    """`goalfsm.store.port.Lease` on the owner row, and on a lock of the file itself.

    The row decides. The lock is for what the row cannot show: an engine that has the same file
    under another name has another log, and so another row.
    """

    def __init__(self, database: Database, is_alive: Callable[[Identity], bool]) -> None:
        """Decide who is dead with ``is_alive``."""
        self._database = database
        self._is_alive = is_alive
        self._silence = Silence()
        self._rests = False

    @property
    def epoch(self) -> int | None:
        """Return the epoch that this handle acquired."""
        return self._database.epoch

    def acquire(
        self,
        identity: Identity,
        *,
        socket: str,
        uptime_ms: int,
        unanswered_ms: int | None = None,
    ) -> Acquired | Held:
        """Become the owner where that is allowed."""

        def silence_of(owner: Owner) -> int:
            return self._silence.of(
                owner, identity, uptime_ms=uptime_ms, unanswered_ms=unanswered_ms
            )

        self._database.connection()
        free = self._database.lock_file()
        try:
            answer = self._database.write(
                lambda db: self._decide(db, identity, socket, uptime_ms, silence_of, free=free),
                owned=False,
            )
        except Busy:
            owner = self.current()
            return Held(
                owner=owner,
                silent_for_ms=0 if owner is None else silence_of(owner),
                locked=True,
                holder=holder_of_write_lock(self._database.path),
            )
        finally:
            if self._database.epoch is None and free:
                self._database.unlock_file()
        if isinstance(answer, Acquired):
            self._database.own(answer.epoch)
            self._rests = False
        return answer

    def _decide(  # noqa: PLR0913 - what a claim consists of
        self,
        db: apsw.Cursor,
        identity: Identity,
        socket: str,
        uptime_ms: int,
        silence_of: Callable[[Owner], int],
        *,
        free: bool,
    ) -> Acquired | Held:
        row = _only(db.execute(_SELECT).fetchall())
        before = owner_in(row)
        epoch: int = row[0]
        renewed = before is not None and epoch == self._database.epoch
        if not renewed:
            alive = before is not None and (not free or self._is_alive(before.identity))
            if before is not None and alive:
                silent = silence_of(before)
                if silent < EXPIRY_MS:
                    return Held(owner=before, silent_for_ms=silent)
            elif not free:
                return Held(owner=None, silent_for_ms=0)
            epoch += 1
        who = (
            identity.pid, identity.start_time, identity.boot_id, identity.namespace,
            identity.machine,
        )  # fmt: skip
        seen_ms = before.seen_ms if renewed and before is not None else 0
        db.execute(_TAKE, (epoch, *who, socket, uptime_ms, seen_ms))
        return Acquired(epoch=epoch, previous=None if renewed else before)

    def heartbeat(self, *, uptime_ms: int, seen_ms: int = 0) -> None:
        """Say that the owner lives."""
        self._database.write(lambda cursor: cursor.execute(_BEAT, (uptime_ms, seen_ms)))
        self._rests = False
        self._database.verify_place()

    def rest(self) -> None:
        """Owe no heartbeat until the next one."""
        if self._rests:
            self.confirm()
            return
        self._database.write(lambda cursor: cursor.execute(_REST))
        self._rests = True

    def confirm(self) -> None:
        """Raise `Fenced` when there is a successor."""
        mine = self.epoch
        owner = self.current()
        if mine is None or owner is None or owner.epoch != mine:
            self._database.fenced()

    def release(self) -> None:
        """Give the store up."""
        epoch = self._database.epoch
        if epoch is None:
            return
        self._database.write(lambda cursor: cursor.execute(_RELEASE, (epoch,)), owned=False)
        self._database.own(None)

    def current(self) -> Owner | None:
        """Return the owner of the store, None where there is none."""
        return owner_in(_only(self._database.rows(_SELECT)))
