"""The queue is derived state: what is open and has no job that lives gets one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from goalfsm.cluster.ending import ended
from goalfsm.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from goalfsm.cluster.jobs import Job
    from goalfsm.cluster.lease import Renewed

SWEEP_S: Final = 2.0
FORGET_EVERY: Final = 1_800
"""How many sweeps there are from one to the next that deletes what nobody asks for any more."""
_LATE_S: Final = 0.03
"""How long after the end of another node's lease its runs are looked at: it has run out by then."""
_SOON_S: Final = 1.2

_log = structlog.get_logger(__name__)


class Left(Protocol):
    """What the sweep reads of the state: the jobs that should be there."""

    async def left(self) -> list[Job] | None:
        """Return the jobs that the state asks for; None where another node looks just now."""
        ...

    async def runs_of(self, node_id: str) -> list[Job]:
        """Return the jobs that take a node's open runs over."""
        ...

    async def forget(self) -> None:
        """Delete what nobody asks for any more."""
        ...


class Sweeps:
    """Looks every two seconds for what is open, and at once for the runs of a node that died."""

    def __init__(
        self,
        floor: Left,
        *,
        alive: Callable[[Collection[str]], Awaitable[set[str]]],
        wish: Callable[[Sequence[Job]], Awaitable[None]],
    ) -> None:
        """Read ``floor``; enqueue by ``wish`` what is not among the keys that are ``alive``."""
        self._floor = floor
        self._alive = alive
        self._wish = wish
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._gone: set[str] = set()
        self._taking: set[asyncio.Task[None]] = set()

    async def keep(self) -> None:
        """Sweep until cancelled."""
        sweeps = 0
        while True:
            with contextlib.suppress(StoreError):
                await self.once()
                sweeps += 1
                if sweeps % FORGET_EVERY == 1:
                    await self._floor.forget()
            await asyncio.sleep(SWEEP_S)

    async def once(self) -> None:
        """Enqueue what is open and has no job that lives."""
        jobs = await self._floor.left()
        if not jobs:
            return
        living = await self._alive([job.key for job in jobs])
        lost = [job for job in jobs if job.key not in living]
        if lost:
            _log.info("jobs are asked for again", jobs=len(lost))
            await self._wish(lost)

    def renewed(self, answer: Renewed) -> None:
        """Be there when the lease of another node runs out."""
        loop = asyncio.get_running_loop()
        for other in answer.others:
            handle = self._timers.pop(other.node_id, None)
            if handle is not None:
                handle.cancel()
            if other.expires_s < _SOON_S and other.node_id not in self._gone:
                delay = max(0.0, other.expires_s) + _LATE_S
                self._timers[other.node_id] = loop.call_later(delay, self._expired, other.node_id)

    def _expired(self, node_id: str) -> None:
        self._timers.pop(node_id, None)
        self._gone.add(node_id)
        task = asyncio.get_running_loop().create_task(self._take_over(node_id))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)

    async def _take_over(self, node_id: str) -> None:
        with contextlib.suppress(StoreError):
            jobs = await self._floor.runs_of(node_id)
            if jobs:
                _log.warning("a node is gone; its runs are taken over", runs=len(jobs))
                await self._wish(jobs)

    async def close(self) -> None:
        """Sweep no more, and end what runs of the last sweep."""
        for handle in self._timers.values():
            handle.cancel()
        await ended(self._taking)
