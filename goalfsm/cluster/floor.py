"""What a node reads and writes beside the threads that it decides about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from goalfsm.cluster.lease import Nodes
from goalfsm.cluster.sweep import Left

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from goalfsm.cluster.saying import SoFar
    from goalfsm.store.rows import OpenEffect, Transcript


class Floor(Nodes, Left, Protocol):
    """The tables of nodes, effects and transcripts. Every method may raise `StoreUnavailable`."""

    async def address_of(self, node_id: str, host: str) -> str | None:
        """Return what the programs of a node know it by, None for one of another host."""
        ...

    async def claim(self, key: str, node_id: str) -> OpenEffect | None:
        """Take an effect for a node; None where it is done, or another living node is at it."""
        ...

    async def mail(self, thread_id: str) -> list[OpenEffect]:
        """Return the effects that wait for the node that has the thread's run."""
        ...

    async def revisions(self, thread_ids: Collection[str]) -> dict[str, int]:
        """Return how far these threads are."""
        ...

    async def mark(self, keys: Collection[str]) -> None:
        """Record that effects were done."""
        ...

    async def trim(self, thread_ids: Collection[str]) -> None:
        """Remove what turns of the threads said, but for as much as a store keeps of each."""
        ...

    async def say(self, said: Sequence[SoFar], over: Collection[str]) -> None:
        """Write down what running turns have said; forget those that are ``over``."""
        ...

    async def words(self, thread_id: str, after: int | None) -> tuple[list[SoFar], int]:
        """Return what turns of the thread have said that were over after ``after``.

        And what the running one has said so far. None stands for now; the number is the next
        ``after``.
        """
        ...

    async def last_said(self, thread_id: str) -> Transcript | None:
        """Return what the thread's last turn said."""
        ...
