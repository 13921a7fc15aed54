"""What every store can be asked, wherever its threads are kept: sessions, journal, answers, work.

Nothing here writes, takes ownership, or needs a file. Views, the log and the reports read threads
through `Reading` alone, so that they do not know which store is behind it. `goalfsm.store.port`
adds what owning a file takes.

Every method may raise `StoreUnavailable` (the device, the file or the server failed), `Corrupt`,
`Busy` (another process held a lock for longer than the handle waits) and `StoreClosed`. Times named
``*_ms`` are unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from goalfsm.store.rows import Answer, Facts, JournalRow, OpenEffect, Stored, ThreadRow


class Sessions(Protocol):
    """The snapshot of every thread."""

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread, None when there is none."""
        ...

    def threads(self, statuses: Collection[str] = ()) -> tuple[ThreadRow, ...]:
        """Return all threads, or those with one of these statuses, by thread id."""
        ...

    def due(self, now_ms: int, *, limit: int = 1000) -> tuple[ThreadRow, ...]:
        """Return threads with ``wake_at_ms <= now_ms``, the longest due first."""
        ...

    def next_wake(self) -> int | None:
        """Return the earliest ``wake_at_ms`` of all threads."""
        ...


class Journal(Protocol):
    """Every event and what it decided: append-only."""

    def read(
        self, thread_id: str, *, after: int = 0, limit: int = 1000, newest: bool = False
    ) -> tuple[JournalRow, ...]:
        """Return rows with ``revision`` above ``after``, oldest first.

        ``newest``: the last ``limit`` of them, newest first.
        """
        ...

    def find(self, thread_id: str, event_id: str) -> JournalRow | None:
        """Return the row of an event, None when it was never committed."""
        ...


class History(Protocol):
    """The entries that people, forks and importers see."""

    def read(self, thread_id: str) -> tuple[bytes, ...]:
        """Return the entries of a thread, oldest first."""
        ...


class OpenEffects(Protocol):
    """Effects that were committed and are not done."""

    def open(
        self, thread_id: str | None = None, *, after: int = 0, limit: int = 1000
    ) -> tuple[OpenEffect, ...]:
        """Return effects not done, of one thread or all, in the order of commit."""
        ...


class Answers(Protocol):
    """What came of events that were sent from outside, by the id of the sending."""

    def answer(self, inbox_id: str) -> Answer | None:
        """Return what became of that event, None when the id is unknown."""
        ...


class Programs(Protocol):
    """What runs a thread's turns, as the front end described it: argv, cwd, environment names."""

    def get(self, thread_id: str) -> bytes | None:
        """Return the thread's worker, None when none was stored."""
        ...


class Reading(Protocol):
    """One handle that reads threads."""

    @property
    def sessions(self) -> Sessions:
        """Snapshots."""
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
    def outbox(self) -> OpenEffects:
        """Effects to do."""
        ...

    @property
    def inbox(self) -> Answers:
        """Answers to what was sent from outside."""
        ...

    @property
    def workers(self) -> Programs:
        """What runs each thread."""
        ...

    def facts(self) -> Facts:
        """Return what `doctor` shows."""
        ...

    def close(self) -> None:
        """Close the handle; a second time is no error."""
        ...
