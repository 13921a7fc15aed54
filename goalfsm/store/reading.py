"""What every store can be asked, wherever its threads are kept: sessions, journal, answers, work.

Nothing here writes, takes ownership, or needs a file. Views, the log and the reports read threads
through `Reading` alone, so that they do not know which store is behind it. `goalfsm.store.port`
adds what owning a file takes.

Every method may raise `StoreUnavailable` (the device, the file or the server failed), `Corrupt`,
`Busy` (another process held a lock for longer than the handle waits) and `StoreClosed`. Times named
``*_ms`` are unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final, Protocol

from goalfsm.store.rows import (
    Answer,
    Driving,
    Facts,
    JournalRow,
    OpenEffect,
    Owner,
    Stored,
    ThreadRow,
    Transcript,
)

PAGE_BYTES: Final = 4 * 1024 * 1024
"""How many bytes of events end a page of the journal, unless its reader says otherwise."""


class Sessions(Protocol):
    """The snapshot of every thread."""

    def load(self, thread_id: str) -> Stored | None:
        """Return the snapshot of a thread, None when there is none."""
        ...

    def many(self, thread_ids: Collection[str]) -> tuple[Stored, ...]:
        """Return the snapshots of these threads, as far as they are there, in the same order."""
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
        """Return a page of rows with ``after < revision < before``, oldest first.

        ``newest``: from the end, newest first. A page has ``limit`` rows at most, and ends behind
        the row with which it carries ``max_bytes`` of events, decisions and digests; so it has one
        row at least where there is one, and fewer rows than ``limit`` do not mean the end: read on
        from the last revision until none come.
        """
        ...

    def revision_before(self, thread_id: str, at_ms: int) -> int:
        """Return the newest revision of a thread that is older than a moment, 0 for none.

        A thread's times grow with its revisions. Where the wall clock was set back meanwhile, it
        is one of the moments at which the clock passed ``at_ms``.
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


class Transcripts(Protocol):
    """What turns answered and the end of their standard error, beside the journal; bounded."""

    def read(
        self, thread_id: str, *, before_turn: int | None = None, limit: int = 10
    ) -> tuple[Transcript, ...]:
        """Return the newest transcripts of a thread, newest first."""
        ...

    def of_run(self, run_id: str) -> Transcript | None:
        """Return what a run said, None where it said nothing or that was pruned."""
        ...


class Drivers(Protocol):
    """The engine of a file, or the nodes of a cluster, by thread."""

    def of(self, thread_id: str) -> Owner | Driving | None:
        """Return the owner of the file, dead or alive, or the nodes that work on the thread."""
        ...

    def many(self, thread_ids: Collection[str]) -> Mapping[str, Owner | Driving | None]:
        """Return the same for each of these threads."""
        ...

    def runs(self, thread_id: str, run_id: str) -> bool:
        """Tell whether the open run of a thread has begun, as far as the store knows."""
        ...


class Reading(Protocol):
    """One handle that reads threads."""

    @property
    def sessions(self) -> Sessions:
        """The last snapshot of each thread."""
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
        """The program of each thread's turns."""
        ...

    @property
    def transcripts(self) -> Transcripts:
        """The text that turns have said."""
        ...

    @property
    def drivers(self) -> Drivers:
        """The processes or nodes that work on threads."""
        ...

    def facts(self) -> Facts:
        """Return what `doctor` shows."""
        ...

    def integrity(self) -> tuple[str, ...]:
        """Return what is wrong with the stored data, empty when nothing is (any thread)."""
        ...

    def close(self) -> None:
        """Close the handle; a second time is no error."""
        ...
