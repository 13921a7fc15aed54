"""Who works on threads of a store that one process owns: its owner, on every one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from goalfsm.store.port import Lease, Owner, Processes


class OwnerDrives:
    """`goalfsm.store.reading.Drivers` of a store with one owner."""

    def __init__(self, lease: Lease, processes: Processes) -> None:
        """Ask ``lease`` for the owner, and ``processes`` for what it has started."""
        self._lease = lease
        self._processes = processes

    def of(self, thread_id: str) -> Owner | None:
        """Return the owner, dead or alive: it works on every thread."""
        del thread_id
        return self._lease.current()

    def many(self, thread_ids: Collection[str]) -> dict[str, Owner | None]:
        """Return the same for each of these threads."""
        return dict.fromkeys(thread_ids, self._lease.current())

    def runs(self, thread_id: str, run_id: str) -> bool:
        """Tell whether a process of that run is there."""
        del thread_id
        return any(process.run_id == run_id for process in self._processes.open())
