"""A disk without room for the SQLite store's file, or that is read-only, and the reserve."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from goalfsm.daemon.guards.ownership import acquire
from goalfsm.daemon.host.platform import LocalPlatform
from goalfsm.errors import DiskFull, OutcomeUnknown
from goalfsm.store.port import Committed, Store
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite import SqliteStore
from tests.store.faulty_vfs import Fault, FaultyVfs
from tests.store.handles import commit, nobody_lives, owned
from tests.store.pumping import submit


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system of 4 MB."""
    target = tmp_path / "small"
    target.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)],
        capture_output=True,
        check=False,
    )
    if made.returncode:
        pytest.skip("mounting a small file system needs root")
    yield target
    subprocess.run(["umount", "--lazy", str(target)], check=True)


def _commit_until_full(store: Store) -> int:
    """Return how many commits there was room for."""
    committed = 0
    while True:
        try:
            store.commit([commit(expected=committed, state=os.urandom(100_000))])
        except DiskFull:
            return committed
        committed += 1


def _fill(path: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_full_disk_leaves_room_for_last_words(small_disk: Path) -> None:
    """At ENOSPC nothing is lost; the reserve lets a few commits through; then it fills again.

    When there is room the store goes on, and the reserve is set aside again.
    """
    store = owned(SqliteStore.open(small_disk / "goals.db"))
    reserve = store.facts().reserve
    assert reserve is not None
    assert 900_000 < reserve <= 1024 * 1024
    committed = _commit_until_full(store)
    assert committed > 5
    stored = store.sessions.load("t")
    assert stored is not None
    assert stored.revision == committed

    assert store.release_reserve()
    assert store.facts().wal_frames == 0
    assert store.commit([commit(expected=committed, status="paused")]) == [
        Committed(revision=committed + 1)
    ]
    assert not store.release_reserve()
    _fill(small_disk / "ballast")
    assert not store.restore_reserve()
    assert store.facts().reserve == 0
    with pytest.raises(DiskFull):
        store.commit([commit("u", state=os.urandom(6_000_000))])
    with pytest.raises(DiskFull):
        store.backup(small_disk / "copy.db")
    assert sorted(entry.name for entry in small_disk.iterdir() if "copy" in entry.name) == []

    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    assert store.restore_reserve()
    assert store.facts().reserve == 1024 * 1024
    assert store.commit([commit("u")]) == [Committed(revision=1)]
    assert store.integrity() == ()
    store.close()
    again = SqliteStore.open(small_disk / "goals.db", read_only=True)
    assert [row.revision for row in again.sessions.threads()] == [committed + 1, 1]
    again.close()


def test_log_does_not_fill_a_small_disk(small_disk: Path) -> None:
    """Far more goes through the log than the disk holds; nothing else is written there."""
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    store = owned(SqliteStore.open(small_disk / "goals.db"))

    async def work() -> None:
        pump = Pump(store)
        for expected in range(2_000):
            outcome = await submit(pump, commit(expected=expected, state=os.urandom(3_000)))
            assert outcome == Committed(revision=expected + 1)
        await pump.close()
        assert pump.checkpoint_error is None
        assert pump.stats.checkpoints > 3

    asyncio.run(work())
    assert store.integrity() == ()
    store.close()


def test_checkpoints_inside_commits_leave_room_too(small_disk: Path) -> None:
    """A command without an engine moves the log itself."""
    store = owned(SqliteStore.open(small_disk / "goals.db"))
    for expected in range(2_000):
        store.commit([commit(expected=expected, state=os.urandom(3_000))])
    assert store.facts().wal_size is not None
    assert (store.facts().wal_size or 0) < 2 * 1024 * 1024
    store.close()


def test_reserve_leaves_room_on_a_small_disk(small_disk: Path) -> None:
    """It takes a quarter of what is free at most."""
    (small_disk / "ballast").write_bytes(bytes(3 * 1024 * 1024))
    store = SqliteStore.open(small_disk / "goals.db")
    reserve = store.facts().reserve
    assert reserve is not None
    assert 64 * 1024 <= reserve <= 256 * 1024
    store.close()


def test_file_that_becomes_read_only(path: Path) -> None:
    """It is noticed at the commit, so its outcome is settled by reopening; then commits go on."""
    vfs = FaultyVfs()
    store = owned(SqliteStore.open(path, vfs=vfs.name, reserve_bytes=0))
    store.commit([commit()])
    vfs.fault = Fault(kind="write", at=vfs.counts["write"] + 1, code=apsw.SQLITE_READONLY)
    with pytest.raises(OutcomeUnknown):
        store.commit([commit(expected=1)])
    store.reopen()
    stored = store.sessions.load("t")
    assert stored is not None
    assert stored.revision == 1
    assert store.commit([commit(expected=1)]) == [Committed(revision=2)]
    store.close()


def test_reserve_takes_real_space(path: Path, store: SqliteStore) -> None:
    """The reserve is no hole in a file, and gives everything back."""
    reserve = path.with_name("goals.db-reserve")
    assert reserve.stat().st_blocks * 512 >= 1024 * 1024
    assert store.release_reserve()
    assert reserve.stat().st_blocks == 0
    assert not store.release_reserve()
    assert store.restore_reserve()
    assert store.restore_reserve()
    assert reserve.stat().st_size == 1024 * 1024


def test_reserve_without_fallocate(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where space cannot be allocated it is written, and is as real."""
    monkeypatch.delattr(os, "posix_fallocate")
    store = SqliteStore.open(path)
    assert path.with_name("goals.db-reserve").stat().st_blocks * 512 >= 1024 * 1024
    store.close()


def test_reserve_that_cannot_be_kept_is_no_reason_to_refuse(path: Path) -> None:
    """Without a reserve the store works; doctor shows that there is none."""
    path.parent.mkdir()
    path.with_name("goals.db-reserve").mkdir()
    store = owned(SqliteStore.open(path))
    assert store.commit([commit()]) == [Committed(revision=1)]
    assert not store.restore_reserve()
    store.close()


def test_what_a_failed_opening_left_on_a_full_disk_is_read(small_disk: Path) -> None:
    """An empty log whose index has no room keeps nobody from looking, or from taking a copy."""
    path = small_disk / "goals.db"
    store = owned(SqliteStore.open(path))
    store.commit([commit(expected=0)])
    store.close()
    path.with_name("goals.db-reserve").unlink()
    _fill(small_disk / "filler")
    with pytest.raises(DiskFull):
        SqliteStore.open(path)
    assert path.with_name("goals.db-wal").exists()
    reader = SqliteStore.open(path, read_only=True)
    stored = reader.sessions.load("t")
    assert stored is not None
    assert stored.revision == 1
    copy = small_disk.parent / "copy.db"
    reader.backup(copy)
    reader.close()
    reader = SqliteStore.open(copy, read_only=True)
    assert reader.sessions.load("t") == stored
    reader.close()


def test_an_owner_killed_on_a_full_disk_is_followed_by_another(small_disk: Path) -> None:
    """Its log has filled the disk; what was set aside is there to begin with."""
    path = small_disk / "goals.db"
    killed = owned(SqliteStore.open(path, is_alive=nobody_lives))
    killed.checkpointer()  # nobody moves the log
    _commit_until_full(killed)
    _fill(small_disk / "filler")
    store = SqliteStore.open(path, is_alive=nobody_lives)
    asyncio.run(acquire(store, LocalPlatform(), socket=""))
    store.owner.confirm()
    store.close()
    killed.close()
