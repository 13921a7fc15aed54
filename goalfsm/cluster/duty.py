"""What a node does as long as its lease lasts: it takes jobs, hears of news, and sweeps."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from msgspec.structs import replace

from goalfsm.cluster.decider import NewerRules
from goalfsm.cluster.ending import ended
from goalfsm.errors import StoreError, described

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from goalfsm.cluster.chores import Chores
    from goalfsm.cluster.jobs import Job, Jobs
    from goalfsm.cluster.mail import Mail
    from goalfsm.cluster.sweep import Sweeps
    from goalfsm.cluster.tenure import Tenure
    from goalfsm.cluster.turns import Turns

CHORES: Final = 64
"""How many timers and effects are under way at once; verifiers have a bound of their own."""
CROWDED_S: Final = 0.25
"""How often a node whose places are all taken looks whether somebody waits for one."""
RECORDED_S: Final = 10.0
"""How long the end of a run, or of the node, may take to be recorded."""

_log = structlog.get_logger(__name__)


class Duty(msgspec.Struct, eq=False):
    """Serves under one lease after the other.

    It takes the jobs of ``places``, ``most`` turns at once; ``wish`` enqueues jobs.
    """

    tenure: Tenure
    jobs: Jobs[Any]
    turns: Turns
    chores: Chores
    mail: Mail
    sweeps: Sweeps
    wish: Callable[[Sequence[Job]], Awaitable[None]]
    places: Collection[str]
    most: int
    _keeping: asyncio.Future[None] | None = None
    _taking: list[asyncio.Task[Any]] = []
    serving: list[asyncio.Task[Any]] = []
    """What takes jobs and hears of news, as long as it does."""

    async def serve(self, stopping: asyncio.Event) -> None:
        """Serve until the lease is lost, a part of this ends, or ``stopping``; all goes on then."""
        jobs, places = self.jobs, self.places
        self._keeping = keeping = asyncio.ensure_future(self.tenure.keep())
        begin = asyncio.get_running_loop().create_task
        self._taking = [
            begin(jobs.serve(self._turn, kinds=["turn"], places=places, most=self.most)),
            begin(jobs.serve(self._chore, kinds=["effect", "timer"], places=places, most=CHORES)),
        ]
        self.serving = [
            *self._taking,
            begin(self.mail.listen()),
            begin(self.mail.poll()),
            begin(self.sweeps.keep()),
            begin(self._look_for_crowds()),
        ]
        ends = [
            asyncio.ensure_future(self.tenure.lost.wait()),
            asyncio.ensure_future(stopping.wait()),
        ]
        every: list[asyncio.Future[Any]] = [*ends, *self.serving, keeping]
        await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        for task in (*self.serving, keeping):
            if task.done() and not task.cancelled() and (error := task.exception()):
                _log.error("a part of the node ended", error=described(error), exc_info=error)

    def take_no_more(self) -> None:
        """Take no further job; the lease is kept while those that are under way end."""
        for task in self.serving:
            # A second request would cut off those that are under way.
            if not task.cancelling():
                task.cancel()

    async def end(self) -> None:
        """End what serves; jobs that are under way are waited for, and cut off when it is late."""
        self.take_no_more()
        if self._taking:
            await asyncio.wait(self._taking, timeout=RECORDED_S)
        await ended([*self.serving, *([] if self._keeping is None else [self._keeping])])
        self.serving, self._taking, self._keeping = [], [], None

    async def close(self) -> None:
        """Look for no news and for nothing that is left any more."""
        await self.mail.close()
        await self.sweeps.close()

    def drop(self) -> None:
        """End all at once, as a crash would."""
        for task in (*self.serving, *([] if self._keeping is None else [self._keeping])):
            task.cancel()

    async def _turn(self, job: Job) -> None:
        await self._do(self.turns.do, job)

    async def _chore(self, job: Job) -> None:
        chores = self.chores
        await self._do(chores.do_timer if job.kind == "timer" else chores.do_effect, job)

    async def _do(self, doing: Callable[[Job], Awaitable[None]], job: Job) -> None:
        with contextlib.suppress(StoreError):
            try:
                await doing(job)
            except NewerRules as newer:
                # Nodes of this version never see it again: those that know the rules have it.
                await self.wish([replace(job, rules=newer.rules_version, at_ms=None)])

    async def _look_for_crowds(self) -> None:
        """See now and then, while all places are taken, whether somebody waits for one."""
        turns, most = self.turns, self.most
        waiting: list[int] = []
        while True:
            await asyncio.sleep(CROWDED_S)
            # Between two jobs of a crowd a place is free for a moment: only the queue can tell
            # that a crowd has gone.
            if turns.under_way < most and not turns.somebody_waits:
                continue
            with contextlib.suppress(StoreError):
                found = await self.jobs.waiting(self.places, 2 * most + 1)
                # Who still has a place here may have asked for the next turn already.
                without = [number for number, thread_id in found if not turns.does(thread_id)]
                before, waiting = waiting[:1], without
                # A turn that the next look finds again waits; others go from hand to hand. Where a
                # crowd was found, it is there while more wait than the free places can take.
                still = turns.somebody_waits and len(waiting) > most - turns.under_way
                turns.crowded(waits=still or waiting[:1] == before != [])
