"""Others hold the SQLite store's lock: waiting has bounds, and says for whom."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from goalfsm.daemon.host.platform import own_identity
from goalfsm.errors import Busy, CannotWrite, Fenced, StoreClosed, StoreUnavailable
from goalfsm.store.owner import end_stalled
from goalfsm.store.port import EXPIRY_MS, Acquired, Committed, Held, Identity
from goalfsm.store.sqlite import SqliteStore
from tests.store.handles import ALICE, BOB, commit, everybody_lives, nobody_lives, owned


def test_locked_database_is_busy_within_bounds(path: Path) -> None:
    """A writer that another process keeps out says so; readers are not kept out."""
    store = owned(SqliteStore.open(path, busy_ms=1))
    store.commit([commit()])
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy):
        store.commit([commit(expected=1)])
    assert store.sessions.load("t") is not None
    blocker.execute("ROLLBACK")
    assert store.commit([commit(expected=1)]) == [Committed(revision=2)]
    blocker.close()
    store.close()


def test_claim_on_a_locked_database_tells_who_holds_it(path: Path) -> None:
    """An owner stopped inside a transaction is named, with how long it has been silent."""
    store = owned(SqliteStore.open(path), at=1_000)
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    other = SqliteStore.open(path, busy_ms=1, is_alive=everybody_lives)
    held = other.owner.acquire(
        Identity(pid=2, start_time=2, boot_id="boot"), socket="", uptime_ms=21_000
    )
    assert isinstance(held, Held)
    assert held.owner is not None
    assert (held.owner.identity, held.silent_for_ms, held.locked) == (ALICE, 20_000, True)
    blocker.close()
    other.close()
    store.close()


def test_locked_new_database_is_busy_within_bounds(path: Path) -> None:
    """Switching an empty file to a log waits for its moment, and no longer than it may."""
    path.parent.mkdir()
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE; CREATE TABLE half (x)")
    with pytest.raises(Busy):
        SqliteStore.open(path, busy_ms=20)
    blocker.execute("ROLLBACK")
    blocker.close()
    SqliteStore.open(path).close()


def test_place_that_cannot_have_a_log(path: Path) -> None:
    """Where there is no shared memory, the store says so rather than go without a log."""
    with pytest.raises(CannotWrite) as caught:
        SqliteStore.open(path, vfs="unix-dotfile")
    assert "local disk" in caught.value.hint


def test_rollback_that_fails_asks_for_reopening(path: Path) -> None:
    """A handle that may be inside a transaction still does nothing more until it is reopened."""
    store = owned(SqliteStore.open(path))

    def fail(_cursor: object, sql: str, _bindings: object) -> bool:
        if sql == "ROLLBACK":
            raise apsw.IOError
        return True

    store._database.connection().exec_trace = fail
    heir = SqliteStore.open(path, is_alive=nobody_lives)
    owned(heir, who=BOB)
    with pytest.raises(Fenced):
        store.commit([commit()])
    with pytest.raises(StoreUnavailable):
        store.sessions.load("t")
    store.reopen()
    assert store.sessions.load("t") is None
    assert heir.commit([commit()]) == [Committed(revision=1)]
    heir.close()
    store.close()
    with pytest.raises(StoreClosed):
        store.reopen()


def test_owner_stopped_inside_a_transaction_is_replaced(
    path: Path, request: pytest.FixtureRequest
) -> None:
    """It holds SQLite's lock, so after expiry it is killed; its half transaction is not seen."""
    script = (
        "import os, signal, sys; from pathlib import Path;"
        "from goalfsm.store.sqlite import SqliteStore;"
        "from goalfsm.daemon.host.platform import own_identity;"
        "from tests.store.handles import commit;"
        "s = SqliteStore.open(Path(sys.argv[1]));"
        "s.owner.acquire(own_identity(), socket='', uptime_ms=0); s.commit([commit()]);"
        "db = s._database.connection(); db.execute('BEGIN IMMEDIATE; DELETE FROM journal');"
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)])
    request.addfinalizer(child.kill)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    heir = SqliteStore.open(path, busy_ms=1)
    early = heir.owner.acquire(own_identity(), socket="", uptime_ms=EXPIRY_MS - 1)
    assert isinstance(early, Held)
    assert early.locked
    assert not end_stalled(early)
    late = heir.owner.acquire(own_identity(), socket="", uptime_ms=EXPIRY_MS)
    assert isinstance(late, Held)
    assert end_stalled(late)
    child.wait(timeout=30)
    claimed = heir.owner.acquire(own_identity(), socket="", uptime_ms=EXPIRY_MS)
    assert isinstance(claimed, Acquired)
    assert claimed.epoch == 2
    assert len(heir.journal.read("t")) == 1
    heir.close()
