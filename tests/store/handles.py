"""What tests of a store begin with: an owning handle, a commit, processes that live or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from goalfsm.store.port import Acquired, Commit, Committed, Identity, Store, Transcript

AnyStore = TypeVar("AnyStore", bound=Store)

ALICE = Identity(pid=100, start_time=1, boot_id="boot", namespace="ns")
BOB = Identity(pid=200, start_time=2, boot_id="boot", namespace="ns")


class MakeStore(Protocol):
    """Opens a handle on the data that the test's other handles have."""

    def __call__(
        self, *, read_only: bool = False, is_alive: Callable[[Identity], bool] = ...
    ) -> Store:
        """Return a new handle."""
        ...


class Write(Protocol):
    """Puts things into the store that a test reads."""

    def commits(self, *commits: Commit) -> None:
        """Write these, each of which must be taken."""
        ...

    def worker(self, thread_id: str, config: bytes | None) -> None:
        """Store a thread's worker, or forget it where there is none."""
        ...


class WriteAsOwner:
    """Writes through a handle that owns the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def commits(self, *commits: Commit) -> None:
        """Write these in one batch."""
        revisions = [Committed(revision=commit.expected_revision + 1) for commit in commits]
        assert self._store.commit(commits) == revisions

    def worker(self, thread_id: str, config: bytes | None) -> None:
        """Store or forget a worker."""
        if config is None:
            self._store.workers.remove(thread_id)
        else:
            self._store.workers.put(thread_id, config)


def everybody_lives(_identity: Identity) -> bool:
    """Take every process for alive."""
    return True


def nobody_lives(_identity: Identity) -> bool:
    """Take every process for dead."""
    return False


def commit(thread_id: str = "t", expected: int = 0, **changes: Any) -> Commit:
    """Return a commit that is told apart by its thread and revision."""
    fields: dict[str, Any] = {
        "thread_id": thread_id,
        "expected_revision": expected,
        "at_ms": 1_000 + expected,
        "event_id": f"event-{expected + 1}",
        "event": f"event {expected + 1} of {thread_id}".encode(errors="replace"),
        "state": f"state {expected + 1} of {thread_id}".encode(errors="replace"),
        "digest": b"digest",
    }
    return Commit(**(fields | changes))


def transcript(turn: int, *, thread_id: str = "t", **changes: Any) -> Transcript:
    """Return what a run of a thread said in a turn."""
    fields: dict[str, Any] = {
        "thread_id": thread_id,
        "run_id": f"{thread_id}-{turn}",
        "turn": turn,
        "at_ms": turn,
    }
    return Transcript(**(fields | changes))


def owned(store: AnyStore, *, who: Identity = ALICE, at: int = 0) -> AnyStore:
    """Return the store after it claimed ownership."""
    assert isinstance(store.owner.acquire(who, socket="/run/s", uptime_ms=at), Acquired)
    return store
