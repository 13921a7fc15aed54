"""The parts of the store in memory: what each port of `goalfsm.store.port` does on its disk."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence

import msgspec

from goalfsm.store.limits import bounded, check_size, surplus
from goalfsm.store.memory_disk import Inbound, MemoryHandle, mark_done
from goalfsm.store.owner import Silence
from goalfsm.store.port import (
    EXPIRY_MS,
    PAGE_BYTES,
    Acquired,
    Answer,
    Done,
    Held,
    Identity,
    InboxRow,
    JournalRow,
    OpenEffect,
    Owner,
    Process,
    Stored,
    ThreadRow,
    Transcript,
)


class MemoryLease:
    """`goalfsm.store.port.Lease` in memory."""

    def __init__(self, store: MemoryHandle) -> None:
        self._store = store
        self._silence = Silence()

    @property
    def epoch(self) -> int | None:
        """See `goalfsm.store.port.Lease.epoch`."""
        return self._store.epoch

    def acquire(
        self,
        identity: Identity,
        *,
        socket: str,
        uptime_ms: int,
        unanswered_ms: int | None = None,
    ) -> Acquired | Held:
        """See `goalfsm.store.port.Lease.acquire`."""
        store = self._store
        disk = store.writable()
        before = disk.owner
        if before is not None and store.epoch == before.epoch:
            disk.owner = msgspec.structs.replace(
                before, uptime_ms=uptime_ms, socket=socket, resting=False
            )
            return Acquired(epoch=before.epoch)
        if before is not None and store.living(before.identity):
            silent = self._silence.of(
                before, identity, uptime_ms=uptime_ms, unanswered_ms=unanswered_ms
            )
            if silent < EXPIRY_MS:
                return Held(owner=before, silent_for_ms=silent)
        disk.epoch += 1
        disk.owner = Owner(identity=identity, epoch=disk.epoch, socket=socket, uptime_ms=uptime_ms)
        store.own(disk.epoch)
        return Acquired(epoch=disk.epoch, previous=before)

    def heartbeat(self, *, uptime_ms: int, seen_ms: int = 0) -> None:
        """See `goalfsm.store.port.Lease.heartbeat`."""
        disk = self._store.owned()
        if disk.owner is not None:
            disk.owner = msgspec.structs.replace(
                disk.owner, uptime_ms=uptime_ms, seen_ms=seen_ms, resting=False
            )

    def rest(self) -> None:
        """See `goalfsm.store.port.Lease.rest`."""
        disk = self._store.owned()
        if disk.owner is not None:
            disk.owner = msgspec.structs.replace(disk.owner, resting=True)

    def confirm(self) -> None:
        """See `goalfsm.store.port.Lease.confirm`."""
        self._store.owned()

    def release(self) -> None:
        """See `goalfsm.store.port.Lease.release`."""
        store = self._store
        if store.epoch is None:
            return
        if store.writable().epoch == store.epoch:
            store.disk.owner = None
        store.own(None)

    def current(self) -> Owner | None:
        """See `goalfsm.store.port.Lease.current`."""
        return self._store.disk.owner


class _Port:
    def __init__(self, store: MemoryHandle) -> None:
        self._store = store


class MemoryInbox(_Port):
    """`goalfsm.store.port.Inbox` in memory."""

    def put(self, inbox_id: str, thread_id: str, *, at_ms: int, event: bytes) -> bool:
        """See `goalfsm.store.port.Inbox.put`."""
        check_size("event", event)
        disk = self._store.writable()
        if inbox_id in disk.inbox:
            return False
        row = InboxRow(
            seq=disk.next_seq(), inbox_id=inbox_id, thread_id=thread_id, at_ms=at_ms, event=event
        )
        disk.inbox[inbox_id] = Inbound(row=row)
        return True

    def pending(self, *, after: int = 0, limit: int = 1000) -> tuple[InboxRow, ...]:
        """See `goalfsm.store.port.Inbox.pending`."""
        rows = (
            value.row
            for value in self._store.disk.inbox.values()
            if value.revision is None and value.row.seq > after
        )
        return tuple(sorted(rows, key=lambda row: row.seq)[:limit])

    def answer(self, inbox_id: str) -> Answer | None:
        """See `goalfsm.store.port.Inbox.answer`."""
        value = self._store.disk.inbox.get(inbox_id)
        return None if value is None else Answer(revision=value.revision, reply=value.reply)


class MemorySessions(_Port):
    """`goalfsm.store.port.Sessions` in memory."""

    def load(self, thread_id: str) -> Stored | None:
        """See `goalfsm.store.port.Sessions.load`."""
        return self._store.disk.sessions.get(thread_id)

    def many(self, thread_ids: Collection[str]) -> tuple[Stored, ...]:
        """See `goalfsm.store.port.Sessions.many`."""
        return tuple(filter(None, map(self.load, thread_ids)))

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """See `goalfsm.store.port.Sessions.threads`."""
        return tuple(
            _listed(stored)
            for _, stored in sorted(self._store.disk.sessions.items())
            if not statuses or stored.status in statuses
        )

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """See `goalfsm.store.port.Sessions.due`."""
        due = sorted(
            (stored.wake_at_ms, stored.thread_id)
            for stored in self._store.disk.sessions.values()
            if stored.wake_at_ms is not None and stored.wake_at_ms <= now_ms
        )
        sessions = self._store.disk.sessions
        return tuple(_listed(sessions[thread_id]) for _, thread_id in due[:limit])

    def next_wake(self) -> int | None:
        """See `goalfsm.store.port.Sessions.next_wake`."""
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


class MemoryOutbox(_Port):
    """`goalfsm.store.port.Outbox` in memory."""

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        """See `goalfsm.store.port.Outbox.open`."""
        rows = (
            row
            for row in self._store.disk.open_effects.values()
            if row.seq > after and (thread_id is None or row.thread_id == thread_id)
        )
        return tuple(sorted(rows, key=lambda row: row.seq)[:limit])

    def mark_done(self, done: Sequence[Done]) -> None:
        """See `goalfsm.store.port.Outbox.mark_done`."""
        disk = self._store.owned()
        for mark in done:
            mark_done(disk, mark.key, mark.at_ms)


class MemoryJournal(_Port):
    """`goalfsm.store.port.Journal` in memory."""

    def read(  # noqa: PLR0913 - each narrows what is read
        self,
        thread_id: str,
        *,
        after: int = 0,
        before: int | None = None,
        limit: int = 1000,
        max_bytes: int = PAGE_BYTES,
        newest: bool = False,
    ) -> tuple[JournalRow, ...]:
        """See `goalfsm.store.port.Journal.read`."""
        # Revisions have no gaps and begin at 1, so a row's place is its revision.
        end = None if before is None else max(before - 1, 0)
        rows = self._store.disk.journal.get(thread_id, [])[max(after, 0) : end]
        found: list[JournalRow] = []
        for row in reversed(rows) if newest else rows:
            if max_bytes <= 0 or len(found) >= limit:
                break
            found.append(row)
            max_bytes -= len(row.event) + len(row.decision or b"") + len(row.digest)
        return tuple(found)

    def revision_before(self, thread_id: str, at_ms: int) -> int:
        """See `goalfsm.store.port.Journal.revision_before`."""
        rows = self._store.disk.journal.get(thread_id, [])
        return bisect_left(rows, at_ms, key=lambda row: row.at_ms)

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """See `goalfsm.store.port.Journal.find`."""
        return self._store.disk.event_ids.get((thread_id, event_id))


class MemoryHistory(_Port):
    """`goalfsm.store.port.History` in memory."""

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """See `goalfsm.store.port.History.read`."""
        return tuple(self._store.disk.history.get(thread_id, ()))


class MemoryWorkers(_Port):
    """`goalfsm.store.port.WorkerConfigs` in memory."""

    def put(self, thread_id: str, config: bytes) -> None:
        """See `goalfsm.store.port.WorkerConfigs.put`."""
        check_size("worker", config)
        self._store.writable().workers[thread_id] = config

    def remove(self, thread_id: str) -> None:
        """See `goalfsm.store.port.WorkerConfigs.remove`."""
        self._store.writable().workers.pop(thread_id, None)

    def get(self, thread_id: str) -> bytes | None:
        """See `goalfsm.store.port.WorkerConfigs.get`."""
        return self._store.disk.workers.get(thread_id)


class MemoryTranscripts(_Port):
    """`goalfsm.store.port.TranscriptKeeping` in memory."""

    def put(self, transcript: Transcript) -> None:
        """See `goalfsm.store.port.TranscriptKeeping.put`."""
        kept = self._store.owned().transcripts
        kept[transcript.run_id] = bounded(transcript)
        rows = self._newest(transcript.thread_id)
        for row in rows[surplus([len(row.answer) + len(row.stderr) for row in rows]) :]:
            del kept[row.run_id]

    def read(
        self, thread_id: str, *, before_turn: int | None = None, limit: int = 10
    ) -> tuple[Transcript, ...]:
        """See `goalfsm.store.port.Transcripts.read`."""
        rows = self._newest(thread_id)
        return tuple(row for row in rows if before_turn is None or row.turn < before_turn)[:limit]

    def of_run(self, run_id: str) -> Transcript | None:
        """See `goalfsm.store.port.Transcripts.of_run`."""
        return self._store.disk.transcripts.get(run_id)

    def _newest(self, thread_id: str) -> list[Transcript]:
        rows = self._store.disk.transcripts.values()
        mine = (row for row in rows if row.thread_id == thread_id)
        return sorted(mine, key=lambda row: (row.turn, row.run_id), reverse=True)


class MemoryProcesses(_Port):
    """`goalfsm.store.port.Processes` in memory."""

    def put(self, process: Process) -> None:
        """See `goalfsm.store.port.Processes.put`."""
        self._store.owned().processes[process.run_id] = process

    def end(self, run_id: str) -> None:
        """See `goalfsm.store.port.Processes.end`."""
        self._store.owned().processes.pop(run_id, None)

    def open(self) -> tuple[Process, ...]:
        """See `goalfsm.store.port.Processes.open`."""
        return tuple(sorted(self._store.disk.processes.values(), key=lambda p: (p.at_ms, p.run_id)))
