"""A store's life, step by step, and what must be true of it wherever it was broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from goalfsm.errors import DatabaseReplaced, Fenced, OutcomeUnknown, StoreError, StoreUnavailable
from goalfsm.store.port import (
    Acquired,
    Checkpointer,
    Commit,
    Committed,
    Done,
    Duplicate,
    Effect,
    Identity,
    Process,
    Store,
)
from goalfsm.store.sqlite import SqliteStore

ME = Identity(pid=1, start_time=1, boot_id="boot")
PAYLOAD = bytes(range(256)) * 8
ATTEMPTS = 6


def _commit(thread: str, expected: int) -> Commit:
    key = f"{thread}-{expected + 1}"
    return Commit(
        thread_id=thread,
        expected_revision=expected,
        at_ms=expected,
        event_id=f"event-{key}",
        event=PAYLOAD[: 300 * (expected + 1)],
        state=f"state {key}".encode() + PAYLOAD,
        outbox=(Effect(key=f"effect-{key}", kind="K", payload=PAYLOAD),),
        history=(f"history {key}".encode(),),
        inbox_id=f"inbox-{key}",
        reply=f"reply {key}".encode(),
    )


class Scenario:
    """Plays a fixed script against a store that may fail anywhere, as a careful caller would."""

    def __init__(self, path: Path, vfs: str) -> None:
        """Play in the file at ``path``."""
        self._path = path
        self._vfs = vfs
        self.store: SqliteStore | None = None
        self.keeper: Checkpointer | None = None
        self.tried: dict[str, Commit] = {}
        self.acked: set[str] = set()
        self.errors: list[StoreError] = []
        self.steps: tuple[Callable[[Store], None], ...] = (
            self.claim,
            lambda store: self.commit(store, ("a", 0)),
            lambda store: self.commit(store, ("b", 0), ("c", 0), ("a", 1)),
            lambda store: self.put(store, "inbox-d-1", "d"),
            self.checkpoint,
            lambda store: self.commit(store, ("d", 0), ("d", 1)),
            lambda store: store.outbox.mark_done([Done(key="effect-a-1", at_ms=1)]),
            lambda store: store.processes.put(
                Process(run_id="r", thread_id="a", identity=ME, pgid=1, at_ms=1)
            ),
            # A stale commit takes the way of savepoints, beside a good one.
            lambda store: self.commit(store, ("a", 2), stale=_commit("b", 7)),
            lambda store: store.owner.heartbeat(uptime_ms=5),
            self.checkpoint,
            lambda store: store.workers.put("a", PAYLOAD),
            lambda store: store.workers.remove("a"),
            lambda store: store.processes.end("r"),
            lambda store: self.commit(store, ("b", 1), ("e", 0)),
        )

    def play(self) -> None:
        """Take every step; after an error do what the contract says, and take the step again."""
        self.attempt(self.open)
        for step in self.steps:
            self.attempt(lambda step=step: step(self.the_store()))  # type: ignore[misc]
        self.close()

    def attempt(self, step: Callable[[], None]) -> None:
        """Take one step until it succeeds; a fault strikes once, so it does."""
        for _ in range(ATTEMPTS):
            try:
                if self._is_to_be_reopened():
                    self.the_store().reopen()
                    self.errors.append(StoreError("settled"))
                    self.check(self.the_store())
                step()
            except StoreError as error:
                if isinstance(error, Fenced | DatabaseReplaced):
                    raise
                self.errors.append(error)
            else:
                return
        raise self.errors[-1]

    def _is_to_be_reopened(self) -> bool:
        """Tell whether an outcome is unknown, or the handle goes on failing."""
        *before, last = [StoreError("nothing"), StoreError("nothing"), *self.errors]
        again = isinstance(before[-1], StoreUnavailable) and isinstance(last, StoreUnavailable)
        return isinstance(last, OutcomeUnknown) or again

    def the_store(self) -> SqliteStore:
        """Return the open store."""
        assert self.store is not None
        return self.store

    def open(self) -> None:
        """Open the store; its checkpoints are steps of the script."""
        self.store = SqliteStore.open(self._path, vfs=self._vfs, reserve_bytes=0, busy_ms=0)
        self.keeper = self.store.checkpointer()

    def claim(self, store: Store) -> None:
        """Own it."""
        assert isinstance(store.owner.acquire(ME, socket="s", uptime_ms=1), Acquired)

    def put(self, store: Store, inbox_id: str, thread: str) -> None:
        """Send an event; False after an error means that it had arrived."""
        store.inbox.put(inbox_id, thread, at_ms=1, event=PAYLOAD)

    def checkpoint(self, _store: Store) -> None:
        """Move the log."""
        assert self.keeper is not None
        self.keeper.run()

    def commit(self, store: Store, *which: tuple[str, int], stale: Commit | None = None) -> None:
        """Commit one batch; note what was tried and what was acknowledged."""
        batch = [_commit(thread, expected) for thread, expected in which]
        self.tried.update({commit.event_id: commit for commit in batch})
        outcomes = store.commit(batch if stale is None else [stale, *batch])
        for commit, outcome in zip(batch, outcomes[-len(batch) :], strict=True):
            assert outcome in {
                Committed(revision=commit.expected_revision + 1),
                Duplicate(revision=commit.expected_revision + 1, reply=commit.reply),
            }
            self.acked.add(commit.event_id)

    def close(self) -> None:
        """Close everything, as far as the disk lets it."""
        if self.keeper is not None:
            self.keeper.close()
        if self.store is not None:
            self.store.close()

    def check(self, store: Store) -> set[str]:
        """Return the events that are there; each entirely or not at all, and all acknowledged."""
        present = set()
        effects = {effect.key for thread in "abcde" for effect in store.outbox.open(thread)} | {
            "effect-a-1"
        }
        for event_id, commit in self.tried.items():
            revision = commit.expected_revision + 1
            key = f"{commit.thread_id}-{revision}"
            stored = store.sessions.load(commit.thread_id)
            answer = store.inbox.answer(f"inbox-{key}")
            row = store.journal.find(commit.thread_id, event_id)
            there = {
                "journal": row is not None and row.event == commit.event,
                "session": stored is not None and stored.revision >= revision,
                "history": f"history {key}".encode() in store.history.read(commit.thread_id),
                "inbox": answer is not None and answer.revision == revision,
                "outbox": row is not None if key == "a-1" else f"effect-{key}" in effects,
            }
            assert len(set(there.values())) == 1, (event_id, there)
            if there["journal"]:
                present.add(event_id)
                assert stored is not None
                if stored.revision == revision:
                    assert stored.state == commit.state
        assert self.acked <= present
        assert store.integrity() == ()
        return present
