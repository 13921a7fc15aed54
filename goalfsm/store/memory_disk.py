"""What is durable of the store in memory: what every handle sees and what a crash leaves."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from goalfsm.errors import CannotWrite, Fenced, StoreClosed
from goalfsm.store.port import (
    Commit,
    Conflict,
    Effect,
    Identity,
    InboxRow,
    JournalRow,
    OpenEffect,
    Owner,
    Process,
    Stored,
    Transcript,
)


class Inbound(msgspec.Struct, kw_only=True):
    """An inbox row with what became of it; replaced, never changed in place."""

    row: InboxRow
    revision: int | None = None
    reply: bytes | None = None


class StoredEffect(msgspec.Struct, kw_only=True):
    """An effect with when it was done; replaced, never changed in place."""

    row: OpenEffect
    done_at_ms: int | None = None


class MemoryDisk:
    """The durable part: what every handle sees and what a crash leaves."""

    def __init__(self) -> None:
        """Hold no thread, and belong to no owner."""
        self.epoch = 0
        self.owner: Owner | None = None
        self.inbox: dict[str, Inbound] = {}
        self.sessions: dict[str, Stored] = {}
        self.journal: dict[str, list[JournalRow]] = {}
        self.event_ids: dict[tuple[str, str], JournalRow] = {}
        self.effects: dict[str, StoredEffect] = {}
        self.open_effects: dict[str, OpenEffect] = {}
        self.history: dict[str, list[bytes]] = {}
        self.workers: dict[str, bytes] = {}
        self.processes: dict[str, Process] = {}
        self.transcripts: dict[str, Transcript] = {}
        self.seq = 0

    def next_seq(self) -> int:
        """Return the next number of arrival; one sequence serves all tables."""
        self.seq += 1
        return self.seq

    def fork(self) -> MemoryDisk:
        """Return an independent copy; rows are immutable and shared, only the tables are copied."""
        copy = MemoryDisk()
        copy.epoch, copy.owner, copy.seq = self.epoch, self.owner, self.seq
        copy.inbox = dict(self.inbox)
        copy.sessions = dict(self.sessions)
        copy.journal = {thread: list(rows) for thread, rows in self.journal.items()}
        copy.event_ids = dict(self.event_ids)
        copy.effects = dict(self.effects)
        copy.open_effects = dict(self.open_effects)
        copy.history = {thread: list(entries) for thread, entries in self.history.items()}
        copy.workers = dict(self.workers)
        copy.processes = dict(self.processes)
        copy.transcripts = dict(self.transcripts)
        return copy


class MemoryHandle:
    """One process's hold on a `MemoryDisk`: whether it may read, write, or owns it."""

    def __init__(
        self,
        disk: MemoryDisk | None,
        *,
        read_only: bool,
        is_alive: Callable[[Identity], bool],
    ) -> None:
        """Hold ``disk``, or a new one; ``is_alive`` tells whether another owner lives."""
        self._disk: MemoryDisk | None = MemoryDisk() if disk is None else disk
        self._read_only = read_only
        self._is_alive = is_alive
        self.epoch: int | None = None

    @property
    def disk(self) -> MemoryDisk:
        """Return the durable part; raise `StoreClosed` on a closed or crashed handle."""
        if self._disk is None:
            msg = "the store handle was closed"
            raise StoreClosed(msg)
        return self._disk

    def writable(self) -> MemoryDisk:
        """Return the durable part for writing."""
        if self._read_only:
            msg = "the store was opened read-only"
            raise CannotWrite(msg)
        return self.disk

    def own(self, epoch: int | None) -> None:
        """Commit under an epoch from now on; None: not at all."""
        self.epoch = epoch

    def owned(self) -> MemoryDisk:
        """Return the durable part for the owner; raise `Fenced` when this handle is not."""
        disk = self.writable()
        if self.epoch is None or disk.epoch != self.epoch or disk.owner is None:
            self.epoch = None
            msg = "the store handle does not own the store"
            raise Fenced(msg)
        return disk

    def living(self, identity: Identity) -> bool:
        """Return whether that process may still be alive."""
        return self._is_alive(identity)

    def close(self) -> None:
        """Close the handle; the disk stays."""
        self._disk = None


def conflicting(disk: MemoryDisk, commit: Commit) -> Conflict:
    """Return that the thread has another revision than the commit expects."""
    stored = disk.sessions.get(commit.thread_id)
    return Conflict(actual_revision=0 if stored is None else stored.revision)


def add_effect(disk: MemoryDisk, commit: Commit, effect: Effect, revision: int) -> None:
    """Keep an effect to do, unless its key is known."""
    if effect.key in disk.effects:
        return
    row = OpenEffect(
        seq=disk.next_seq(),
        thread_id=commit.thread_id,
        revision=revision,
        at_ms=commit.at_ms,
        key=effect.key,
        kind=effect.kind,
        payload=effect.payload,
    )
    disk.effects[effect.key] = StoredEffect(row=row)
    disk.open_effects[effect.key] = row


def mark_done(disk: MemoryDisk, key: str, at_ms: int) -> None:
    """Note that the effect of this key was done."""
    row = disk.open_effects.pop(key, None)
    if row is not None:
        disk.effects[key] = StoredEffect(row=row, done_at_ms=at_ms)


def consumed_at_birth(disk: MemoryDisk, commit: Commit) -> InboxRow:
    """Return the inbox row of a commit whose event never waited in the inbox."""
    return InboxRow(
        seq=disk.next_seq(),
        inbox_id=commit.inbox_id or "",
        thread_id=commit.thread_id,
        at_ms=commit.at_ms,
        event=b"",
    )
