"""Jobs in memory, on the time of the running loop: for tests and simulations, one process only."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Final

import structlog
from msgspec.structs import replace

from goalfsm.cluster.jobs import Handler, Job, Kind
from goalfsm.errors import described
from goalfsm.session.state import RULES_VERSION

if TYPE_CHECKING:
    from goalfsm.cluster.memory_tx import MemoryTx

POLL_S: Final = 0.5
STALLED_S: Final = 10.0

_log = structlog.get_logger(__name__)


class _Row:
    """A job that waits, or that a server does."""

    __slots__ = ("doing", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.doing = False


class MemoryJobs:
    """The port `goalfsm.cluster.jobs.Jobs`; all servers of a test share one."""

    def __init__(self, now_ms: Callable[[], int], *, stalled_s: float = STALLED_S) -> None:
        """Begin without a job.

        ``now_ms`` is the database's clock; after ``stalled_s`` the jobs of a server that died come
        again.
        """
        self._now_ms = now_ms
        self._stalled_s = stalled_s
        self._rows: dict[int, _Row] = {}
        self._numbers = itertools.count(1)
        # In the order of arrival, which a set does not keep: a simulation is to be repeated.
        self._news: dict[asyncio.Event, None] = {}
        self._done_by: dict[asyncio.Task[None], dict[asyncio.Task[None], int]] = {}

    async def enqueue(self, tx: MemoryTx, jobs: Sequence[Job]) -> None:
        """Enqueue when the transaction commits."""
        tx.at_commit(lambda: self.insert(jobs))

    def insert(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs, their transaction being committed."""
        for job in jobs:
            waiting = (row for row in self._rows.values() if not row.doing)
            there = next((row for row in waiting if row.job.key == job.key), None)
            if there is None:
                self._rows[next(self._numbers)] = _Row(job)
            elif there.job.at_ms is not None:
                sooner = None if job.at_ms is None else min(job.at_ms, there.job.at_ms)
                there.job = replace(there.job, at_ms=sooner)
        for news in self._news:
            news.set()

    async def alive(self, keys: Collection[str]) -> set[str]:
        """Return the keys of jobs that are there."""
        return {row.job.key for row in self._rows.values()} & set(keys)

    async def waiting(self, places: Collection[str], most: int) -> list[tuple[int, str]]:
        """Return the first turns, ``most``, that wait for one of these places."""
        rows = self._rows.items()
        found = ((n, row.job.thread_id) for n, row in rows if self._is_for(row, ["turn"], places))
        return list(itertools.islice(found, most))

    async def serve(
        self, handler: Handler, *, kinds: Collection[Kind], places: Collection[str], most: int
    ) -> None:
        """Do jobs until cancelled; then return when those that are under way are over."""
        server = asyncio.current_task()
        assert server is not None  # noqa: S101  a coroutine runs in a task
        doing = self._done_by[server] = {}
        news = asyncio.Event()
        self._news[news] = None
        try:
            while True:
                news.clear()
                for number, row in list(self._rows.items()):
                    if len(doing) < most and self._is_for(row, kinds, places):
                        row.doing = True
                        job = asyncio.ensure_future(self._do(handler, row.job))
                        doing[job] = number
                        job.add_done_callback(lambda done: self._over(doing, done, news))
                try:
                    async with asyncio.timeout(POLL_S):
                        await news.wait()
                except TimeoutError:
                    continue
        finally:
            self._news.pop(news, None)
            if server in self._done_by and doing:
                await asyncio.wait(list(doing))
            self._done_by.pop(server, None)

    async def die(self, server: asyncio.Task[None]) -> None:
        """End a server as its machine's death would: its jobs come again when it counts as dead."""
        held = self._done_by.pop(server, {})
        numbers = list(held.values())
        for job in list(held):
            held.pop(job)
            job.cancel()
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        asyncio.get_running_loop().call_later(self._stalled_s, self._release, numbers)

    def wipe(self) -> None:
        """Lose every job that waits."""
        for number in [number for number, row in self._rows.items() if not row.doing]:
            del self._rows[number]

    def _release(self, numbers: Sequence[int]) -> None:
        again = [self._rows.pop(number).job for number in numbers if number in self._rows]
        self.insert([replace(job, at_ms=None) for job in again])

    async def _do(self, handler: Handler, job: Job) -> None:
        try:
            await handler(job)
        except Exception as error:  # noqa: BLE001  one job must not keep the others from being done
            _log.debug("a job failed", key=job.key, error=described(error))

    def _over(
        self,
        doing: dict[asyncio.Task[None], int],
        job: asyncio.Task[None],
        news: asyncio.Event,
    ) -> None:
        number = doing.pop(job, None)
        if number is not None:
            self._rows.pop(number, None)
            news.set()

    def _is_due(self, row: _Row) -> bool:
        return row.job.at_ms is None or row.job.at_ms <= self._now_ms()

    def _is_for(self, row: _Row, kinds: Collection[Kind], places: Collection[str]) -> bool:
        job = row.job
        here = job.kind == "timer" or job.place in places
        known = job.rules <= RULES_VERSION
        return not row.doing and job.kind in kinds and here and known and self._is_due(row)
