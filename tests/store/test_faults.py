"""The store on a disk that fails at every operation in turn."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import apsw
import pytest

from goalfsm.errors import DiskFull, OutcomeUnknown, StoreError, StoreUnavailable
from goalfsm.store.port import Acquired, Commit, Committed, Effect, Identity, Process
from goalfsm.store.sqlite import SqliteStore
from goalfsm.store.sqlite.connection import translated
from tests.store.faulty_vfs import Fault, FaultyVfs
from tests.store.scenario import Scenario

IOERR = apsw.SQLITE_IOERR
FAULTS = {
    "write fails": ("write", apsw.SQLITE_IOERR_WRITE, 0.0),
    "write is torn": ("write", apsw.SQLITE_IOERR_WRITE, 0.5),
    "write succeeds and says it failed": ("write", apsw.SQLITE_IOERR_WRITE, 1.0),
    "disk is full": ("write", apsw.SQLITE_FULL, 0.0),
    "disk fills up": ("write", apsw.SQLITE_FULL, 0.5),
    "sync fails": ("sync", apsw.SQLITE_IOERR_FSYNC, 0.0),
    "truncate fails": ("truncate", apsw.SQLITE_IOERR_TRUNCATE, 0.0),
    "read fails": ("read", apsw.SQLITE_IOERR_READ, 0.0),
    "delete fails": ("delete", apsw.SQLITE_IOERR_DELETE, 0.0),
    "size cannot be had": ("size", apsw.SQLITE_IOERR_FSTAT, 0.0),
    "lock cannot be had": ("lock", apsw.SQLITE_IOERR_LOCK, 0.0),
    "looking for a file fails": ("access", apsw.SQLITE_IOERR_ACCESS, 0.0),
    "path cannot be followed": ("path", apsw.SQLITE_CANTOPEN_FULLPATH, 0.0),
    "open fails": ("open", apsw.SQLITE_CANTOPEN, 0.0),
    "lock is not let go": ("unlock", apsw.SQLITE_IOERR_UNLOCK, 0.0),
    "file takes no word": ("control", apsw.SQLITE_IOERR, 0.0),
    "who writes cannot be told": ("reserved", apsw.SQLITE_IOERR_CHECKRESERVEDLOCK, 0.0),
    "close fails": ("close", apsw.SQLITE_IOERR_CLOSE, 0.0),
}


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Return how many operations of each kind the script takes when nothing fails."""
    vfs = FaultyVfs()
    scenario = Scenario(tmp_path_factory.mktemp("count") / "goals.db", vfs.name)
    scenario.play()
    assert scenario.errors == []
    return dict(vfs.counts)


def _faults(counts: dict[str, int], name: str, *, forever: bool = False) -> list[Fault]:
    kind, code, done = FAULTS[name]
    return [
        Fault(kind=kind, at=at, code=code, done=done, forever=forever)
        for at in range(1, counts.get(kind, 0) + 1)
    ]


def _reopened(path: Path, scenario: Scenario) -> set[str]:
    """Check the file with a fresh handle, as a new process would."""
    store = SqliteStore.open(path, reserve_bytes=0)
    try:
        return scenario.check(store)
    finally:
        store.close()


def test_script_covers_every_kind(counts: dict[str, int]) -> None:
    """The faults below have something to strike."""
    assert counts["write"] > 100
    assert counts["sync"] > 20
    assert counts["read"] > 20
    assert counts["open"] >= 4
    assert min(counts[kind] for kind in ("size", "lock", "access", "path")) >= 2
    assert counts["delete"] >= 1


@pytest.mark.parametrize("name", FAULTS)
def test_every_operation_fails_once(tmp_path: Path, counts: dict[str, int], name: str) -> None:
    """A caller that does what the errors say ends where it would have ended, wherever it struck."""
    for fault in _faults(counts, name):
        path = tmp_path / str(fault.at) / "goals.db"
        vfs = FaultyVfs()
        vfs.fault = fault
        scenario = Scenario(path, vfs.name)
        scenario.play()
        assert vfs.struck == 1
        assert _reopened(path, scenario) == set(scenario.tried)
        assert len(scenario.tried) == 9


@pytest.mark.parametrize(
    ("name", "keep"),
    [
        ("write is torn", 0.0),
        ("write is torn", 0.5),
        ("write is torn", 1.0),
        ("sync fails", 0.0),
        ("sync fails", 0.5),
        ("sync fails", 1.0),
        ("disk is full", 0.0),
        ("read fails", 0.5),
    ],
)
def test_device_dies_with_the_power(
    tmp_path: Path, counts: dict[str, int], name: str, keep: float
) -> None:
    """After a crash at any operation, losing any unsynced writes, commits are whole or absent.

    Acknowledged ones are there, and the next owner goes on from what it finds.
    """
    for fault in _faults(counts, name, forever=True):
        path = tmp_path / str(fault.at) / "goals.db"
        vfs = FaultyVfs()
        vfs.fault = fault
        scenario = Scenario(path, vfs.name)
        with suppress(StoreError):
            scenario.play()
        assert vfs.struck == 1
        scenario.close()
        vfs.power_off(random.Random(fault.at), keep=keep)
        _reopened(path, scenario)


def _one(expected: int) -> Commit:
    return Commit(
        thread_id="t",
        expected_revision=expected,
        at_ms=0,
        event_id=f"e{expected}",
        event=b"event",
        state=b"state",
        outbox=(Effect(key=f"k{expected}", kind="K"),),
    )


def _owned(path: Path, vfs: FaultyVfs) -> SqliteStore:
    store = SqliteStore.open(path, vfs=vfs.name, reserve_bytes=0)
    me = Identity(pid=1, start_time=1, boot_id="boot")
    assert isinstance(store.owner.acquire(me, socket="", uptime_ms=0), Acquired)
    return store


def test_failed_sync_at_commit_is_an_unknown_outcome(tmp_path: Path) -> None:
    """The handle refuses everything until it is reopened; then the event can be looked up."""
    vfs = FaultyVfs()
    store = _owned(tmp_path / "goals.db", vfs)
    store.commit([_one(0)])
    vfs.fault = Fault(kind="sync", at=vfs.counts["sync"] + 1, code=apsw.SQLITE_IOERR_FSYNC)
    with pytest.raises(OutcomeUnknown):
        store.commit([_one(1)])
    for refused in (lambda: store.commit([_one(1)]), lambda: store.journal.find("t", "e1")):
        with pytest.raises(OutcomeUnknown):
            refused()
    store.reopen()
    assert store.journal.find("t", "e0") is not None
    present = store.journal.find("t", "e1") is not None
    (outcome,) = store.commit([_one(1)])
    assert isinstance(outcome, Committed) is not present
    assert store.integrity() == ()
    store.close()


def test_absent_after_reopen_stays_absent(tmp_path: Path) -> None:
    """A commit frame whose sync failed does not come back at a later recovery.

    Another handle keeps the log in use, so that closing does not clear it; then the power goes and
    everything that was written, synced or not, is found on the disk.
    """
    path = tmp_path / "goals.db"
    vfs = FaultyVfs()
    store = _owned(path, vfs)
    store.commit([_one(0)])
    other = SqliteStore.open(path, vfs=vfs.name, reserve_bytes=0)
    assert other.sessions.load("t") is not None
    vfs.fault = Fault(kind="sync", at=vfs.counts["sync"] + 1, code=apsw.SQLITE_IOERR_FSYNC)
    with pytest.raises(OutcomeUnknown):
        store.commit([_one(1)])
    store.reopen()
    assert store.journal.find("t", "e1") is None
    vfs.dead = True
    store.close()
    other.close()
    vfs.power_off(random.Random(0), keep=1.0)
    after = SqliteStore.open(path, reserve_bytes=0)
    assert after.journal.find("t", "e0") is not None
    assert after.journal.find("t", "e1") is None
    after.close()


def test_full_disk_writes_nothing_and_recovers(tmp_path: Path) -> None:
    """DiskFull is definite: the same commit succeeds once there is room, without reopening."""
    vfs = FaultyVfs()
    store = _owned(tmp_path / "goals.db", vfs)
    vfs.fault = Fault(kind="write", at=vfs.counts["write"] + 1, code=apsw.SQLITE_FULL)
    with pytest.raises(DiskFull):
        store.commit([_one(0)])
    assert store.journal.find("t", "e0") is None
    assert store.commit([_one(0)]) == [Committed(revision=1)]
    store.close()


def test_failed_read_is_an_error_and_no_more(tmp_path: Path) -> None:
    """A read that fails leaves the handle usable."""
    path = tmp_path / "goals.db"
    vfs = FaultyVfs()
    store = _owned(path, vfs)
    store.commit([_one(0)])
    store.close()
    store = SqliteStore.open(path, vfs=vfs.name, reserve_bytes=0)
    vfs.fault = Fault(kind="read", at=vfs.counts["read"] + 1, code=apsw.SQLITE_IOERR_READ)
    with pytest.raises(StoreUnavailable):
        store.history.read("t")
    assert store.sessions.load("t") is not None
    store.close()


def test_failing_checkpoint_fails_no_commit(tmp_path: Path) -> None:
    """What is in the log is durable; moving it may wait."""
    vfs = FaultyVfs()
    store = _owned(tmp_path / "goals.db", vfs)
    keeper = store.checkpointer()
    assert keeper is not None
    store.commit([_one(0)])
    assert keeper.backlog() > 0
    vfs.fault = Fault(kind="sync", at=vfs.counts["sync"] + 1, code=apsw.SQLITE_IOERR_FSYNC)
    with pytest.raises(StoreUnavailable):
        keeper.run()
    assert store.commit([_one(1)]) == [Committed(revision=2)]
    assert keeper.run()
    assert keeper.backlog() == 0
    keeper.close()
    store.close()


def _process(run_id: str) -> Process:
    me = Identity(pid=7, start_time=7, boot_id="boot")
    return Process(run_id=run_id, thread_id="t", identity=me, pgid=7, at_ms=0)


def test_processes_are_written_down_without_waiting_for_the_disk(tmp_path: Path) -> None:
    """They end with the machine themselves; commits before and after lose nothing by it."""
    path = tmp_path / "goals.db"
    vfs = FaultyVfs()
    store = _owned(path, vfs)
    store.commit([_one(0)])
    synced, written = vfs.counts["sync"], vfs.counts["write"]
    store.processes.put(_process("r1"))
    store.processes.put(_process("r2"))
    store.processes.end("r1")
    assert vfs.counts["sync"] == synced
    assert vfs.counts["write"] > written
    beside = SqliteStore.open(path, reserve_bytes=0)
    assert beside.processes.open() == (_process("r2"),)
    beside.close()
    assert dict(store.facts().settings)["synchronous"] == "2"
    store.commit([_one(1)])
    assert vfs.counts["sync"] > synced
    store.processes.end("r2")
    vfs.dead = True
    store.close()
    vfs.power_off(random.Random(0), keep=0.0)
    after = SqliteStore.open(path, reserve_bytes=0)
    assert [row.revision for row in after.journal.read("t")] == [1, 2]
    assert after.processes.open() == (_process("r2"),)
    after.close()


def test_commits_are_synced_after_a_process_could_not_be_written_down(tmp_path: Path) -> None:
    """Whatever comes of a record, the connection promises as much as before."""
    vfs = FaultyVfs()
    store = _owned(tmp_path / "goals.db", vfs)
    vfs.fault = Fault(kind="write", at=vfs.counts["write"] + 1, code=apsw.SQLITE_FULL)
    with pytest.raises(DiskFull):
        store.processes.put(_process("r1"))
    assert dict(store.facts().settings)["synchronous"] == "2"
    synced = vfs.counts["sync"]
    store.commit([_one(0)])
    assert vfs.counts["sync"] > synced
    assert store.processes.open() == ()
    store.close()


def test_a_connection_that_cannot_promise_is_not_used(tmp_path: Path) -> None:
    """Where the setting cannot be had back the handle refuses everything until it is reopened."""
    vfs = FaultyVfs()
    store = _owned(tmp_path / "goals.db", vfs)
    db = store._database.connection()

    def refuse(_operation: int, name: str | None, value: str | None, *_: object) -> int:
        full = (name, value) == ("synchronous", "FULL")
        return apsw.SQLITE_DENY if full else apsw.SQLITE_OK

    db.authorizer = refuse
    with pytest.raises(StoreUnavailable):
        store.processes.put(_process("r1"))
    with pytest.raises(StoreUnavailable):
        store.commit([_one(0)])
    store.reopen()
    assert store.commit([_one(0)]) == [Committed(revision=1)]
    assert dict(store.facts().settings)["synchronous"] == "2"
    assert store.processes.open() == (_process("r1"),)
    store.close()


def test_a_failure_that_the_connection_has_no_words_for_is_named() -> None:
    """A step of a backup fails on another connection than the one that is asked what happened."""
    error = apsw.FullError("not an error")
    error.result = apsw.SQLITE_FULL
    found = translated(error, "writing copy.db")
    assert isinstance(found, DiskFull)
    assert found.message == "writing copy.db: SQLITE_FULL"
    assert translated(apsw.FullError("disk is full"), "x").message == "x: disk is full"
