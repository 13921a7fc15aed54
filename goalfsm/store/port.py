"""What a daemon asks of a store that one process owns: `Reading`, and what owning a file takes.

A store moves opaque bytes and knows nothing of goals. It gives:

- **one transaction for one event**: journal row, new state, effects to do, inbox row consumed and
  history are there together or not at all, and durable when `Store.commit` returns;
- **compare-and-set** on the revision of the thread, and on the epoch of the owner;
- **idempotence**: an event id that the journal knows, an inbox id or an effect key that is known
  already, changes nothing the second time.

Every method is synchronous and runs on the caller's thread; a handle belongs to one thread, except
where a docstring says "any thread". Methods are marked:

- *owner*: only for the handle whose `Lease.acquire` succeeded; otherwise raises `Fenced`;
- *writer*: any handle that was not opened read-only; another process may be the owner;
- *reader*: also on a read-only handle; never writes, takes no ownership.

Times named ``*_ms`` are unix milliseconds, except ``uptime_ms``, see `Lease`.

Errors: besides those named, every method may raise `StoreUnavailable` (the device or the file
failed; nothing was written), `Corrupt`, `Busy` (another process held the lock for longer than the
handle waits) and `StoreClosed`. Writers also raise `DiskFull`, `CannotWrite`, `DatabaseReplaced`
(the file at the path is no longer the one that was opened) and `OutcomeUnknown`. After a raise
nothing of that call was written, except after `OutcomeUnknown`: then `Store.reopen`, and read by
key (`Journal.find`, `Inbox.answer`) what came of it, or submit the same commit again. A handle that
goes on raising `StoreUnavailable` has a connection that is not to be trusted: `Store.reopen` too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from goalfsm.store.reading import (
    PAGE_BYTES,
    Answers,
    History,
    Journal,
    OpenEffects,
    Programs,
    Reading,
    Sessions,
    Transcripts,
)
from goalfsm.store.rows import (
    MAX_COMMIT_BYTES,
    Acquired,
    Answer,
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
    Invalid,
    JournalRow,
    OpenEffect,
    Outcome,
    Owner,
    Process,
    Stored,
    ThreadRow,
    Transcript,
)

__all__ = [
    "BUSY_MS",
    "EXPIRY_MS",
    "KEPT_BYTES",
    "KEPT_TRANSCRIPTS",
    "MAX_ANSWER_BYTES",
    "MAX_COMMIT_BYTES",
    "MAX_STDERR_BYTES",
    "PAGE_BYTES",
    "SPARE_TRANSCRIPTS",
    "Acquired",
    "Answer",
    "Answers",
    "Checkpointer",
    "Commit",
    "Committed",
    "Conflict",
    "Done",
    "Duplicate",
    "Effect",
    "Facts",
    "Held",
    "History",
    "Identity",
    "Inbox",
    "InboxRow",
    "Invalid",
    "Journal",
    "JournalRow",
    "Lease",
    "OpenEffect",
    "OpenEffects",
    "Outbox",
    "Outcome",
    "Owner",
    "Process",
    "Processes",
    "Programs",
    "Reading",
    "Sessions",
    "Store",
    "Stored",
    "ThreadRow",
    "Transcript",
    "TranscriptKeeping",
    "Transcripts",
    "WorkerConfigs",
]

BUSY_MS: Final = 2_000
"""How long a handle waits for another process's lock, unless it is told otherwise."""
EXPIRY_MS: Final = 10_000
"""How long a living owner may be silent before another process may take its place."""

MAX_ANSWER_BYTES: Final = 256 * 1024
"""How much of a turn's answer is kept: its end."""

MAX_STDERR_BYTES: Final = 64 * 1024
"""How much of a turn's standard error is kept: its end."""

KEPT_TRANSCRIPTS: Final = 100
"""How many transcripts of a thread are kept."""

SPARE_TRANSCRIPTS: Final = 16
"""How many more a store may have before it drops the oldest, all in one go."""

KEPT_BYTES: Final = 8 * 1024 * 1024
"""How many bytes of transcripts of a thread are kept; its newest is kept in any case."""


class Lease(Protocol):
    """One owner at a time, fenced by an epoch that only grows.

    ``uptime_ms`` is read from a clock that all processes of this boot share and that nobody sets,
    so that a wall clock that jumps neither deposes an owner nor keeps a dead one. What it says of
    the wall clock is for whoever measures its work: that clock may be set, or run on while the
    machine sleeps, after its last sign and before the next owner.

    An owner with something under way owes a `heartbeat` now and then. One with nothing under way
    calls `rest` and then writes nothing: whoever wants to know whether it hangs asks its socket.
    """

    @property
    def epoch(self) -> int | None:
        """Return the epoch that this handle acquired, None for none (or when it was fenced)."""
        ...

    def acquire(
        self,
        identity: Identity,
        *,
        socket: str,
        uptime_ms: int,
        unanswered_ms: int | None = None,
    ) -> Acquired | Held:
        """Become the owner where there is none, or it is dead, or silent for `EXPIRY_MS` (writer).

        ``unanswered_ms`` is for how long the living owner was asked on its socket in vain, 0 when
        it answered, None when it was not asked. Its silence is that, or the age of its last
        heartbeat where that is less; while it rests no heartbeat is owed. An owner of another boot
        cannot be asked and its clock is another: it is silent for as long as this handle, trying
        again, finds the row as it was. The epoch is raised in the same transaction, so the owner
        before is fenced at its next write. For the handle that is the owner already this is a
        heartbeat.
        """
        ...

    def heartbeat(self, *, uptime_ms: int, seen_ms: int = 0) -> None:
        """Say that the owner lives; raise `Fenced` when there is a successor (owner).

        ``seen_ms`` is the same moment in the time that it stamps its events with.
        """
        ...

    def rest(self) -> None:
        """Say that no heartbeat is owed until the next one; no write where that is so (owner)."""
        ...

    def confirm(self) -> None:
        """Raise `Fenced` when there is a successor; writes nothing (owner)."""
        ...

    def release(self) -> None:
        """Give the store up, so that the next claim succeeds at once; no-op when not the owner."""
        ...

    def current(self) -> Owner | None:
        """Return who owns the store, dead or alive (reader)."""
        ...


class Inbox(Answers, Protocol):
    """Events from outside, durable before their sender is answered."""

    def put(self, inbox_id: str, thread_id: str, *, at_ms: int, event: bytes) -> bool:
        """Store the event; return False when the id is known and nothing was written (writer).

        The first event under an id stays. Raises `TooLarge` above `MAX_COMMIT_BYTES`.
        """
        ...

    def pending(self, *, after: int = 0, limit: int = 1000) -> tuple[InboxRow, ...]:
        """Return rows not consumed with ``seq`` above ``after``, oldest first (reader)."""
        ...


class Outbox(OpenEffects, Protocol):
    """Effects to do: at least once, under a key that makes the second time harmless."""

    def mark_done(self, done: Sequence[Done]) -> None:
        """Record effects as done (owner); an unknown key, or one done before, is no error."""
        ...


class WorkerConfigs(Programs, Protocol):
    """What runs a thread's turns, to be stored and forgotten too."""

    def put(self, thread_id: str, config: bytes) -> None:
        """Store or replace the thread's worker (writer). Raises `TooLarge`."""
        ...

    def remove(self, thread_id: str) -> None:
        """Forget the thread's worker; no error when none was stored (writer)."""
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


class TranscriptKeeping(Transcripts, Protocol):
    """Transcripts, to be kept too."""

    def put(self, transcript: Transcript) -> None:
        """Keep what a run said, replacing what is kept of that run (owner).

        The ends of `MAX_ANSWER_BYTES` and `MAX_STDERR_BYTES` stay, and the newest transcripts of
        the thread, as far as they are no more than `KEPT_TRANSCRIPTS` and `KEPT_BYTES`. Others
        see it once the next commit is durable; a process that dies before loses it.
        """
        ...


class Checkpointer(Protocol):
    """Moves what was committed out of the write-ahead log, off the thread that commits.

    It has its own connection. `run` and `close` are called on one thread of the caller's choice,
    `backlog` on the one that commits.
    """

    def backlog(self) -> int:
        """Return how many frames the log holds, 0 when it is free to start over."""
        ...

    def room(self) -> int:
        """Return how many frames the log may hold before it takes too much of a small disk."""
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


class Committing(Protocol):
    """What writes events, each with its state and its effects, in one durable transaction."""

    def __call__(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events in one durable transaction; return an outcome for each, in order.

        A commit that loses its compare-and-set, or is a repeat, is left out without harm to the
        others; several commits of one thread may follow one another in a batch, and what follows
        one that was left out conflicts, whatever the revision is by then. ``done`` is
        marked in the same transaction. Raises `Fenced` for the whole batch when this handle is
        not the owner (any more) (owner).
        """
        ...


class Store(Reading, Protocol):
    """One handle on a file. Closing it does not release ownership: a crash would not either."""

    @property
    def owner(self) -> Lease:
        """The lease that lets one process commit."""
        ...

    @property
    def inbox(self) -> Inbox:
        """Events from outside."""
        ...

    @property
    def outbox(self) -> Outbox:
        """Effects to do."""
        ...

    @property
    def workers(self) -> WorkerConfigs:
        """The program of each thread's turns."""
        ...

    @property
    def processes(self) -> Processes:
        """The process groups of open runs."""
        ...

    @property
    def transcripts(self) -> TranscriptKeeping:
        """The text that turns have said."""
        ...

    @property
    def commit(self) -> Committing:
        """What writes events, each with its state and its effects."""
        ...

    def prune(self, *, before_ms: int) -> int:
        """Delete consumed inbox rows and done effects older than that; return how many (owner).

        Their events stay in the journal, so a repeat stays harmless.
        """
        ...

    @property
    def checkpointer(self) -> Callable[[], Checkpointer | None]:
        """What returns a checkpointer, for the caller to run; None where there is nothing to do.

        From then on `commit` never does it itself.
        """
        ...

    def release_reserve(self) -> bool:
        """Make room on a full disk: move the log and cut it, give back the space kept for this.

        True when there was space kept. Call it again before each new try: what could not be moved
        before may be by now.
        """
        ...

    def restore_reserve(self) -> bool:
        """Set that space aside again; False while there is no room for it."""
        ...

    def backup(self, path: Path) -> None:
        """Write a consistent copy, while others commit, to a path that does not exist (any thread).

        The copy has no owner. Raises `CannotWrite`, `DiskFull`.
        """
        ...

    def verify(self) -> None:
        """Look whether the file is still the one that is open, whole, and may be written (reader).

        Raises `DatabaseReplaced`, `Corrupt` (it was cut short or overwritten) or `CannotWrite`.
        Commits notice a file that is gone by themselves; this is for a handle with none to make.
        """
        ...

    def reopen(self) -> None:
        """Drop the handle's connection and open the same file again; keeps the epoch.

        For an owner this also settles `OutcomeUnknown`: what is absent afterwards stays absent.
        Raises `Fenced` when there is a successor, `DatabaseReplaced` when the file is another.
        """
        ...
