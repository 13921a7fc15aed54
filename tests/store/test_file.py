"""The SQLite store's file while it is in use: copied, its log growing, its rows pruned."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
from pathlib import Path

import apsw
import pytest

from goalfsm.errors import Busy, CannotWrite, StoreClosed
from goalfsm.store.port import Acquired, Committed, Effect
from goalfsm.store.sqlite import SqliteStore, checkpoint
from goalfsm.store.sqlite.commits import Commits
from goalfsm.store.sqlite.database import Database
from tests.store.handles import BOB, commit, everybody_lives

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
    claimed = copy.owner.acquire(BOB, socket="", uptime_ms=0)
    assert isinstance(claimed, Acquired)
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


def test_backup_removes_what_killed_ones_have_left(path: Path, store: SqliteStore) -> None:
    """And nothing of one that is still being written, or of another program."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    left = path.parent / f".old.db.{ended.pid}.goalfsm-part"
    others = [
        path.parent / name
        for name in (f".now.db.{os.getppid()}.goalfsm-part", "x.12.part", ".x.goalfsm-part")
    ]
    for file in (left, *others):
        file.write_bytes(b"half")
    store.backup(path.parent / "copy.db")
    assert not left.exists()
    assert all(file.exists() for file in others)


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
    store.commit = Commits(store._database)
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
