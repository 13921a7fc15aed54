"""The SQLite store's file while it is in use: replaced, full, copied, its log growing."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from goalfsm.errors import (
    Busy,
    CannotWrite,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    OutcomeUnknown,
    StoreClosed,
)
from goalfsm.store.port import Claimed, Committed, Effect, Store
from goalfsm.store.sqlite import SqliteStore, checkpoint, place
from goalfsm.store.sqlite.database import Database
from tests.store.faulty_vfs import Fault, FaultyVfs
from tests.store.handles import BOB, commit, everybody_lives, nobody_lives, owned


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database goes."""
    return tmp_path / "state" / "goals.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Return an owning handle with one commit in it."""
    store = SqliteStore.open(path, is_alive=nobody_lives)
    owned(store)
    store.commit([commit()])
    yield store
    store.close()


# --- the file is no longer the one that was opened


@pytest.fixture(autouse=True)
def looking_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the file's place with every commit, however soon it follows the one before."""
    monkeypatch.setattr(place, "LOOK_EVERY_NS", 0)


def _delete(path: Path) -> None:
    path.unlink()


def _replace(path: Path) -> None:
    copy = path.with_name("other")
    shutil.copy(path, copy)
    copy.rename(path)


def _delete_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize("harm", [_delete, _replace, _delete_log])
def test_commit_into_a_replaced_file_is_not_acknowledged(
    path: Path, store: SqliteStore, harm: object
) -> None:
    """Writing goes on into a file that nobody finds: the commit raises, and so does every other."""
    assert callable(harm)
    harm(path)
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=1)])
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=1)])
    with pytest.raises(DatabaseReplaced):
        store.sessions.load("t")


@pytest.mark.parametrize("harm", [_delete, _replace, _delete_log])
def test_harm_to_a_directory_that_was_quiet_is_noticed(
    path: Path, store: SqliteStore, harm: object
) -> None:
    """A directory in which nothing happened for long is not looked into, until something does."""
    os.utime(path.parent, (1, 1))
    for expected in range(1, 4):
        assert store.commit([commit(expected=expected)]) == [Committed(revision=expected + 1)]
    assert callable(harm)
    harm(path)
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=4)])


def test_changes_within_one_tick_are_noticed(path: Path, store: SqliteStore) -> None:
    """A directory that has just changed may change again without its time showing it."""
    soon = time.time() + 3_600
    os.utime(path.parent, (soon, soon))
    store.commit([commit(expected=1)])
    _replace(path)
    os.utime(path.parent, (soon, soon))
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=2)])


def test_commits_in_quick_succession_share_one_look(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the next milliseconds are lost with the file as those before are; then it stops."""
    now = time.monotonic_ns()
    monkeypatch.setattr(place, "LOOK_EVERY_NS", 10_000_000)
    monkeypatch.setattr(place.time, "clock_gettime_ns", lambda _clock: now)
    store.commit([commit(expected=1)])
    _delete(path)
    assert store.commit([commit(expected=2)]) == [Committed(revision=3)]
    now += 10_000_000
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=3)])


def test_moved_directory_is_noticed_at_the_next_heartbeat(path: Path, store: SqliteStore) -> None:
    """The database goes along, so commits lose nothing; yet nobody finds it at its path."""
    os.utime(path.parent, (1, 1))
    store.commit([commit(expected=1)])
    path.parent.rename(path.parent.with_name("moved"))
    assert store.commit([commit(expected=2)]) == [Committed(revision=3)]
    with pytest.raises(DatabaseReplaced):
        store.owner.heartbeat(uptime_ms=1)
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=3)])
    store.close()
    moved = SqliteStore.open(path.parent.with_name("moved") / path.name, read_only=True)
    assert len(moved.journal.read("t")) >= 3
    moved.close()


def test_handles_leave_no_descriptor(path: Path) -> None:
    """Opening, refusing, reopening and closing give everything back."""
    owned(SqliteStore.open(path)).close()
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for _ in range(5):
        store = owned(SqliteStore.open(path, is_alive=nobody_lives))
        keeper = store.checkpointer()
        assert keeper is not None
        keeper.run()
        store.reopen()
        store.backup(path.with_name("copy.db"))
        path.with_name("copy.db").unlink()
        store.integrity()
        store.close()
        keeper.close()
        SqliteStore.open(path, read_only=True).close()
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


@pytest.mark.parametrize("harm", [_delete, _replace])
def test_reopen_refuses_another_file(path: Path, store: SqliteStore, harm: object) -> None:
    """The handle does not go on in a file that is not its own; close is still possible."""
    assert callable(harm)
    harm(path)
    for _ in range(2):
        with pytest.raises((DatabaseReplaced, Fenced)):
            store.reopen()
        with pytest.raises(DatabaseReplaced):
            store.commit([commit(expected=1)])
    store.close()
    with pytest.raises(StoreClosed):
        store.commit([commit(expected=1)])


def test_reopen_goes_on_when_the_file_is_back(path: Path, store: SqliteStore) -> None:
    """A file that was moved away and back loses nothing."""
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=1)])
    away.rename(path)
    store.reopen()
    assert store.journal.find("t", "event-1") is not None
    present = store.journal.find("t", "event-2") is not None
    (outcome,) = store.commit([commit(expected=1)])
    assert isinstance(outcome, Committed) is not present


def test_closing_leaves_the_log_of_the_new_file(path: Path, store: SqliteStore) -> None:
    """After a replacement the log at the path is another database's: it is not deleted."""
    keeper = store.checkpointer()
    assert keeper is not None
    assert keeper.run()
    path.with_name("goals.db-wal").rename(path.with_name("away-wal"))
    path.with_name("goals.db-shm").unlink()
    path.rename(path.with_name("away"))
    other = owned(SqliteStore.open(path, is_alive=nobody_lives))
    other.commit([commit("other")])
    log = path.with_name("goals.db-wal").stat()
    keeper.close()
    store.close()
    assert path.with_name("goals.db-wal").stat().st_ino == log.st_ino
    assert other.commit([commit("other", expected=1)]) == [Committed(revision=2)]
    other.close()
    again = SqliteStore.open(path, read_only=True)
    assert [row.revision for row in again.sessions.threads()] == [2]
    again.close()


def test_reader_of_a_replaced_file(path: Path, store: SqliteStore) -> None:
    """A read-only handle says so, too, rather than show an old state for ever."""
    reader = SqliteStore.open(path, read_only=True)
    assert reader.sessions.load("t") is not None
    _replace(path)
    with pytest.raises(DatabaseReplaced):
        reader.sessions.load("t")
    reader.close()
    assert store.path == path


# --- a full disk


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
    assert store.facts().reserve == 1024 * 1024
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


# --- backup


def test_backup_is_a_whole_database_of_its_own(path: Path, store: SqliteStore) -> None:
    """The copy holds what was committed, is 0600, has no log and no owner."""
    store.commit([commit(expected=1, outbox=(Effect(key="k", kind="K"),)), commit("u")])
    target = path.parent / "copy.db"
    store.backup(target)
    names = {entry.name for entry in path.parent.iterdir()}
    assert {name for name in names if "copy" in name} == {"copy.db"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    store.commit([commit("later")])

    copy = SqliteStore.open(target, is_alive=everybody_lives)
    assert [row.thread_id for row in copy.sessions.threads()] == ["t", "u"]
    assert copy.integrity() == ()
    assert [effect.key for effect in copy.outbox.open()] == ["k"]
    assert copy.owner.current() is None
    claimed = copy.owner.claim(BOB, socket="", uptime_ms=0)
    assert isinstance(claimed, Claimed)
    assert claimed.epoch == 2
    copy.close()


def test_backup_overwrites_nothing(path: Path, store: SqliteStore) -> None:
    """A path that exists is refused, whatever it is."""
    target = path.parent / "mine"
    target.write_bytes(b"precious")
    with pytest.raises(CannotWrite):
        store.backup(target)
    assert target.read_bytes() == b"precious"
    with pytest.raises(CannotWrite):
        store.backup(path.parent / "no" / "such" / "directory")


def test_backup_that_is_overtaken(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that somebody else puts there meanwhile stays, and no part of ours does."""
    target = path.parent / "copy.db"

    def link(_part: Path, _target: Path) -> None:
        target.write_bytes(b"theirs")
        raise FileExistsError

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(CannotWrite):
        store.backup(target)
    assert target.read_bytes() == b"theirs"
    assert [entry.name for entry in path.parent.iterdir() if "part" in entry.name] == []


def test_backup_from_a_read_only_handle(path: Path, store: SqliteStore) -> None:
    """A copy needs no ownership; it also works on a database at rest."""
    store.close()
    reader = SqliteStore.open(path, read_only=True)
    reader.backup(path.parent / "copy.db")
    reader.close()
    copy = SqliteStore.open(path.parent / "copy.db", read_only=True)
    assert copy.sessions.load("t") is not None
    copy.close()


# --- the log


def _grow(store: SqliteStore, frames: int, thread: str = "grow") -> int:
    stored = store.sessions.load(thread)
    revision = 0 if stored is None else stored.revision
    begin = revision
    while (store.facts().wal_frames or 0) < frames:
        store.commit([commit(thread, expected=revision, state=os.urandom(40_000))])
        revision += 1
        assert revision - begin < 2_000, "the log does not grow"
    return revision


def test_commit_checkpoints_by_itself(store: SqliteStore) -> None:
    """A handle that nobody runs a checkpointer for keeps its log short."""
    for revision in range(400):
        store.commit([commit("grow", expected=revision, state=os.urandom(40_000))])
    facts = store.facts()
    assert facts.wal_frames is not None
    assert facts.wal_frames <= checkpoint.CHECKPOINT_FRAMES
    assert facts.wal_size is not None
    assert facts.wal_size < 3 * checkpoint.CHECKPOINT_FRAMES * 4096


def test_checkpointer_lets_the_log_start_over(path: Path, store: SqliteStore) -> None:
    """After a run without commits beside it the next commit is written at the log's beginning."""
    keeper = store.checkpointer()
    assert keeper is not None
    _grow(store, 1_500)
    assert keeper.backlog() >= 1_500
    assert keeper.run()
    assert keeper.backlog() == 0
    store.commit([commit("after")])
    assert 0 < keeper.backlog() < 20
    assert path.with_name("goals.db-wal").stat().st_size > 1_500 * 4096
    keeper.close()
    with pytest.raises(StoreClosed):
        keeper.run()


def test_reader_holds_the_log_back_only_while_it_reads(path: Path, store: SqliteStore) -> None:
    """Under a long reader the log grows and nothing fails; afterwards it starts over."""
    keeper = store.checkpointer()
    assert keeper is not None
    reader = apsw.Connection(str(path))
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM journal").fetchall()
    _grow(store, 1_200)
    assert not keeper.run()
    held_back = _grow(store, 2_400)
    assert reader.execute("SELECT count(*) FROM journal").fetchall() == before
    assert keeper.backlog() >= 2_400
    reader.execute("COMMIT")
    assert keeper.run()
    store.commit([commit("grow", expected=held_back)])
    assert keeper.backlog() < 20
    reader.close()
    keeper.close()


def test_checkpoint_that_knows_of_no_log_is_no_success(path: Path, store: SqliteStore) -> None:
    """A connection that never read moves nothing, and SQLite does not call that an error."""
    _grow(store, 100)
    stranger = apsw.Connection(str(path))
    with pytest.raises(Busy):
        checkpoint.move(stranger, store._database)
    stranger.close()
    assert (store.facts().wal_frames or 0) >= 100


def test_commits_do_not_all_try_a_log_that_is_held_back(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a reader is in the way the committing handle tries less and less often."""
    tried: list[int] = []

    def held_back(_db: object, database: Database) -> bool:
        tried.append(database.log_frames())
        return False

    monkeypatch.setattr(checkpoint, "CHECKPOINT_FRAMES", 100)
    monkeypatch.setattr(checkpoint, "move", held_back)
    store._inline = checkpoint.InlineCheckpoint(store._database)
    _grow(store, 1_000)
    assert len(tried) == 4
    assert all(later >= 2 * earlier for earlier, later in itertools.pairwise(tried))


def test_log_that_grew_very_large_is_cut(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its space goes back to the disk once nothing needs it."""
    monkeypatch.setattr(checkpoint, "_TRUNCATE_BYTES", 1024 * 1024)
    keeper = store.checkpointer()
    assert keeper is not None
    _grow(store, 600)
    log = path.with_name("goals.db-wal")
    assert log.stat().st_size > 1024 * 1024
    assert keeper.run()
    assert log.stat().st_size == 0
    assert store.commit([commit("after")]) == [Committed(revision=1)]
    keeper.close()


def test_pruned_numbers_are_not_given_out_again(store: SqliteStore) -> None:
    """A page that begins after a number never skips a later row."""
    store.commit([commit("a", inbox_id="in-1"), commit("b", inbox_id="in-2")])
    store.commit([commit("c", outbox=(Effect(key="k1", kind="K"),), outbox_done=("k1",))])
    store.prune(before_ms=10**6)
    store.inbox.put("in-3", "t", at_ms=1, event=b"x")
    store.commit([commit("d", outbox=(Effect(key="k2", kind="K"),))])
    (row,) = store.inbox.pending()
    (effect,) = store.outbox.open()
    assert row.seq > 2
    assert effect.seq > 1


def test_close_leaves_one_file(path: Path, store: SqliteStore) -> None:
    """The last one out moves the log into the database."""
    store.close()
    assert {entry.name for entry in path.parent.iterdir()} == {"goals.db", "goals.db-reserve"}
