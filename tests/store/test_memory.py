"""What the store in memory adds to the contract: crashes and forks."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.errors import CannotWrite, StoreClosed
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Acquired, Committed, Effect, Process
from tests.store.handles import ALICE, BOB, commit, nobody_lives, owned


def _filled() -> MemoryStore:
    store = MemoryStore(is_alive=nobody_lives)
    owned(store)
    store.commit([commit(outbox=(Effect(key="k", kind="K"),), history=(b"h",), inbox_id="in")])
    store.processes.put(Process(run_id="r", thread_id="t", identity=ALICE, pgid=1, at_ms=1))
    store.workers.put("t", b"worker")
    return store


def test_crash_leaves_what_was_durable() -> None:
    """The old handle is dead, the new one finds everything and owns nothing."""
    store = _filled()
    fresh = store.crash()
    with pytest.raises(StoreClosed):
        store.sessions.load("t")
    assert fresh.owner.epoch is None
    assert len(fresh.journal.read("t")) == 1
    claimed = fresh.owner.acquire(BOB, socket="", uptime_ms=0)
    assert isinstance(claimed, Acquired)
    assert claimed.previous is not None
    assert claimed.previous.identity == ALICE


def test_fork_goes_its_own_way() -> None:
    """Neither side sees what the other commits, in any table."""
    store = _filled()
    fork = store.fork()
    owned(fork, who=BOB)
    everything = commit(
        expected=1,
        outbox=(Effect(key="k2", kind="K"),),
        outbox_done=("k",),
        history=(b"h2",),
        inbox_id="in-2",
        wake_at_ms=5,
    )
    assert fork.commit([everything]) == [Committed(revision=2)]
    fork.processes.end("r")
    fork.workers.put("t", b"other")

    store.owner.heartbeat(uptime_ms=1)
    assert [row.revision for row in store.journal.read("t")] == [1]
    assert [effect.key for effect in store.outbox.open()] == ["k"]
    assert store.history.read("t") == (b"h",)
    assert store.inbox.answer("in-2") is None
    assert store.sessions.next_wake() is None
    assert [process.run_id for process in store.processes.open()] == ["r"]
    assert store.workers.get("t") == b"worker"
    assert store.commit([everything]) == [Committed(revision=2)]


def test_memory_has_no_file(tmp_path: Path) -> None:
    """What needs a file says so; what a file needs is not needed."""
    store = _filled()
    with pytest.raises(CannotWrite):
        store.backup(tmp_path / "copy.db")
    assert store.checkpointer() is None
    assert not store.release_reserve()
    assert store.restore_reserve()


def test_integrity_finds_a_lost_journal_row() -> None:
    """The simulation's check can fail."""
    store = _filled()
    store.disk.journal["t"].clear()
    (problem,) = store.integrity()
    assert "t" in problem
