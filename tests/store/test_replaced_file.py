"""The SQLite store's file is no longer the one that was opened: deleted, moved, replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from goalfsm.errors import DatabaseReplaced, Fenced, StoreClosed
from goalfsm.store.port import Commit, Committed
from goalfsm.store.sqlite import SqliteStore, place
from tests.store.handles import commit, nobody_lives, owned


def asked(*, expected: int) -> Commit:
    """Return a commit that somebody outside is answered for."""
    return commit(expected=expected, inbox_id=f"asked-{expected}", reply=b"ok")


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
        store.commit([asked(expected=1)])
    with pytest.raises(DatabaseReplaced):
        store.commit([asked(expected=1)])
    with pytest.raises(DatabaseReplaced):
        store.sessions.load("t")


@pytest.mark.parametrize("harm", [_delete, _replace, _delete_log])
def test_harm_to_a_directory_that_was_quiet_is_noticed(
    path: Path, store: SqliteStore, harm: object
) -> None:
    """A directory in which nothing happened for long is not looked into, until something does."""
    os.utime(path.parent, (1, 1))
    for expected in range(1, 4):
        assert store.commit([asked(expected=expected)]) == [Committed(revision=expected + 1)]
    assert callable(harm)
    harm(path)
    with pytest.raises(DatabaseReplaced):
        store.commit([asked(expected=4)])


def test_changes_within_one_tick_are_noticed(path: Path, store: SqliteStore) -> None:
    """A directory that has just changed may change again without its time showing it."""
    soon = time.time() + 3_600
    os.utime(path.parent, (soon, soon))
    store.commit([asked(expected=1)])
    _replace(path)
    os.utime(path.parent, (soon, soon))
    with pytest.raises(DatabaseReplaced):
        store.commit([asked(expected=2)])


def test_commits_in_quick_succession_share_one_look(
    path: Path, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the next milliseconds are lost with the file as those before are; then it stops."""
    now = time.monotonic_ns()
    monkeypatch.setattr(place.time, "clock_gettime_ns", lambda _clock: now)
    store.commit([asked(expected=1)])
    _delete(path)
    assert store.commit([commit(expected=2)]) == [Committed(revision=3)]
    now += place.LOOK_EVERY_NS
    with pytest.raises(DatabaseReplaced):
        store.commit([commit(expected=3)])


@pytest.mark.parametrize("beside", [(), (commit("beside"),)], ids=["alone", "in a batch"])
def test_whoever_is_answered_shares_no_look(
    path: Path,
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    beside: tuple[Commit, ...],
) -> None:
    """However soon after the last look: what is said to be kept is in the file at the path."""
    now = time.monotonic_ns()
    monkeypatch.setattr(place.time, "clock_gettime_ns", lambda _clock: now)
    store.commit([commit(expected=1)])
    _delete(path)
    with pytest.raises(DatabaseReplaced):
        store.commit([*beside, asked(expected=2)])


def test_moved_directory_is_noticed_at_the_next_commit(path: Path, store: SqliteStore) -> None:
    """The database goes along; yet nobody finds it at its path, so nothing more is promised."""
    os.utime(path.parent, (1, 1))
    store.commit([asked(expected=1)])
    path.parent.rename(path.parent.with_name("moved"))
    with pytest.raises(DatabaseReplaced):
        store.commit([asked(expected=2)])
    store.close()
    moved = SqliteStore.open(path.parent.with_name("moved") / path.name, read_only=True)
    assert len(moved.journal.read("t")) >= 2
    moved.close()


def test_link_that_leads_elsewhere_is_noticed_at_the_next_commit(tmp_path: Path) -> None:
    """Those who look for the database by the name that was given find another one."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    store = owned(SqliteStore.open(link / "goals.db", is_alive=nobody_lives))
    store.commit([asked(expected=0)])
    link.unlink()
    link.symlink_to("two")
    with pytest.raises(DatabaseReplaced):
        store.commit([asked(expected=1)])
    store.close()


def test_directory_that_another_is_mounted_on_is_noticed_at_the_next_commit(
    path: Path, store: SqliteStore, tmp_path: Path
) -> None:
    """A mount hides the file from everybody who comes by its path."""
    other = tmp_path / "other"
    other.mkdir()
    done = subprocess.run(
        ["mount", "--bind", str(other), str(path.parent)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(DatabaseReplaced):
            store.commit([asked(expected=1)])
    finally:
        subprocess.run(["umount", "-l", str(path.parent)], check=True)


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
            store.commit([asked(expected=1)])
    store.close()
    with pytest.raises(StoreClosed):
        store.commit([asked(expected=1)])


def test_reopen_goes_on_when_the_file_is_back(path: Path, store: SqliteStore) -> None:
    """A file that was moved away and back loses nothing."""
    away = path.with_name("away")
    path.rename(away)
    with pytest.raises(DatabaseReplaced):
        store.commit([asked(expected=1)])
    away.rename(path)
    store.reopen()
    assert store.journal.find("t", "event-1") is not None
    present = store.journal.find("t", "event-2") is not None
    (outcome,) = store.commit([asked(expected=1)])
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
