"""What the SQLite store opens, creates, migrates and refuses."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from goalfsm.errors import (
    Busy,
    CannotWrite,
    Corrupt,
    Fenced,
    NewerDatabase,
    NoDatabase,
    NotOurDatabase,
    OlderDatabase,
    StoreClosed,
    StoreUnavailable,
)
from goalfsm.store.owner import end_stalled
from goalfsm.store.port import EXPIRY_MS, Claimed, Committed, Effect, Held, Identity, Refused
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.migrations import APPLICATION_ID, MIGRATIONS
from goalfsm.store.sqlite.reader import ReadOnlyDatabase
from tests.store.handles import ALICE, BOB, commit, everybody_lives, nobody_lives, owned


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database goes, in a directory that does not exist."""
    return tmp_path / "state" / "goals.db"


def _listing(path: Path) -> dict[str, tuple[int, int, int]]:
    return {
        entry.name: (found.st_size, found.st_mtime_ns, found.st_ino)
        for entry in path.parent.iterdir()
        if (found := entry.stat())
    }


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _filled(path: Path, threads: int = 3) -> None:
    store = owned(SqliteStore.open(path, is_alive=nobody_lives))
    store.commit([commit(f"t{n}", state=bytes(2_000)) for n in range(threads)])
    store.close()


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
    before = _listing(path)
    with pytest.raises(NotOurDatabase):
        SqliteStore.open(path, read_only=read_only)
    assert path.read_bytes() == content
    assert _listing(path) == before


@pytest.mark.parametrize("read_only", [False, True])
def test_database_of_another_program(path: Path, *, read_only: bool) -> None:
    """An SQLite file without our application id is refused and left as it was."""
    path.parent.mkdir()
    db = apsw.Connection(str(path))
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = _listing(path)
    with pytest.raises(NotOurDatabase):
        SqliteStore.open(path, read_only=read_only)
    assert _listing(path) == before


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
    _filled(path)
    db = apsw.Connection(str(path))
    db.pragma("user_version", len(MIGRATIONS) + 1)
    db.close()
    before = _listing(path)
    with pytest.raises(NewerDatabase) as caught:
        SqliteStore.open(path, read_only=read_only)
    assert "Upgrade" in caught.value.hint
    assert _listing(path) == before


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
    _filled(path)
    subprocess.run(["mount", "-o", "remount,rw", str(read_only_mount)], check=True)
    there = read_only_mount / "goals.db"
    there.write_bytes(path.read_bytes())
    subprocess.run(["mount", "-o", "remount,ro", str(read_only_mount)], check=True)
    with pytest.raises(CannotWrite):
        SqliteStore.open(there)
    reader = SqliteStore.open(there, read_only=True)
    assert len(reader.sessions.threads()) == 3
    reader.close()


# --- migrations


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
    _filled(path)
    newer = (*MIGRATIONS, _m002, _m003)
    for _ in range(2):
        store = SqliteStore.open(path, migrations=newer, is_alive=nobody_lives)
        assert store.facts().schema_version == len(MIGRATIONS) + 2
        assert len(store.sessions.threads()) == 3
        store.close()


def test_crash_in_a_migration_keeps_the_steps_before(path: Path) -> None:
    """Each step is a transaction: the next start goes on from the last whole one."""
    _filled(path)
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


def test_reader_does_not_migrate(path: Path) -> None:
    """A read-only handle on an older file says that it waits for a migration."""
    _filled(path)
    before = _listing(path)
    with pytest.raises(OlderDatabase):
        SqliteStore.open(path, read_only=True, migrations=(*MIGRATIONS, _m002))
    assert _listing(path) == before


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
        "from goalfsm.store.owner import own_identity, uptime_ms;"
        "s = SqliteStore.open(Path(sys.argv[1]), busy_ms=30000);"
        "print(type(s.owner.claim(own_identity(), socket='', uptime_ms=uptime_ms())).__name__,"
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
    assert sorted(answers) == ["Claimed", "Held", "Held", "Held"]


# --- locks


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
    held = other.owner.claim(
        Identity(pid=2, start_time=2, boot_id="b"), socket="", uptime_ms=21_000
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
        "from goalfsm.store.owner import own_identity; from tests.store.handles import commit;"
        "s = SqliteStore.open(Path(sys.argv[1]));"
        "s.owner.claim(own_identity(), socket='', uptime_ms=0); s.commit([commit()]);"
        "db = s._database.connection(); db.execute('BEGIN IMMEDIATE; DELETE FROM journal');"
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(path)])
    request.addfinalizer(child.kill)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
    heir = SqliteStore.open(path, busy_ms=1)
    early = heir.owner.claim(BOB, socket="", uptime_ms=EXPIRY_MS - 1)
    assert isinstance(early, Held)
    assert early.locked
    assert not end_stalled(early)
    late = heir.owner.claim(BOB, socket="", uptime_ms=EXPIRY_MS)
    assert isinstance(late, Held)
    assert end_stalled(late)
    child.wait(timeout=30)
    claimed = heir.owner.claim(BOB, socket="", uptime_ms=EXPIRY_MS)
    assert isinstance(claimed, Claimed)
    assert claimed.epoch == 2
    assert len(heir.journal.read("t")) == 1
    heir.close()


# --- reading without writing


def test_reader_leaves_no_trace(path: Path) -> None:
    """Reading a database that nobody has open creates and changes no file."""
    _filled(path)
    before = _listing(path)
    reader = SqliteStore.open(path, read_only=True)
    assert len(reader.sessions.threads()) == 3
    assert reader.integrity() == ()
    assert reader.facts().threads == 3
    assert reader.owner.current() is not None
    reader.close()
    assert _listing(path) == before


def test_reader_notices_a_writer_that_comes_and_goes(path: Path) -> None:
    """A reader of a database at rest sees what was written since, with and without a log."""
    _filled(path)
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
    _filled(path)
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
    _filled(path)
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
    _filled(path)
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


# --- corruption


def _corrupt(path: Path, needle: bytes) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(needle)
    page = at - at % 4096
    content[page : page + 64] = b"\xa5" * 64
    path.write_bytes(content)


def test_corrupt_page_is_found_and_named(path: Path) -> None:
    """Reading it raises Corrupt, integrity says what is wrong, other pages are still read."""
    store = owned(SqliteStore.open(path, is_alive=nobody_lives))
    store.commit([commit("t", state=b"needle" * 400), commit("u")])
    store.workers.put("w", b"sound")
    store.close()
    _corrupt(path, b"needle" * 100)
    damaged = owned(SqliteStore.open(path, is_alive=nobody_lives))
    with pytest.raises(Corrupt) as caught:
        damaged.sessions.load("t")
    assert "backup" in caught.value.hint
    with pytest.raises(Corrupt):
        damaged.commit([commit("t", expected=1)])
    assert damaged.workers.get("w") == b"sound"
    assert damaged.integrity() != ()
    damaged.close()
    reader = SqliteStore.open(path, read_only=True)
    with pytest.raises(Corrupt):
        reader.sessions.load("t")
    reader.close()


def test_corrupt_schema_is_refused(path: Path) -> None:
    """A file that cannot even be recognised is not touched."""
    _filled(path)
    content = bytearray(path.read_bytes())
    content[100:164] = b"\xa5" * 64
    path.write_bytes(content)
    for read_only in (False, True):
        with pytest.raises(Corrupt):
            SqliteStore.open(path, read_only=read_only)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("sql", "word"),
    [
        ("DELETE FROM journal WHERE thread_id = 't0'", "t0"),
        ("UPDATE session SET revision = 9 WHERE thread_id = 't1'", "t1"),
        ("DELETE FROM session WHERE thread_id = 't2'", "t2"),
        (
            """INSERT INTO outbox (key, thread_id, revision, at_ms, kind, payload)
               VALUES ('stray', 't0', 8, 0, 'K', x'')""",
            "stray",
        ),
        (
            """INSERT INTO inbox (inbox_id, thread_id, at_ms, event, revision)
               VALUES ('lost', 't0', 0, x'', 8)""",
            "lost",
        ),
    ],
)
def test_integrity_names_what_disagrees(path: Path, sql: str, word: str) -> None:
    """Rows that one transaction wrote together and that are not together any more are found."""
    _filled(path)
    store = SqliteStore.open(path)
    assert store.integrity() == ()
    db = apsw.Connection(str(path))
    db.execute(sql)
    db.close()
    problems = store.integrity()
    assert problems
    assert all(word in problem for problem in problems)
    store.close()


def test_commit_that_sqlite_refuses_costs_only_itself(path: Path) -> None:
    """Text that cannot be encoded, or a number beyond 64 bits, is refused; neighbours are not."""
    store = owned(SqliteStore.open(path))
    outcomes = store.commit(
        [
            commit("a"),
            commit("x", event_id="\ud800"),
            commit("\ud800"),
            commit("\ud800", expected=1),
            commit("b", wake_at_ms=2**70),
            commit("d", outbox=(Effect(key="k", kind="\ud800"),), history=(b"h",)),
            commit("c", inbox_id="in"),
        ]
    )
    assert outcomes[0] == outcomes[6] == Committed(revision=1)
    assert [type(outcome) for outcome in outcomes[1:6]] == [Refused] * 5
    assert [row.thread_id for row in store.sessions.threads()] == ["a", "c"]
    assert store.integrity() == ()
    store.close()
