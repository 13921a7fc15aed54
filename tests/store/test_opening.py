"""What the SQLite store opens, creates and refuses."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import apsw
import psutil
import pytest

from goalfsm.errors import CannotWrite, NewerDatabase, NoDatabase, NotOurDatabase
from goalfsm.store.port import Committed
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from goalfsm.store.sqlite.spare import Reserve
from tests.store.files import filled, listing
from tests.store.handles import commit, owned


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_created_for_the_user_only(path: Path) -> None:
    """File, log, shared memory and reserve are 0600 and the directory 0700, whatever the umask."""
    before = os.umask(0)
    try:
        store = owned(SqliteStore.open(path))
        store.commit([commit()])
        assert _mode(path.parent) == 0o700
        modes = {entry.name: _mode(entry) for entry in path.parent.iterdir()}
        assert set(modes) == {"goals.db", "goals.db-wal", "goals.db-shm", "goals.db-reserve"}
        assert set(modes.values()) == {0o600}
        store.close()
    finally:
        os.umask(before)


def test_durable_settings(path: Path) -> None:
    """The connection that commits has the settings that durability rests on."""
    store = SqliteStore.open(path)
    settings = dict(store.facts().settings)
    assert settings["journal_mode"] == "wal"
    assert settings["synchronous"] == "2"
    assert settings["page_size"] == "4096"
    assert settings["wal_autocheckpoint"] == "0"
    store.close()


def test_header_names_the_program_and_the_version(path: Path) -> None:
    """Any SQLite tool can tell whose file it is."""
    SqliteStore.open(path).close()
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.pragma("application_id") == APPLICATION_ID
    assert db.pragma("user_version") == len(MIGRATIONS)
    strict = db.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table'")
    assert {name for name, flag in strict if not flag} == {"sqlite_schema", "sqlite_temp_schema"}
    db.close()


def test_missing_file_is_created_only_when_wanted(path: Path) -> None:
    """Without create, and read-only, a missing file is an error and nothing is created."""
    with pytest.raises(NoDatabase):
        SqliteStore.open(path, create=False)
    with pytest.raises(NoDatabase):
        SqliteStore.open(path, read_only=True)
    assert not path.parent.exists()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"hello", b"a text file\n" * 1000, b"SQLite format 3\0junk"])
def test_file_that_is_no_database(path: Path, content: bytes, *, read_only: bool) -> None:
    """Something else is refused and left exactly as it was."""
    path.parent.mkdir()
    path.write_bytes(content)
    before = listing(path)
    with pytest.raises(NotOurDatabase):
        SqliteStore.open(path, read_only=read_only)
    assert path.read_bytes() == content
    assert listing(path) == before


@pytest.mark.parametrize("read_only", [False, True])
def test_database_of_another_program(path: Path, *, read_only: bool) -> None:
    """An SQLite file without our application id is refused and left as it was."""
    path.parent.mkdir()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = listing(path)
    with pytest.raises(NotOurDatabase):
        SqliteStore.open(path, read_only=read_only)
    assert listing(path) == before


def test_empty_file_becomes_ours(path: Path) -> None:
    """A crash right after the file was created leaves an empty one."""
    path.parent.mkdir()
    path.touch(0o600)
    with pytest.raises(NoDatabase):
        SqliteStore.open(path, read_only=True)
    store = owned(SqliteStore.open(path))
    assert store.commit([commit()]) == [Committed(revision=1)]
    store.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_newer_database_is_left_alone(path: Path, *, read_only: bool) -> None:
    """A file that a later version migrated is refused, unchanged."""
    filled(path)
    db = apsw.Connection(str(path))
    db.pragma("user_version", len(MIGRATIONS) + 1)
    db.close()
    before = listing(path)
    with pytest.raises(NewerDatabase) as caught:
        SqliteStore.open(path, read_only=read_only)
    assert "Upgrade" in caught.value.hint
    assert listing(path) == before


def test_directory_in_place_of_the_file(tmp_path: Path) -> None:
    """A directory is refused with a hint."""
    with pytest.raises(CannotWrite):
        SqliteStore.open(tmp_path)


def test_file_in_place_of_the_directory(tmp_path: Path) -> None:
    """A path through a file is refused."""
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite):
        SqliteStore.open(tmp_path / "file" / "goals.db")


@pytest.fixture
def read_only_mount(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system that is mounted read-only."""
    target = tmp_path / "ro"
    target.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(target)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("mounting needs root")
    yield target
    subprocess.run(["umount", "--lazy", str(target)], check=True)


def test_read_only_file_system(read_only_mount: Path) -> None:
    """Creating a database where nothing can be written says so."""
    with pytest.raises(CannotWrite) as caught:
        SqliteStore.open(read_only_mount / "goals.db")
    assert str(read_only_mount) in str(caught.value)


def test_database_on_a_read_only_file_system(path: Path, read_only_mount: Path) -> None:
    """It cannot be opened for writing, but can be read."""
    filled(path)
    subprocess.run(["mount", "-o", "remount,rw", str(read_only_mount)], check=True)
    there = read_only_mount / "goals.db"
    there.write_bytes(path.read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", str(read_only_mount)], check=True)
    with pytest.raises(CannotWrite):
        SqliteStore.open(there)
    reader = SqliteStore.open(there, read_only=True)
    assert len(reader.sessions.threads()) == 3
    reader.close()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("name", ["loop", "x" * 300, "x" * 250])
def test_where_no_database_can_be_that_is_said(
    tmp_path: Path, name: str, *, read_only: bool
) -> None:
    """A link to itself, a name that is too long, and one that is too long for the log's."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(CannotWrite, match="there can be no database at") as refused:
        SqliteStore.open(tmp_path / name, read_only=read_only)
    assert refused.value.hint == "Name another path."
    store = SqliteStore.open(tmp_path / "a.db")
    with pytest.raises(CannotWrite):
        store.backup(tmp_path / name)
    store.close()
    assert {each.name for each in tmp_path.iterdir()} <= {"loop", "a.db", "a.db-reserve"}


def test_a_user_whom_nobody_knows_is_a_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore.open("~nobody-has-this-name/a.db")
    assert store.path == tmp_path / "~nobody-has-this-name" / "a.db"
    store.close()


def test_a_database_whose_opening_fails_at_the_end_is_closed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Reserve) -> bool:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Reserve, "restore", broken)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        SqliteStore.open(path)
    assert [each for each in psutil.Process().open_files() if each.path == str(path)] == []
