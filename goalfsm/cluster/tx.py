"""The port of a transaction on one thread: what is read under its lock, what is written with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from goalfsm.cluster.jobs import Job
    from goalfsm.store.rows import Commit, Transcript

LEASE_MS: Final = 3_000
"""How long after its last sign of life a node's runs are taken over by others."""


class Ask(NamedTuple):
    """What is to be read of a thread: beside it, which of these events are known, what is open."""

    thread_id: str
    event_ids: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()


class Known(NamedTuple):
    """An event that was committed before, and what its sender was told, if that was kept."""

    revision: int
    reply: bytes | None


class Holder(NamedTuple):
    """The node that has a thread's open run; ``seen_ms`` is 0 for one that nobody knows."""

    node_id: str
    seen_ms: int
    alive: bool


class Program(NamedTuple):
    """Who runs a thread's turns: the place, and what is stored as the worker, empty for none."""

    place: str
    config: bytes


class Loaded(NamedTuple):
    """A thread as it stands under its lock.

    ``now_ms`` is the database's clock, never below the thread's last event. ``open`` are those of
    the keys asked for that are still to be done.
    """

    revision: int
    state: bytes | None
    rules_version: int
    wake_at_ms: int | None
    now_ms: int
    holder: Holder | None
    program: Program | None
    known: Mapping[str, Known]
    open: frozenset[str]


class Writes(NamedTuple):
    """What one change of a thread writes.

    ``places`` names for each effect who does it. ``node_id`` has the open run ``run_id``. ``turn``:
    the thread waits for a turn. ``over`` are the kinds of effects of which none is left.
    ``told``: whoever else has something of the thread going on is told of the change. ``said`` is
    what turns said that are over, each kept once. ``node`` is the name of who decided, empty for a
    command.
    """

    commits: tuple[Commit, ...]
    places: Mapping[str, str]
    run_id: str | None
    node_id: str | None
    turn: bool
    over: tuple[str, ...]
    told: bool
    jobs: tuple[Job, ...]
    said: tuple[Transcript, ...] = ()
    node: str = ""


class Tx(Protocol):
    """One transaction: what it read of threads, and what it will commit."""

    async def load(self, ask: Ask) -> Loaded:
        """Lock the thread and return how it stands; its revision is 0 where there is none."""
        ...

    async def load_free(self, asks: Sequence[Ask]) -> Mapping[str, Loaded]:
        """Lock those of the threads that are there and that nobody has locked; return them."""
        ...

    async def write(self, writes: Writes) -> None:
        """Write a change of a thread that was loaded."""
        ...


class Transactions(Protocol):
    """Where transactions come from."""

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        """Run the block as one transaction, committed at its end and rolled back by what it raises.

        Raises `StoreUnavailable` where nothing was written, `OutcomeUnknown` where the commit may
        be there or not.
        """
        ...
