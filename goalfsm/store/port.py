"""What goalfsm asks of a store: narrow enough for another backend to stand behind it.

A store moves opaque bytes and knows nothing of goals. It gives:

- **one transaction for one event**: journal row, new state, effects to do, inbox row consumed and
  history are there together or not at all, and durable when `Store.commit` returns;
- **compare-and-set** on the revision of the thread, and on the epoch of the owner;
- **idempotence**: an event id that the journal knows, an inbox id or an effect key that is known
  already, changes nothing the second time.

Every method is synchronous and runs on the caller's thread; a handle belongs to one thread, except
where a docstring says "any thread". Methods are marked:

- *owner*: only for the handle whose `Ownership.claim` succeeded; otherwise raises `Fenced`;
- *writer*: any handle that was not opened read-only; another process may be the owner;
- *reader*: also on a read-only handle; never writes, takes no ownership.

Times named ``*_ms`` are unix milliseconds, except ``uptime_ms``, see `Ownership`.

Errors: besides those named, every method may raise `StoreUnavailable` (the device or the file
failed; nothing was written), `Corrupt`, `Busy` (another process held the lock for longer than the
handle waits) and `StoreClosed`. Writers also raise `DiskFull`, `CannotWrite`, `DatabaseReplaced`
(the file at the path is no longer the one that was opened) and `OutcomeUnknown`. After a raise
nothing of that call was written, except after `OutcomeUnknown`: then `Store.reopen`, and read by
key (`Journal.find`, `Inbox.answer`) what came of it, or submit the same commit again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

EXPIRY_MS: Final = 10_000
"""How long a living owner may be silent before another process may take its place."""

MAX_COMMIT_BYTES: Final = 8 * 1024 * 1024
"""Most bytes that one commit or inbox row carries, all its blobs together."""


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """An effect to do after the commit that carries it.

    ``key`` is unique in the store, so derive it from the thread and the revision or run. A key
    that is there already, open or done, is left as it is.
    """

    key: str
    kind: str
    payload: bytes = b""


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    """One event of one thread with everything that follows from it.

    ``expected_revision`` is the revision that the state was computed from, 0 for a new thread; the
    commit makes it one more. ``event_id`` is unique in the thread. ``wake_at_ms`` is the earliest
    timer that the state waits for, None for none; ``status`` a short label for listings.
    ``outbox_done`` names effects that this event reports as done. ``inbox_id`` is the inbox row
    that this commit consumes; where there is no such row (the event came over a socket) one is
    written, consumed at birth, so that ``reply`` is found when the sender asks again.
    """

    thread_id: str
    expected_revision: int
    at_ms: int
    event_id: str
    event: bytes
    decision: bytes | None = None
    state: bytes
    digest: bytes = b""
    rules_version: int = 1
    wake_at_ms: int | None = None
    status: str = ""
    outbox: tuple[Effect, ...] = ()
    outbox_done: tuple[str, ...] = ()
    history: tuple[bytes, ...] = ()
    inbox_id: str | None = None
    reply: bytes | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """The commit is durable; the thread is at ``revision``."""

    revision: int


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was written: the thread was at ``actual_revision`` (0: there is none)."""

    actual_revision: int


class Duplicate(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was written: this event was committed before, as ``revision`` of its thread.

    Also the answer where the inbox row was consumed before. ``reply`` is the inbox row's. A row
    that is still pending is consumed: the event came another way before.
    """

    revision: int
    reply: bytes | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing was written: this commit can never be, ``reason`` says why (it is too large)."""

    reason: str


Outcome = Committed | Conflict | Duplicate | Refused


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was done at ``at_ms``."""

    key: str
    at_ms: int


class OpenEffect(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was committed with ``revision`` of its thread and is not marked done."""

    seq: int
    thread_id: str
    revision: int
    at_ms: int
    key: str
    kind: str
    payload: bytes


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot of one thread; ``epoch`` is that of the owner that wrote it."""

    thread_id: str
    state: bytes
    revision: int
    rules_version: int
    status: str
    wake_at_ms: int | None
    updated_at_ms: int
    epoch: int


class ThreadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A thread in a listing, without its state."""

    thread_id: str
    status: str
    wake_at_ms: int | None
    revision: int
    updated_at_ms: int


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """One committed event; ``seq`` orders all threads, ``revision`` one thread without gaps."""

    seq: int
    thread_id: str
    revision: int
    event_id: str
    at_ms: int
    event: bytes
    decision: bytes | None
    digest: bytes
    rules_version: int
    epoch: int


class InboxRow(msgspec.Struct, frozen=True, kw_only=True):
    """An event from outside that no commit has consumed; ``seq`` is the order of arrival."""

    seq: int
    inbox_id: str
    thread_id: str
    at_ms: int
    event: bytes


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an inbox row: ``revision`` is None until a commit has consumed it."""

    revision: int | None
    reply: bytes | None


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One process for good: a pid alone is used again.

    ``start_time`` is in a unit of the platform's choosing, comparable within one boot.
    ``namespace`` is that of its pid, empty where there is no such thing.
    """

    pid: int
    start_time: int
    boot_id: str
    namespace: str = ""


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns the store: the row that `Ownership.claim` writes."""

    identity: Identity
    epoch: int
    socket: str
    uptime_ms: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """The handle owns the store under ``epoch``; ``previous`` died or fell silent."""

    epoch: int
    previous: Owner | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody else owns the store, or is taking it.

    ``silent_for_ms`` counts from the owner's last heartbeat. ``locked``: the write lock could not
    be had, so nothing was decided; an owner that is also silent for longer than `EXPIRY_MS` was
    stopped inside a transaction, and ends only when its process is killed.
    """

    owner: Owner | None
    silent_for_ms: int
    locked: bool = False


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The process group of one run, so that a successor can end it before it dispatches."""

    run_id: str
    thread_id: str
    identity: Identity
    pgid: int
    at_ms: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What `doctor` shows of a store; sizes in bytes, None where it has no meaning."""

    backend: str
    version: str
    path: str | None = None
    schema_version: int
    settings: tuple[tuple[str, str], ...] = ()
    size: int | None = None
    wal_size: int | None = None
    wal_frames: int | None = None
    reserve: int | None = None
    free_space: int | None = None
    mode: int | None = None
    directory_mode: int | None = None
    threads: int
    journal_rows: int
    open_effects: int
    pending_inbox: int


class Ownership(Protocol):
    """One owner at a time, fenced by an epoch that only grows.

    ``uptime_ms`` is read from a clock that all processes of this boot share and that nobody sets
    (`goalfsm.store.owner.uptime_ms`), so that a wall clock that jumps neither deposes an owner
    nor keeps a dead one.
    """

    @property
    def epoch(self) -> int | None:
        """Return the epoch that this handle claimed, None when it claimed none (or was fenced)."""
        ...

    def claim(self, identity: Identity, *, socket: str, uptime_ms: int) -> Claimed | Held:
        """Become the owner where there is none, or it is dead, or silent for `EXPIRY_MS` (writer).

        The epoch is raised in the same transaction, so the one before is fenced at its next write.
        For the handle that is the owner already this is a heartbeat.
        """
        ...

    def heartbeat(self, *, uptime_ms: int) -> None:
        """Say that the owner lives; raise `Fenced` when there is a successor (owner)."""
        ...

    def release(self) -> None:
        """Give the store up, so that the next claim succeeds at once; no-op when not the owner."""
        ...

    def current(self) -> Owner | None:
        """Return who owns the store, dead or alive (reader)."""
        ...


class Inbox(Protocol):
    """Events from outside, durable before their sender is answered."""

    def put(self, inbox_id: str, thread_id: str, *, at_ms: int, event: bytes) -> bool:
        """Store the event; return False when the id is known and nothing was written (writer).

        The first event under an id stays. Raises `TooLarge` above `MAX_COMMIT_BYTES`.
        """
        ...

    def pending(self, *, after: int = 0, limit: int = 1000) -> tuple[InboxRow, ...]:
        """Return rows not consumed with ``seq`` above ``after``, oldest first (reader)."""
        ...

    def answer(self, inbox_id: str) -> Answer | None:
        """Return what became of that row, None when the id is unknown (reader)."""
        ...


class Sessions(Protocol):
    """The snapshot of every thread."""

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread, None when there is none (reader)."""
        ...

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """Return all threads, or those with one of these statuses, by thread id (reader)."""
        ...

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """Return threads with ``wake_at_ms <= now_ms``, the longest due first (reader)."""
        ...

    def next_wake(self) -> int | None:
        """Return the earliest ``wake_at_ms`` of all threads (reader)."""
        ...


class Outbox(Protocol):
    """Effects to do: at least once, under a key that makes the second time harmless."""

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        """Return effects not done, of one thread or all, in the order of commit (reader)."""
        ...

    def mark_done(self, done: Sequence[Done]) -> None:
        """Record that these were done; unknown keys and keys done before are no error (owner)."""
        ...


class Journal(Protocol):
    """Every event and what it decided: append-only."""

    def read(
        self, thread_id: str, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> tuple[JournalRow, ...]:
        """Return rows with ``revision`` above ``after``, oldest first (reader).

        ``newest``: the last ``limit`` of them, newest first.
        """
        ...

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """Return the row of an event, None when it was never committed (reader)."""
        ...


class History(Protocol):
    """The entries that people, forks and importers see."""

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """Return the entries of a thread, oldest first (reader)."""
        ...


class WorkerConfigs(Protocol):
    """What runs a thread's turns, as the front end described it: argv, cwd, environment names."""

    def put(self, thread_id: str, config: bytes) -> None:
        """Store or replace the thread's worker (writer). Raises `TooLarge`."""
        ...

    def get(self, thread_id: str) -> bytes | None:
        """Return the thread's worker, None when none was stored (reader)."""
        ...


class Processes(Protocol):
    """The process groups of open runs.

    They are kept whichever process dies; a store may lose the last of them with the machine, as
    the processes themselves are.
    """

    def put(self, process: Process) -> None:
        """Store or replace the process of a run (owner)."""
        ...

    def end(self, run_id: str) -> None:
        """Forget the process of a run; no error when it is not there (owner)."""
        ...

    def open(self) -> tuple[Process, ...]:
        """Return the processes that were not ended, oldest first (reader)."""
        ...


class Checkpointer(Protocol):
    """Moves what was committed out of the write-ahead log, off the thread that commits.

    It has its own connection. `run` and `close` are called on one thread of the caller's choice,
    `backlog` on any.
    """

    def backlog(self) -> int:
        """Return how many frames the log holds, as of the last commit or run (any thread)."""
        ...

    def run(self) -> bool:
        """Move what can be moved; return True when the log is free to start over.

        Commits go on meanwhile, so under load it never is; held against commits it is, unless a
        reader is in the way.
        """
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Store(Protocol):
    """One store handle. Closing it does not release ownership: a crash would not either."""

    @property
    def owner(self) -> Ownership:
        """Who may commit."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Events from outside."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Snapshots."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Effects to do."""
        ...

    @property
    def journal(self) -> Journal:
        """The audit trail."""
        ...

    @property
    def history(self) -> History:
        """Entries for people."""
        ...

    @property
    def workers(self) -> WorkerConfigs:
        """What runs each thread."""
        ...

    @property
    def processes(self) -> Processes:
        """The process groups of open runs."""
        ...

    def commit(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events in one durable transaction; return an outcome for each, in order.

        A commit that loses its compare-and-set, or is a repeat, is left out without harm to the
        others; several commits of one thread may follow one another in a batch, and what follows
        one that was left out conflicts, whatever the revision is by then. ``done`` is
        marked in the same transaction. Raises `Fenced` for the whole batch when this handle is
        not the owner (any more) (owner).
        """
        ...

    def prune(self, *, before_ms: int) -> int:
        """Delete consumed inbox rows and done effects older than that; return how many (owner).

        Their events stay in the journal, so a repeat stays harmless.
        """
        ...

    def checkpointer(self) -> Checkpointer | None:
        """Return what moves the log, for the caller to run; None where there is nothing to do.

        From then on `commit` never does it itself.
        """
        ...

    def release_reserve(self) -> bool:
        """Give back the space kept for the last words on a full disk; True when there was some."""
        ...

    def restore_reserve(self) -> bool:
        """Set that space aside again; False while there is no room for it."""
        ...

    def backup(self, path: Path) -> None:
        """Write a consistent copy, while others commit, to a path that does not exist (any thread).

        The copy has no owner. Raises `CannotWrite`, `DiskFull`.
        """
        ...

    def integrity(self) -> tuple[str, ...]:
        """Return what is wrong with the stored data, empty when nothing is (reader, any thread)."""
        ...

    def facts(self) -> Facts:
        """Return what `doctor` shows (reader)."""
        ...

    def reopen(self) -> None:
        """Drop the handle's connection and open the same file again; keeps the epoch.

        For an owner this also settles `OutcomeUnknown`: what is absent afterwards stays absent.
        Raises `Fenced` when there is a successor, `DatabaseReplaced` when the file is another.
        """
        ...

    def close(self) -> None:
        """Close the handle; a second time is no error."""
        ...
