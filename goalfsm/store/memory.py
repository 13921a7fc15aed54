"""The store in memory: for tests, simulation and throw-away threads.

`MemoryDisk` is what survives; a `MemoryStore` is one process's handle on it. Several handles share
a disk as processes share a file, fencing included. `MemoryStore.crash` ends a handle as a killed
process ends, and `MemoryDisk.fork` copies what is durable, to try several futures of one past.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Self

import msgspec

from goalfsm.errors import CannotWrite, Fenced, StoreClosed
from goalfsm.store.batches import Lost
from goalfsm.store.limits import check_size, too_large
from goalfsm.store.owner import is_alive
from goalfsm.store.port import (
    EXPIRY_MS,
    Answer,
    Checkpointer,
    Claimed,
    Commit,
    Committed,
    Conflict,
    Done,
    Duplicate,
    Effect,
    Facts,
    Held,
    Identity,
    InboxRow,
    JournalRow,
    OpenEffect,
    Outcome,
    Owner,
    Process,
    Refused,
    Stored,
    ThreadRow,
)


class _Inbound(msgspec.Struct, kw_only=True):
    """An inbox row with what became of it; replaced, never changed in place."""

    row: InboxRow
    revision: int | None = None
    reply: bytes | None = None


class _Effect(msgspec.Struct, kw_only=True):
    row: OpenEffect
    done_at_ms: int | None = None


class MemoryDisk:
    """The durable part: what every handle sees and what a crash leaves."""

    def __init__(self) -> None:
        """Start empty."""
        self.epoch = 0
        self.owner: Owner | None = None
        self.inbox: dict[str, _Inbound] = {}
        self.sessions: dict[str, Stored] = {}
        self.journal: dict[str, list[JournalRow]] = {}
        self.event_ids: dict[tuple[str, str], JournalRow] = {}
        self.effects: dict[str, _Effect] = {}
        self.open_effects: dict[str, OpenEffect] = {}
        self.history: dict[str, list[bytes]] = {}
        self.workers: dict[str, bytes] = {}
        self.processes: dict[str, Process] = {}
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
        return copy


class MemoryStore:
    """One handle on a `MemoryDisk`."""

    def __init__(
        self,
        disk: MemoryDisk | None = None,
        *,
        read_only: bool = False,
        is_alive: Callable[[Identity], bool] = is_alive,
    ) -> None:
        """Open a handle on ``disk``, or on a new one."""
        self._disk: MemoryDisk | None = MemoryDisk() if disk is None else disk
        self._read_only = read_only
        self._is_alive = is_alive
        self.epoch: int | None = None
        self.owner = _Ownership(self)
        self.inbox = _Inbox(self)
        self.sessions = _Sessions(self)
        self.outbox = _Outbox(self)
        self.journal = _Journal(self)
        self.history = _History(self)
        self.workers = _Workers(self)
        self.processes = _Processes(self)

    @property
    def disk(self) -> MemoryDisk:
        """Return the durable part; raise `StoreClosed` on a closed or crashed handle."""
        if self._disk is None:
            msg = "the store handle was closed"
            raise StoreClosed(msg)
        return self._disk

    def crash(self) -> Self:
        """End this handle as a killed process would; return a fresh one on what was durable."""
        fresh = type(self)(self.disk, is_alive=self._is_alive)
        self._disk = None
        return fresh

    def fork(self) -> Self:
        """Return a handle on an independent copy of the durable part; this one stays usable."""
        return type(self)(self.disk.fork(), is_alive=self._is_alive)

    def writable(self) -> MemoryDisk:
        """Return the durable part for writing."""
        if self._read_only:
            msg = "the store was opened read-only"
            raise CannotWrite(msg)
        return self.disk

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

    def commit(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events; see `goalfsm.store.port.Store.commit`."""
        disk = self.owned()
        lost = Lost()
        outcomes: list[Outcome] = []
        for commit in batch:
            follows = lost.carries(commit)
            outcome = _conflict(disk, commit) if follows else self._apply(disk, commit)
            lost.note(commit, outcome)
            outcomes.append(outcome)
        for mark in done:
            _mark(disk, mark.key, mark.at_ms)
        return outcomes

    def _apply(self, disk: MemoryDisk, commit: Commit) -> Outcome:
        reason = too_large(commit)
        if reason is not None:
            return Refused(reason=reason)
        inbound = None if commit.inbox_id is None else disk.inbox.get(commit.inbox_id)
        known = disk.event_ids.get((commit.thread_id, commit.event_id))
        if known is not None:
            if inbound is not None and inbound.revision is None:
                # It came another way before; its row has nothing more to wait for.
                row = _Inbound(row=inbound.row, revision=known.revision)
                disk.inbox[inbound.row.inbox_id] = row
            return Duplicate(
                revision=known.revision, reply=None if inbound is None else inbound.reply
            )
        if inbound is not None and inbound.row.thread_id != commit.thread_id:
            return Refused(reason="the inbox row belongs to another thread")
        if inbound is not None and inbound.revision is not None:
            return Duplicate(revision=inbound.revision, reply=inbound.reply)
        conflict = _conflict(disk, commit)
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
            _add_effect(disk, commit, effect, revision)
        for key in commit.outbox_done:
            _mark(disk, key, commit.at_ms)
        if commit.history:
            disk.history.setdefault(thread_id, []).extend(commit.history)
        if commit.inbox_id is not None:
            before = disk.inbox.get(commit.inbox_id)
            inbound = before.row if before is not None else _consumed_at_birth(disk, commit)
            disk.inbox[commit.inbox_id] = _Inbound(
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

    def reopen(self) -> None:
        """Raise `Fenced` when there is a successor; memory has nothing else to settle."""
        if self.epoch is not None:
            self.owned()

    def close(self) -> None:
        """Close the handle; the disk stays."""
        self._disk = None


def _conflict(disk: MemoryDisk, commit: Commit) -> Conflict:
    stored = disk.sessions.get(commit.thread_id)
    return Conflict(actual_revision=0 if stored is None else stored.revision)


def _add_effect(disk: MemoryDisk, commit: Commit, effect: Effect, revision: int) -> None:
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
    disk.effects[effect.key] = _Effect(row=row)
    disk.open_effects[effect.key] = row


def _mark(disk: MemoryDisk, key: str, at_ms: int) -> None:
    row = disk.open_effects.pop(key, None)
    if row is not None:
        disk.effects[key] = _Effect(row=row, done_at_ms=at_ms)


def _consumed_at_birth(disk: MemoryDisk, commit: Commit) -> InboxRow:
    return InboxRow(
        seq=disk.next_seq(),
        inbox_id=commit.inbox_id or "",
        thread_id=commit.thread_id,
        at_ms=commit.at_ms,
        event=b"",
    )


class _Ownership:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    @property
    def epoch(self) -> int | None:
        return self._store.epoch

    def claim(self, identity: Identity, *, socket: str, uptime_ms: int) -> Claimed | Held:
        store = self._store
        disk = store.writable()
        before = disk.owner
        if before is not None and store.epoch == before.epoch:
            disk.owner = msgspec.structs.replace(before, uptime_ms=uptime_ms, socket=socket)
            return Claimed(epoch=before.epoch)
        if before is not None and store.living(before.identity):
            silent = max(0, uptime_ms - before.uptime_ms)
            if silent < EXPIRY_MS:
                return Held(owner=before, silent_for_ms=silent)
        disk.epoch += 1
        disk.owner = Owner(identity=identity, epoch=disk.epoch, socket=socket, uptime_ms=uptime_ms)
        store.epoch = disk.epoch
        return Claimed(epoch=disk.epoch, previous=before)

    def heartbeat(self, *, uptime_ms: int) -> None:
        disk = self._store.owned()
        if disk.owner is not None:
            disk.owner = msgspec.structs.replace(disk.owner, uptime_ms=uptime_ms)

    def release(self) -> None:
        store = self._store
        if store.epoch is None:
            return
        if store.writable().epoch == store.epoch:
            store.disk.owner = None
        store.epoch = None

    def current(self) -> Owner | None:
        return self._store.disk.owner


class _Inbox:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def put(self, inbox_id: str, thread_id: str, *, at_ms: int, event: bytes) -> bool:
        check_size("event", event)
        disk = self._store.writable()
        if inbox_id in disk.inbox:
            return False
        row = InboxRow(
            seq=disk.next_seq(), inbox_id=inbox_id, thread_id=thread_id, at_ms=at_ms, event=event
        )
        disk.inbox[inbox_id] = _Inbound(row=row)
        return True

    def pending(self, *, after: int = 0, limit: int = 1000) -> tuple[InboxRow, ...]:
        rows = (
            value.row
            for value in self._store.disk.inbox.values()
            if value.revision is None and value.row.seq > after
        )
        return tuple(sorted(rows, key=lambda row: row.seq)[:limit])

    def answer(self, inbox_id: str) -> Answer | None:
        value = self._store.disk.inbox.get(inbox_id)
        return None if value is None else Answer(revision=value.revision, reply=value.reply)


class _Sessions:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def load(self, thread_id: str) -> Stored | None:
        return self._store.disk.sessions.get(thread_id)

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        return tuple(
            _listed(stored)
            for _, stored in sorted(self._store.disk.sessions.items())
            if not statuses or stored.status in statuses
        )

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        due = sorted(
            (stored.wake_at_ms, stored.thread_id)
            for stored in self._store.disk.sessions.values()
            if stored.wake_at_ms is not None and stored.wake_at_ms <= now_ms
        )
        sessions = self._store.disk.sessions
        return tuple(_listed(sessions[thread_id]) for _, thread_id in due[:limit])

    def next_wake(self) -> int | None:
        sessions = self._store.disk.sessions.values()
        return min((s.wake_at_ms for s in sessions if s.wake_at_ms is not None), default=None)


def _listed(stored: Stored) -> ThreadRow:
    return ThreadRow(
        thread_id=stored.thread_id,
        status=stored.status,
        wake_at_ms=stored.wake_at_ms,
        revision=stored.revision,
        updated_at_ms=stored.updated_at_ms,
    )


class _Outbox:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        rows = (
            row
            for row in self._store.disk.open_effects.values()
            if row.seq > after and (thread_id is None or row.thread_id == thread_id)
        )
        return tuple(sorted(rows, key=lambda row: row.seq)[:limit])

    def mark_done(self, done: Sequence[Done]) -> None:
        disk = self._store.owned()
        for mark in done:
            _mark(disk, mark.key, mark.at_ms)


class _Journal:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def read(
        self, thread_id: str, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> tuple[JournalRow, ...]:
        # Revisions have no gaps and begin at 1, so a row's place is its revision.
        rows = self._store.disk.journal.get(thread_id, [])[max(after, 0) :]
        return tuple(rows[::-1][:limit]) if newest else tuple(rows[:limit])

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        return self._store.disk.event_ids.get((thread_id, event_id))


class _History:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        return tuple(self._store.disk.history.get(thread_id, ()))


class _Workers:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def put(self, thread_id: str, config: bytes) -> None:
        check_size("worker", config)
        self._store.writable().workers[thread_id] = config

    def get(self, thread_id: str) -> bytes | None:
        return self._store.disk.workers.get(thread_id)


class _Processes:
    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def put(self, process: Process) -> None:
        self._store.owned().processes[process.run_id] = process

    def end(self, run_id: str) -> None:
        self._store.owned().processes.pop(run_id, None)

    def open(self) -> tuple[Process, ...]:
        return tuple(sorted(self._store.disk.processes.values(), key=lambda p: (p.at_ms, p.run_id)))
