"""A store in memory that fails as planned, and that shows the oracle all that becomes durable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from goalfsm.errors import (
    Busy,
    DatabaseReplaced,
    DiskFull,
    OutcomeUnknown,
    StoreClosed,
    StoreUnavailable,
)
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import (
    Acquired,
    Answer,
    Commit,
    Done,
    Held,
    Identity,
    InboxRow,
    OpenEffect,
    Outcome,
    Owner,
    Process,
    Stored,
)

if TYPE_CHECKING:
    from tests.simulation.plan import CommitSort, FaultKind, ReadSort
    from tests.simulation.process import Process as SimProcess

_WRITING = frozenset({"put", "end"})
"""What changes something; all other methods read."""

_ERRORS = {
    "full": DiskFull("no space left on device"),
    "busy": Busy("the database is locked"),
    "failing": StoreUnavailable("input/output error"),
}


class FaultyStore(MemoryStore):
    """One process's handle."""

    def __init__(self, process: SimProcess) -> None:
        world = process.world
        super().__init__(
            world.disk, is_alive=lambda identity: world.is_alive(identity, process.identity)
        )
        self._process = process
        self._world = world
        self.claimed: int | None = None
        """The epoch that this handle claimed last, whatever has become of it."""
        self._of_a_disk = world.disk
        self.owner: Any = _Ownership(self, self.owner)
        self.journal: Any = _Part(self, self.journal)
        self.history: Any = _Part(self, self.history)
        self.inbox: Any = _Inbox(self, self.inbox)
        self.sessions: Any = _Sessions(self, self.sessions)
        self.outbox: Any = _Outbox(self, self.outbox)
        self.processes: Any = _Processes(self, self.processes)
        self.workers: Any = _Read(self, self.workers, "workers", "get")
        self.transcripts: Any = _Read(self, self.transcripts, "transcripts", "read", "of_run")

    def crash(self) -> Any:
        """End the handle; a process has one only."""
        self._disk = None

    def commit(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events, unless the plan is against it."""
        process = self._process
        self.touch()
        if not process.ready:
            process.point("taking_over")
        process.point("commit.before")
        self.look()
        fault = self._world.hardware.fault(self._sorts(batch))
        if fault is None and (done or any(self._is_new(each) for each in batch)):
            fault = self.refused()
        if fault is not None:
            process.trace("store fails", fault)
            if fault == "unknown_kept":
                self._commit(batch, done)
            self._raise(fault)
        outcomes = self._commit(batch, done)
        process.point("commit.after")
        return outcomes

    def _is_new(self, commit: Commit) -> bool:
        """Tell whether a commit writes anything: a repeat does not."""
        return (commit.thread_id, commit.event_id) not in self.disk.event_ids

    def _sorts(self, batch: Sequence[Commit]) -> Iterator[CommitSort]:
        yield "any"
        if not batch:
            yield "marks"
        if not all(map(self._is_new, batch)):
            yield "repeat"
        if any(c.inbox_id is not None for c in batch):
            yield "asked"

    def _commit(self, batch: Sequence[Commit], done: Sequence[Done]) -> list[Outcome]:
        outcomes = super().commit(batch, done=done)
        self._world.oracle.committed(self._process, batch, outcomes, done)
        return outcomes

    def _raise(self, fault: FaultKind) -> None:
        if fault in _ERRORS:
            error = _ERRORS[fault]
            raise type(error)(error.message)
        raise OutcomeUnknown("input/output error during the commit")

    def refused(self) -> Literal["full", "busy"] | None:
        """Return why the machine takes no write now, None when it does."""
        return self._world.hardware.refuses(self._world.now_us // 1000)

    def write(self) -> None:
        """Refuse a write other than a commit, where the machine takes none."""
        self.touch()
        self.look()
        refused = self.refused()
        if refused is not None:
            self._process.trace("store fails", refused)
            self._raise(refused)

    def release_reserve(self) -> bool:
        """Give back what was set aside for a full disk."""
        self.touch()
        return self._world.hardware.release(self._world.now_us // 1000)

    def touch(self, *, reads: ReadSort | None = None) -> None:
        """Refuse a dead process, and fail where the plan says so."""
        if self._process.dead:
            raise StoreClosed("the process is dead")
        if reads is not None and self._world.hardware.read_fault(reads, self._world.now_us // 1000):
            self._process.trace("store fails to read")
            raise StoreUnavailable("input/output error while reading")

    @property
    def is_renamed(self) -> bool:
        """Whether the path means another file by now."""
        return self._of_a_disk is not self._world.disk

    def look(self) -> None:
        """Refuse to write into a file that nobody else finds any more."""
        if self.is_renamed:
            self._process.trace("store finds another file at its path")
            raise DatabaseReplaced("it was replaced while it was open")

    def verify(self) -> None:
        """Look at the file, as an engine does now and then."""
        self.touch(reads="each")
        self.look()

    def reopen(self) -> None:
        """Open the same disk again."""
        self.touch(reads="any")
        super().reopen()

    def see(self, process: SimProcess, epoch: int) -> None:
        """Note that this handle owns the store now."""
        self.claimed = epoch
        self._world.oracle.claimed(process, epoch)

    @property
    def process(self) -> SimProcess:
        """Return whose handle it is."""
        return self._process


class _Part:
    """One table of the store, as it is but for the faults."""

    def __init__(self, store: FaultyStore, inner: Any) -> None:
        self._store = store
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            self._store.touch()
        elif name in _WRITING:
            self._store.write()
        else:
            self._store.touch(reads="each")
        return found


class _Read(_Part):
    """A table of which some methods read."""

    def __init__(self, store: FaultyStore, inner: Any, sort: ReadSort, *reading: str) -> None:
        super().__init__(store, inner)
        self._sort: ReadSort = sort
        self._reading = frozenset(reading)

    def __getattr__(self, name: str) -> Any:
        if name in self._reading:
            self._store.touch(reads=self._sort)
        return super().__getattr__(name)


class _Ownership(_Part):
    def acquire(self, identity: Identity, **asked: Any) -> Acquired | Held:
        process = self._store.process
        self._store.touch(reads="each")
        process.point("claim.before")
        self._store.look()
        refused = self._store.refused()
        if refused == "full":
            self._store._raise(refused)
        owner = self._inner.current()
        if refused is not None:
            # Whoever holds the lock is no owner.
            silent_ms = 0
            if process.world.plan.door and owner is not None:
                silent_ms = asked["uptime_ms"] - owner.uptime_ms
            return Held(owner=owner, silent_for_ms=silent_ms, locked=process.world.plan.door)
        if process.world.plan.door:
            asked["socket"] = f"engine {process.pid}"
        answer: Acquired | Held = self._inner.acquire(identity, **asked)
        if isinstance(answer, Acquired):
            self._store.see(process, answer.epoch)
            process.trace("claims epoch", answer.epoch)
            process.point("claim.after")
        return answer

    def heartbeat(self, *, uptime_ms: int, seen_ms: int = 0) -> None:
        process = self._store.process
        self._store.touch()
        process.point("heartbeat")
        self._store.write()
        self._inner.heartbeat(uptime_ms=uptime_ms, seen_ms=seen_ms)
        process.world.oracle.beat(process)

    def rest(self) -> None:
        owner = self._inner.current()
        if owner is not None and owner.resting:
            self._store.touch(reads="each")
        else:
            self._store.write()
        self._inner.rest()

    def confirm(self) -> None:
        self._store.touch(reads="each")
        self._inner.confirm()

    def release(self) -> None:
        self._store.touch()
        self._store.look()
        self._inner.release()
        self._store.process.world.oracle.released(self._store.process)

    def current(self) -> Owner | None:
        self._store.touch(reads="each")
        owner: Owner | None = self._inner.current()
        return owner


class _Inbox(_Part):
    def pending(self, *, after: int = 0, limit: int = 1000) -> tuple[InboxRow, ...]:
        self._store.touch(reads="any")
        rows: tuple[InboxRow, ...] = self._inner.pending(after=after, limit=limit)
        if rows:
            self._store.process.point("inbox.read")
        return rows

    def answer(self, inbox_id: str) -> Answer | None:
        self._store.touch(reads="any")
        answer: Answer | None = self._inner.answer(inbox_id)
        return answer


class _Sessions(_Part):
    def load(self, thread_id: str) -> Stored | None:
        self._store.touch(reads="any")
        stored: Stored | None = self._inner.load(thread_id)
        return stored

    def threads(self, *asked: Any, **more: Any) -> Any:
        self._store.touch(reads="threads")
        return self._inner.threads(*asked, **more)


class _Outbox(_Part):
    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        self._store.touch(reads="any")
        rows: tuple[OpenEffect, ...] = self._inner.open(thread_id, after=after, limit=limit)
        return rows


class _Processes(_Part):
    def open(self) -> tuple[Process, ...]:
        self._store.touch(reads="processes")
        rows: tuple[Process, ...] = self._inner.open()
        return rows

    def put(self, process: Process) -> None:
        self._store.write()
        self._store.process.point("commit.before", "process")
        self._inner.put(process)
        self._store.process.point("commit.after", "process")

    def end(self, run_id: str) -> None:
        self._store.write()
        self._store.process.point("commit.before", "process")
        self._inner.end(run_id)
        self._store.process.point("commit.after", "process")
