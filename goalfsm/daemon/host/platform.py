"""What an engine asks of the machine it runs on; a simulation gives its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Sequence
from typing import Protocol

from goalfsm.daemon.host.clock import Entropy, SystemClock, SystemEntropy, TimeSource
from goalfsm.daemon.host.watch import Place, Watch, watch_files
from goalfsm.store.owner import (
    end_stalled,
    machine,
    own_identity,
)
from goalfsm.store.port import Held, Identity, Process
from goalfsm.workers.supervisor.identity import (
    parts_of,
    pid_namespace,
    text_of,
    wait_gone,
)
from goalfsm.workers.supervisor.orphans import Orphans, RecordedRun, end_orphans


def recorded_identity(pid: int, started: str) -> Identity:
    """Return the identity of a process that a worker spawned, as a store keeps it.

    It may have gone already; its session may still have members, found by what it was.
    """
    boot, start = parts_of(started)
    return Identity(
        pid=pid, start_time=start, boot_id=boot, namespace=pid_namespace(), machine=machine()
    )


def started_text(identity: Identity) -> str:
    """Return what tells the process from later ones, in the words of a worker."""
    return text_of(identity.boot_id, identity.start_time)


class Platform(Protocol):
    """Time, chance and processes."""

    @property
    def clock(self) -> TimeSource:
        """The clocks of the machine."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Ids and tokens."""
        ...

    def identity(self) -> Identity:
        """Return who this engine is, as a process."""
        ...

    def end_stalled(self, held: Held) -> bool:
        """Kill an owner that was stopped while it held the store's lock; False when it may not."""
        ...

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Process], supervisor: int | None
    ) -> Orphans:
        """End what is left of an earlier engine's runs; return which processes ended or live on."""
        ...

    async def wait_gone(self, pid: int, started: str) -> None:
        """Return when the process that started then has ended."""
        ...

    def watch(self, places: Callable[[], Sequence[Place]]) -> Watch | None:
        """Return what tells of changes in directories; None: an engine looks every two seconds."""
        ...


def simulated(loop: asyncio.AbstractEventLoop) -> Platform | None:
    """Return the platform of a loop on virtual time, which has one; None on any other loop.

    What such a loop stands for has no sockets and no processes.
    """
    make = getattr(loop, "make_platform", None)
    return None if make is None else make()


class LocalPlatform:
    """The machine that this process runs on."""

    def __init__(self, clock: TimeSource | None = None) -> None:
        """Use the machine's clocks unless others are given."""
        self.clock: TimeSource = clock or SystemClock()
        self.entropy: Entropy = SystemEntropy()

    def identity(self) -> Identity:
        """Return the identity of this process."""
        return own_identity()

    def end_stalled(self, held: Held) -> bool:
        """Kill a stalled owner of this user's."""
        return end_stalled(held)

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Process], supervisor: int | None
    ) -> Orphans:
        """End orphans beside the loop, which has an owner's heartbeat to keep."""
        if not db:
            # Without a file there are no processes of an earlier engine either.
            return Orphans()
        known = [
            RecordedRun(
                run_id=process.run_id,
                pid=process.identity.pid,
                pgid=process.pgid,
                start_time=started_text(process.identity),
            )
            for process in recorded
        ]
        search = functools.partial(
            end_orphans, db, run_ids, recorded=known, own_supervisor=supervisor
        )
        return await asyncio.to_thread(search)

    async def wait_gone(self, pid: int, started: str) -> None:
        """Return when the process has ended."""
        await wait_gone(pid, started)

    def watch(self, places: Callable[[], Sequence[Place]]) -> Watch | None:
        """Return the kernel's watch, where there is one."""
        return watch_files(places)
