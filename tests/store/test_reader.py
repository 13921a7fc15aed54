"""A read-only handle on the SQLite store leaves no trace and trusts nothing that changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from goalfsm.errors import Busy
from goalfsm.store.port import Committed
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.reader import ReadOnlyDatabase
from tests.store.files import filled, listing
from tests.store.handles import commit, nobody_lives, owned


def test_reader_leaves_no_trace(path: Path) -> None:
    """Reading a database that nobody has open creates and changes no file."""
    filled(path)
    before = listing(path)
    reader = SqliteStore.open(path, read_only=True)
    assert len(reader.sessions.threads()) == 3
    assert reader.integrity() == ()
    assert reader.facts().threads == 3
    assert reader.owner.current() is not None
    reader.close()
    assert listing(path) == before


def test_reader_notices_a_writer_that_comes_and_goes(path: Path) -> None:
    """A reader of a database at rest sees what was written since, with and without a log."""
    filled(path)
    reader = SqliteStore.open(path, read_only=True)
    assert len(reader.sessions.threads()) == 3
    writer = owned(SqliteStore.open(path, is_alive=nobody_lives))
    writer.commit([commit("new")])
    assert len(reader.sessions.threads()) == 4
    writer.commit([commit("newer")])
    assert len(reader.sessions.threads()) == 5
    writer.close()
    again = SqliteStore.open(path, read_only=True)
    assert len(again.sessions.threads()) == 5
    again.close()
    reader.close()


def test_reader_at_rest_sees_a_writer_that_is_gone(path: Path) -> None:
    """The writer's log is gone again when the reader looks; what it wrote is seen."""
    filled(path)
    reader = SqliteStore.open(path, read_only=True)
    assert len(reader.sessions.threads()) == 3
    writer = owned(SqliteStore.open(path, is_alive=nobody_lives))
    writer.commit([commit("new")])
    writer.close()
    assert not path.with_name("goals.db-wal").exists()
    assert len(reader.sessions.threads()) == 4
    reader.close()


def test_reader_does_not_trust_what_changed_under_it(path: Path) -> None:
    """A writer that comes and goes between the look at the file and the read is noticed after."""
    filled(path)
    reader = SqliteStore.open(path, read_only=True)
    assert len(reader.sessions.threads()) == 3
    came: list[int] = []

    def somebody_writes(_cursor: object, _sql: str, _bindings: object) -> bool:
        if not came:
            came.append(1)
            writer = owned(SqliteStore.open(path, is_alive=nobody_lives))
            writer.commit([commit("new")])
            writer.close()
        return True

    reader._database.connection().exec_trace = somebody_writes
    assert len(reader.sessions.threads()) == 4
    assert came
    reader.close()


def test_reader_of_a_file_that_keeps_changing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is never twice the same is not shown at all."""
    filled(path)
    reader = SqliteStore.open(path, read_only=True)
    monkeypatch.setattr(ReadOnlyDatabase, "_moved", lambda _self: True)
    with pytest.raises(Busy):
        SqliteStore.open(path, read_only=True)
    with pytest.raises(Busy):
        reader.sessions.threads()
    reader.close()


def test_reader_finds_what_a_crash_left_in_the_log(path: Path) -> None:
    """Commits that were never checkpointed are read from the log of the dead process."""
    script = (
        "import os, sys; from pathlib import Path; from goalfsm.store.sqlite import SqliteStore;"
        "from tests.store.handles import commit, owned;"
        "s = owned(SqliteStore.open(Path(sys.argv[1]))); s.commit([commit()]); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60)
    reader = SqliteStore.open(path, read_only=True)
    assert reader.sessions.load("t") is not None
    reader.close()
    heir = owned(SqliteStore.open(path, is_alive=nobody_lives))
    assert heir.commit([commit(expected=1)]) == [Committed(revision=2)]
    heir.close()
