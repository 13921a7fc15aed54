"""How the SQLite store's database gets from version to version, whatever stops it halfway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from goalfsm.errors import OlderDatabase
from goalfsm.store.port import Committed
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.migrations import MIGRATIONS
from tests.store.files import filled, listing
from tests.store.handles import commit, everybody_lives, nobody_lives, owned


def _m002(db: apsw.Connection) -> None:
    db.execute("ALTER TABLE worker ADD COLUMN note TEXT")


def _m003(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE extra (x INTEGER) STRICT")


class _Boom(Exception):
    """The process dies here."""


def _dies(db: apsw.Connection) -> None:
    db.execute("CREATE TABLE half (x INTEGER) STRICT")
    raise _Boom


def test_migrations_are_applied_in_order_and_once(path: Path) -> None:
    """An older file is taken to the newest version with its data."""
    filled(path)
    newer = (*MIGRATIONS, _m002, _m003)
    for _ in range(2):
        store = SqliteStore.open(path, migrations=newer, is_alive=nobody_lives)
        assert store.facts().schema_version == len(MIGRATIONS) + 2
        assert len(store.sessions.threads()) == 3
        store.close()


def test_crash_in_a_migration_keeps_the_steps_before(path: Path) -> None:
    """Each step is a transaction: the next start goes on from the last whole one."""
    filled(path)
    with pytest.raises(_Boom):
        SqliteStore.open(path, migrations=(*MIGRATIONS, _m002, _dies), is_alive=nobody_lives)
    db = apsw.Connection(str(path))
    assert db.pragma("user_version") == len(MIGRATIONS) + 1
    assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").fetchall() == [(0,)]
    db.close()
    store = SqliteStore.open(path, migrations=(*MIGRATIONS, _m002, _m003), is_alive=nobody_lives)
    assert len(store.sessions.threads()) == 3
    store.close()


def test_crash_in_the_first_migration(path: Path) -> None:
    """A file without a schema is begun anew."""
    with pytest.raises(_Boom):
        SqliteStore.open(path, migrations=(_dies,))
    store = owned(SqliteStore.open(path))
    assert store.commit([commit()]) == [Committed(revision=1)]
    store.close()


def test_reader_reads_an_older_file_and_does_not_migrate_it(path: Path) -> None:
    """Whoever only looks needs no room on the disk and changes nothing."""
    filled(path)
    before = listing(path)
    store = SqliteStore.open(path, read_only=True, migrations=(*MIGRATIONS, _m002))
    assert len(store.sessions.threads()) == 3
    store.close()
    assert listing(path) == before


@pytest.mark.parametrize("version", range(2, len(MIGRATIONS)))
def test_reader_finds_the_owner_of_every_older_version(path: Path, version: int) -> None:
    """What that version does not know of it is left out."""
    SqliteStore.open(path, migrations=MIGRATIONS[:version]).close()
    db = apsw.Connection(str(path))
    db.execute("UPDATE owner SET epoch = 1, pid = 7, uptime_ms = 5")
    db.close()
    store = SqliteStore.open(path, read_only=True, is_alive=nobody_lives)
    owner = store.owner.current()
    store.close()
    assert owner is not None
    assert (owner.identity.pid, owner.uptime_ms, owner.seen_ms, owner.resting) == (7, 5, 0, False)


def test_no_migration_under_a_living_owner(path: Path) -> None:
    """A new version does not change the schema that an older daemon is using."""
    store = owned(SqliteStore.open(path))
    with pytest.raises(OlderDatabase):
        SqliteStore.open(path, migrations=(*MIGRATIONS, _m002), is_alive=everybody_lives)
    assert store.commit([commit()]) == [Committed(revision=1)]
    SqliteStore.open(path, migrations=(*MIGRATIONS, _m002), is_alive=nobody_lives).close()
    store.close()


def test_many_processes_create_at_once(path: Path) -> None:
    """All of them open the same database; one of them becomes the owner."""
    script = (
        "import sys; from pathlib import Path; from goalfsm.store.sqlite import SqliteStore;"
        "from goalfsm.daemon.host.platform import own_identity;"
        "s = SqliteStore.open(Path(sys.argv[1]), busy_ms=30000);"
        "print(type(s.owner.acquire(own_identity(), socket='', uptime_ms=0)).__name__,"
        " flush=True);"
        "sys.stdin.read()"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    answers = []
    for child in children:
        assert child.stdout is not None
        answers.append(child.stdout.readline().strip())
    for child in children:
        child.communicate("", timeout=60)
    assert sorted(answers) == ["Acquired", "Held", "Held", "Held"]
