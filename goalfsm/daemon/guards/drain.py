"""Stop in order: dispatch nothing, let turns finish for a while, end the rest."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from goalfsm.daemon.flow.threads import SHUTDOWN, STARTING
from goalfsm.session import events as e
from goalfsm.session.work import NEED_ENGINE, label

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from goalfsm.daemon.flow.threads import Holds, Threads
    from goalfsm.daemon.stages.effects import Wakeups
    from goalfsm.daemon.stages.live_run import LiveRun, LiveRuns
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.session.state import Reply

RECORDED_S: Final = 15.0
"""How long the end of a run, or of the engine, may take to be recorded."""

_log = structlog.get_logger(__name__)


class Drain(msgspec.Struct, eq=False):
    """Brings every thread to where a later engine takes it up again.

    Nothing is waited for beyond ``over``, when nothing can be recorded any more.
    Whom ``subscriptions`` has as followers that go on with their threads is waited for.
    """

    threads: Threads
    holds: Holds
    runs: LiveRuns
    wakeups: Wakeups
    subscriptions: Subscriptions
    over: asyncio.Event

    def followed(self) -> list[LiveRun]:
        """Return the turns that run, of threads with which another process goes on."""
        threads = self.subscriptions.followed()
        return [run for run in list(self.runs.values()) if run.thread_id in threads]

    async def finish_followed(self) -> None:
        """Begin no turn; return when no turn runs any more that a successor follows."""
        self.holds.add(SHUTDOWN)
        while not self.over.is_set() and (runs := self.followed()):
            _log.info("turns are finished for those who go on with them", runs=len(runs))
            waiting: list[Awaitable[object]] = [run.wait() for run in runs]
            waiting += [self.subscriptions.somebody_leaves(), self.over.wait()]
            tasks = [asyncio.ensure_future(each) for each in waiting]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()

    async def finish(self, grace_s: float) -> None:
        """Begin no turn; give those that run ``grace_s`` seconds, then end and record them."""
        self.holds.add(SHUTDOWN)
        # What was not taken over is told nothing: it would be as if somebody had been there.
        told = [] if self.holds.has(STARTING) else self._tell()
        runs = list(self.runs.values())
        if runs:
            _log.info("waiting for running turns", runs=len(runs), grace_s=grace_s)
        await self._all([asyncio.ensure_future(run.wait()) for run in runs], grace_s)
        await self._end_runs()
        await self._all(told, RECORDED_S)
        # What an outage held back has begun by then: its dispatch was committed before.
        await self._end_runs()

    async def _end_runs(self) -> None:
        """End the turns that run, and return when that is recorded."""
        self.end_runs()
        ending = [asyncio.ensure_future(run.wait()) for run in list(self.runs.values())]
        await self._all(ending, RECORDED_S)

    def end_runs(self) -> None:
        """End the turns that run, at once."""
        for run in list(self.runs.values()):
            run.end("interrupted", "the engine shut down")

    def _tell(self) -> list[asyncio.Future[Reply]]:
        """Tell the threads that the next engine takes up: what they wait for must not be lost.

        One that cannot be read now is left as it stands: that engine looks at it as after a crash.
        What a successor follows is not told: it goes on at once.
        """
        told = []
        followed = self.subscriptions.followed()
        for thread_id in sorted({*self.threads.ids(), *self.wakeups.threads()}):
            if thread_id in followed:
                continue
            session = self.threads.readable(thread_id)
            stored = self.threads.is_stored(thread_id)
            if session is not None and stored and label(session) in NEED_ENGINE:
                told.append(self.threads.send(thread_id, e.ShutdownStarted()))
        return told

    async def _all(self, waiting: Sequence[asyncio.Future[Any]], most_s: float) -> None:
        """Wait for all of these, ``most_s`` seconds at most and not beyond the engine's end."""
        if not waiting:
            return
        over = asyncio.ensure_future(self.over.wait())
        everything = asyncio.ensure_future(asyncio.wait(waiting))
        try:
            await asyncio.wait(
                {over, everything}, timeout=most_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (over, everything):
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await everything
        for future in waiting:
            if future.done() and not future.cancelled():
                # What went wrong has been said; it keeps nobody from stopping.
                future.exception()
