"""Databases that others own or may write, or that have two names, are refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from goalfsm.daemon.host.platform import own_identity
from goalfsm.errors import UnsafeDatabase
from goalfsm.store.port import Acquired, Held
from goalfsm.store.sqlite import SqliteStore, place
from tests.store.files import filled
from tests.store.handles import BOB, commit, everybody_lives, nobody_lives, owned

root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
NOBODY = 65_534


def _refused(path: Path, words: str) -> None:
    for read_only in (False, True):
        with pytest.raises(UnsafeDatabase, match=words):
            SqliteStore.open(path, read_only=read_only)


@root
@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_file_of_another_user_is_refused(path: Path, suffix: str) -> None:
    """The programs that are stored in it would run with the rights of who opens it."""
    filled(path)
    beside = path.with_name(path.name + suffix)
    beside.touch()
    os.chown(beside, NOBODY, NOBODY)
    _refused(path, "belongs to")


@root
def test_directory_of_another_user_is_refused(path: Path) -> None:
    """Its owner may put another file there at any time."""
    filled(path)
    os.chown(path.parent, NOBODY, NOBODY)
    _refused(path, f"{path.parent} belongs to")


@pytest.mark.parametrize("mode", [0o777, 0o702])
def test_directory_that_others_may_write_is_refused(path: Path, mode: int) -> None:
    """So may everybody who may write there."""
    filled(path)
    path.parent.chmod(mode)
    _refused(path, "may be written by others")


def test_directory_where_nobody_takes_files_of_others_will_do(path: Path) -> None:
    """Each file in it is looked at."""
    filled(path)
    path.parent.chmod(0o1777)
    SqliteStore.open(path).close()
    path.chmod(0o602)
    _refused(path, "may be written by others")


def test_group_of_the_user_alone_may_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems give each user a group, and files that it may write; others' groups may not."""
    filled(path)
    path.parent.chmod(0o770)
    SqliteStore.open(path).close()
    monkeypatch.setattr("goalfsm.store.sqlite.safety._is_private_group", lambda _group: False)
    _refused(path, "may be written by others")


def test_links_beside_the_database_are_refused(path: Path, tmp_path: Path) -> None:
    """SQLite would write through them."""
    filled(path)
    path.with_name(path.name + "-wal").symlink_to(tmp_path / "elsewhere")
    _refused(path, "is not an ordinary file")


def test_file_with_two_names_is_refused(path: Path) -> None:
    """Each name would have a log of its own; a copy has one name."""
    filled(path)
    other = path.with_name("other.db")
    os.link(path, other)
    for name in (path, other):
        _refused(name, "2 names")
    other.unlink()
    SqliteStore.open(path).close()


def test_file_that_is_mounted_by_itself_is_refused(path: Path) -> None:
    """Its log is where it is mounted, and not beside the file."""
    filled(path)
    there = path.with_name("there x.db")
    there.touch(mode=0o600)
    done = subprocess.run(
        ["mount", "--bind", str(path), str(there)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        _refused(there, "mounted by itself")
    finally:
        subprocess.run(["umount", "-l", str(there)], check=True)


OWNS = (
    "import sys; from pathlib import Path; from goalfsm.store.sqlite import SqliteStore;"
    "from goalfsm.daemon.host.platform import own_identity;"
    "s = SqliteStore.open(Path(sys.argv[1]));"
    "print(s.owner.acquire(own_identity(), socket='', uptime_ms=0).epoch, flush=True);"
    "sys.stdin.read()"
)


@pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are Linux's")
def test_engine_that_has_the_file_by_another_name_keeps_others_out(path: Path) -> None:
    """Its row is in a log that this name does not show; a lock on the file is on the file."""
    SqliteStore.open(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", OWNS, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "1\n"
        # The row says what it would say under another name: nobody, or one who has died.
        store = SqliteStore.open(path, is_alive=nobody_lives)
        store._database.write(
            lambda cursor: cursor.execute("UPDATE owner SET pid = NULL"), owned=False
        )
        assert store.owner.acquire(BOB, socket="", uptime_ms=0) == Held(owner=None, silent_for_ms=0)
        child.kill()
        child.wait()
        assert isinstance(store.owner.acquire(BOB, socket="", uptime_ms=0), Acquired)
        store.close()


@pytest.mark.skipif(sys.platform != "linux", reason="locks of open files are Linux's")
def test_owner_of_another_boot_that_has_the_file_is_alive(path: Path) -> None:
    """What looks like an earlier boot of this machine may be another kernel beside this one."""
    SqliteStore.open(path).close()
    with subprocess.Popen(
        [sys.executable, "-c", OWNS, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        store = SqliteStore.open(path)
        store._database.write(
            lambda cursor: cursor.execute("UPDATE owner SET boot_id = 'another'"), owned=False
        )
        held = store.owner.acquire(own_identity(), socket="", uptime_ms=0)
        assert isinstance(held, Held)
        child.kill()
        child.wait()
        assert isinstance(store.owner.acquire(own_identity(), socket="", uptime_ms=0), Acquired)
        store.close()


def test_handles_of_one_process_do_not_keep_each_other_out(path: Path) -> None:
    """The lock is the process's; among its handles the row decides."""
    first = owned(SqliteStore.open(path, is_alive=nobody_lives))
    second = owned(SqliteStore.open(path, is_alive=nobody_lives), who=BOB)
    first.close()
    second.commit([commit()])
    second.close()
    file = path.stat()
    assert (file.st_dev, file.st_ino) not in place._uses


def test_reserve_is_not_written_through_a_link(path: Path, tmp_path: Path) -> None:
    """Space is set aside in a file of ours or not at all."""
    filled(path)
    reserve, elsewhere = path.with_name(path.name + "-reserve"), tmp_path / "elsewhere"
    reserve.unlink()
    elsewhere.write_bytes(b"mine")
    reserve.symlink_to(elsewhere)
    store = SqliteStore.open(path, is_alive=everybody_lives)
    assert not store.restore_reserve()
    store.close()
    reserve.unlink()
    os.link(elsewhere, reserve)
    store = SqliteStore.open(path)
    assert not store.restore_reserve()
    store.close()
    assert elsewhere.read_bytes() == b"mine"
    shutil.rmtree(path.parent)
