"""The store in memory: for tests, simulation and throw-away threads.

`MemoryDisk` is what survives; a `MemoryStore` is one process's handle on it. Several handles share
a disk as processes share a file, fencing included. `MemoryStore.crash` ends a handle as a killed
process ends, and `MemoryDisk.fork` copies what is durable, to try several futures of one past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from goalfsm.errors import CannotWrite
from goalfsm.store.limits import Lost, too_large
from goalfsm.store.memory_disk import (
    Inbound,
    MemoryDisk,
    MemoryHandle,
    add_effect,
    conflicting,
    consumed_at_birth,
    mark_done,
)
from goalfsm.store.memory_ports import (
    MemoryHistory,
    MemoryInbox,
    MemoryJournal,
    MemoryLease,
    MemoryOutbox,
    MemoryProcesses,
    MemorySessions,
    MemoryTranscripts,
    MemoryWorkers,
)
from goalfsm.store.owner import OwnerDrives, is_alive
from goalfsm.store.port import (
    Checkpointer,
    Commit,
    Committed,
    Done,
    Duplicate,
    Facts,
    Identity,
    Invalid,
    JournalRow,
    Outcome,
    Stored,
)

__all__ = ["MemoryDisk", "MemoryStore"]


class MemoryStore(MemoryHandle):
    """One handle on a `MemoryDisk`."""

    def __init__(
        self,
        disk: MemoryDisk | None = None,
        *,
        read_only: bool = False,
        is_alive: Callable[[Identity], bool] = is_alive,
    ) -> None:
        """Open a handle on ``disk``, or on a new one."""
        super().__init__(disk, read_only=read_only, is_alive=is_alive)
        self.owner = MemoryLease(self)
        self.inbox = MemoryInbox(self)
        self.sessions = MemorySessions(self)
        self.outbox = MemoryOutbox(self)
        self.journal = MemoryJournal(self)
        self.history = MemoryHistory(self)
        self.workers = MemoryWorkers(self)
        self.processes = MemoryProcesses(self)
        self.drivers = OwnerDrives(self.owner, self.processes)
        self.transcripts = MemoryTranscripts(self)

    def crash(self) -> Self:
        """End this handle as a killed process would; return a fresh one on what was durable."""
        fresh = type(self)(self.disk, is_alive=self._is_alive)
        self.close()
        return fresh

    def fork(self) -> Self:
        """Return a handle on an independent copy of the durable part; this one stays usable."""
        return type(self)(self.disk.fork(), is_alive=self._is_alive)

    def commit(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events; see `goalfsm.store.port.Store.commit`."""
        disk = self.owned()
        lost = Lost()
        outcomes: list[Outcome] = []
        for commit in batch:
            follows = lost.carries(commit)
            outcome = conflicting(disk, commit) if follows else self._apply(disk, commit)
            lost.note(commit, outcome)
            outcomes.append(outcome)
        for mark in done:
            mark_done(disk, mark.key, mark.at_ms)
        return outcomes

    def _apply(self, disk: MemoryDisk, commit: Commit) -> Outcome:
        reason = too_large(commit)
        if reason is not None:
            return Invalid(reason=reason)
        inbound = None if commit.inbox_id is None else disk.inbox.get(commit.inbox_id)
        known = disk.event_ids.get((commit.thread_id, commit.event_id))
        if known is not None:
            if inbound is not None and inbound.revision is None:
                # It came another way before; its row has nothing more to wait for.
                row = Inbound(row=inbound.row, revision=known.revision)
                disk.inbox[inbound.row.inbox_id] = row
            return Duplicate(
                revision=known.revision, reply=None if inbound is None else inbound.reply
            )
        if inbound is not None and inbound.row.thread_id != commit.thread_id:
            return Invalid(reason="the inbox row belongs to another thread")
        if inbound is not None and inbound.revision is not None:
            return Duplicate(revision=inbound.revision, reply=inbound.reply)
        conflict = conflicting(disk, commit)
        if conflict.actual_revision != commit.expected_revision:
            return conflict
        self._write(disk, commit, commit.expected_revision + 1)
        return Committed(revision=commit.expected_revision + 1)

    def _write(self, disk: MemoryDisk, commit: Commit, revision: int) -> None:
        thread_id = commit.thread_id
        disk.sessions[thread_id] = Stored(
            thread_id=thread_id,
            state=commit.state,
            revision=revision,
            rules_version=commit.rules_version,
            status=commit.status,
            wake_at_ms=commit.wake_at_ms,
            updated_at_ms=commit.at_ms,
            epoch=disk.epoch,
        )
        row = JournalRow(
            seq=disk.next_seq(),
            thread_id=thread_id,
            revision=revision,
            event_id=commit.event_id,
            at_ms=commit.at_ms,
            event=commit.event,
            decision=commit.decision,
            digest=commit.digest,
            rules_version=commit.rules_version,
            epoch=disk.epoch,
        )
        disk.journal.setdefault(thread_id, []).append(row)
        disk.event_ids[thread_id, commit.event_id] = row
        for effect in commit.outbox:
            add_effect(disk, commit, effect, revision)
        for key in commit.outbox_done:
            mark_done(disk, key, commit.at_ms)
        if commit.history:
            disk.history.setdefault(thread_id, []).extend(commit.history)
        if commit.inbox_id is not None:
            before = disk.inbox.get(commit.inbox_id)
            inbound = before.row if before is not None else consumed_at_birth(disk, commit)
            disk.inbox[commit.inbox_id] = Inbound(
                row=inbound, revision=revision, reply=commit.reply
            )

    def prune(self, *, before_ms: int) -> int:
        """Delete what is consumed and done and older than that; return how many rows."""
        disk = self.owned()
        rows = [
            key
            for key, value in disk.inbox.items()
            if value.revision is not None and value.row.at_ms < before_ms
        ]
        effects = [
            key
            for key, effect in disk.effects.items()
            if effect.done_at_ms is not None and effect.done_at_ms < before_ms
        ]
        for key in rows:
            del disk.inbox[key]
        for key in effects:
            del disk.effects[key]
        return len(rows) + len(effects)

    def checkpointer(self) -> Checkpointer | None:
        """Return None: memory has no log."""
        return None

    def release_reserve(self) -> bool:
        """Return False: memory sets nothing aside."""
        return False

    def restore_reserve(self) -> bool:
        """Return True: there is nothing to set aside."""
        return True

    def backup(self, path: Path) -> None:
        """Raise `CannotWrite`: use `fork` for a copy."""
        msg = f"a store in memory cannot be written to {path}"
        raise CannotWrite(msg)

    def integrity(self) -> tuple[str, ...]:
        """Return threads whose snapshot is not where their journal ends."""
        disk = self.disk
        return tuple(
            f"thread {thread_id} is at revision {stored.revision}, its journal at {rows}"
            for thread_id, stored in sorted(disk.sessions.items())
            if (rows := len(disk.journal.get(thread_id, ()))) != stored.revision
        )

    def facts(self) -> Facts:
        """Return what there is to say of a store without a file."""
        disk = self.disk
        return Facts(
            backend="memory",
            version="1",
            schema_version=1,
            threads=len(disk.sessions),
            journal_rows=len(disk.event_ids),
            open_effects=len(disk.open_effects),
            pending_inbox=sum(value.revision is None for value in disk.inbox.values()),
        )

    def verify(self) -> None:
        """Raise `StoreClosed` on a closed handle: nothing else happens to memory."""
        _ = self.disk

    def reopen(self) -> None:
        """Raise `Fenced` when there is a successor; memory has nothing else to settle."""
        if self.epoch is not None:
            self.owned()
