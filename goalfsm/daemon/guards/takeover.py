"""Take over what an earlier engine left: end its processes, settle its runs, go on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from goalfsm.daemon.flow.decide import reopened
from goalfsm.daemon.flow.threads import HALTED, PROCESSES
from goalfsm.daemon.flow.turn import finished, usage_id, usages
from goalfsm.errors import GoalError, StoreError
from goalfsm.session import events as e
from goalfsm.session.codec import CodecError
from goalfsm.session.state import program_of
from goalfsm.session.work import NEED_ENGINE
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.config import Processes, Workers
    from goalfsm.daemon.flow.inbox import InboxRows
    from goalfsm.daemon.flow.ports import EventBatch, Events, Spawn
    from goalfsm.daemon.flow.threads import Holds, Threads
    from goalfsm.daemon.flow.turn import Zone
    from goalfsm.daemon.guards.failures import Quarantine
    from goalfsm.daemon.guards.ownership import Heartbeat
    from goalfsm.daemon.host.platform import Clock, Platform
    from goalfsm.daemon.stages.effects import Effects, Wakeups
    from goalfsm.daemon.stages.performers import ProcessWatch
    from goalfsm.session.state import Reply, Run, Session
    from goalfsm.store.port import OpenEffect, Owner, Store

PAGE: Final = 1_000
_EVER: Final = 2**62
_ALL: Final = 2**31
LEFT_RETRY_S: Final = 2.0
"""How often processes that cannot be ended are tried again."""

_log = structlog.get_logger(__name__)


class Takeover(msgspec.Struct, eq=False):
    """Makes the threads of a store go on from where an earlier engine left them.

    ``considered`` is told of threads that may have a turn to begin.
    """

    store: Store
    platform: Platform
    clock: Clock
    db: str
    threads: Threads
    holds: Holds
    rows: InboxRows
    workers: Workers
    processes: Processes
    wakeups: Wakeups
    effects: Effects
    watch: ProcessWatch
    quarantine: Quarantine
    heartbeat: Heartbeat
    spawn: Spawn
    considered: Callable[[str], None]

    async def reconcile(self, previous: Owner | None) -> None:
        """Settle every run that is open, then do what was left undone.

        ``previous`` is the engine that has not let go of the store, None where the last one has.
        Nothing is dispatched before every process of its runs is gone.
        """
        # Before anything of ours is committed: what we commit from here on is done as it lands.
        undone = self._undone()
        found = {
            thread_id: session
            for thread_id in self._threads_of_engines()
            if (session := self._readable(thread_id)) is not None
        }
        runs = {
            thread_id: session.run
            for thread_id, session in found.items()
            if session.run is not None
        }
        blocked = await self._end_runs(runs)
        for thread_id, left in blocked.items():
            # Also a thread that has stopped waits for them: it may be resumed before they are gone.
            self.holds.add(PROCESSES, thread_id)
            self.spawn(self._free(thread_id, left), f"left of {thread_id}")
        threads = list(found)
        waiting = [
            self._take_over(thread_id, session, previous) for thread_id, session in found.items()
        ]
        replies = await asyncio.gather(*waiting, return_exceptions=True)
        for thread_id, reply in zip(threads, replies, strict=True):
            if isinstance(reply, GoalError | asyncio.CancelledError):
                raise reply
            if isinstance(reply, Exception) and not self.holds.has(HALTED, thread_id):
                # One thread that meets a fault must not keep the others from going on.
                self.quarantine.met(thread_id, reply)
        self._redo(undone)
        self.rows.take()

    def _readable(self, thread_id: str) -> Session | None:
        """Return a thread's session, None of one that never can be read. Raises `StoreError`."""
        try:
            return self.threads.open(thread_id)
        except CodecError:
            return self.threads.readable(thread_id)

    def _seen_ms(self, thread_id: str, previous: Owner | None) -> int:
        """Return until when ``previous`` is known to have worked on the thread; 0 where it did not.

        Whoever takes a thread over says so first: where it did not, its sign of life is no sign
        that anybody was there in the time before it came.
        """
        if previous is None:
            return 0
        stored = self.store.sessions.load(thread_id)
        served = stored is not None and stored.epoch == previous.epoch
        return previous.seen_ms if served else 0

    def _threads_of_engines(self) -> list[str]:
        """Return the threads that need an engine, and set the wake-ups of all others."""
        sessions = self.store.sessions
        found = [row.thread_id for row in sessions.threads(NEED_ENGINE)]
        # The wake-ups of those that were found are set when they have been taken over.
        for row in sessions.due(_EVER, limit=_ALL):
            if row.status not in NEED_ENGINE:
                self.wakeups.set(row.thread_id, row.wake_at_ms)
        return found

    async def _end_runs(self, runs: dict[str, Run]) -> dict[str, tuple[int, ...]]:
        """End what is left of open runs; return by thread what could not be ended."""
        recorded = self.store.processes.open()
        run_ids = {run.run_id for run in runs.values()}
        ends = sorted({*run_ids, *(process.run_id for process in recorded)})
        supervisor = self.processes.started
        pid = None if supervisor is None else supervisor.pid
        if not self.heartbeat.confirm():
            return {}  # a successor has the store, and a supervisor that is not to be ended
        orphans = await self.platform.end_orphans(self.db, ends, recorded, pid)
        if orphans.ended:
            _log.warning("processes of an earlier engine were ended", pids=orphans.ended)
        if orphans.left:
            _log.error("processes of an earlier engine cannot be ended", pids=orphans.left)
            # Nobody can tell whose they are, so whoever had a run waits for all of them.
            had_runs = {*runs, *(process.thread_id for process in recorded)}
            return dict.fromkeys(sorted(had_runs), orphans.left)
        for process in recorded:
            self.store.processes.end(process.run_id)
        return {}

    async def _take_over(self, thread_id: str, found: Session, previous: Owner | None) -> Reply:
        run = found.run
        # Before anything that may meet a fault: a run that goes on somewhere is to end in any case.
        probe = None
        if run is not None:
            probe = await self._probe(thread_id, run.run_id, program_of(run.route))
        if found.clock.last_ms is not None:
            # Before anything else is said to the thread: time would have run until now.
            seen_ms = self._seen_ms(thread_id, previous)
            await self.threads.send(thread_id, e.EngineLost(seen_ms=seen_ms))
        ending = None if run is None else await self._ending_of(thread_id, run, probe)

        def batch(session: Session) -> Events:
            if session.run is not None and ending is not None:
                yield from ending(session)
            yield e.EngineStarted(after_crash=previous is not None)

        return await self.threads.run(thread_id, batch)

    async def _free(self, thread_id: str, left: tuple[int, ...]) -> None:
        """Let the thread run again when the processes that were left are gone."""
        await self.watch.gone(left)
        self.holds.release(PROCESSES, thread_id)
        # Where a fault met the end of the run, nobody has said yet that its processes are gone.
        self.quarantine.run_over(thread_id)

    async def _ending_of(self, thread_id: str, run: Run, probe: w.Probe | None) -> EventBatch:
        """Return how an open run ended; where nobody can tell, it was interrupted."""
        if probe is not None and probe.state == "finished":
            _log.info("run had finished", thread_id=thread_id, run_id=run.run_id)
            # The journal refuses what was charged before; the session forgets keys after a while.
            charges = usages(run, probe.events)
            sent = [
                self.threads.send(thread_id, usage, event_id=usage_id(usage.key))
                for usage in charges
            ]
            await asyncio.gather(*sent)
            return _result(run, probe.events, self.clock.zone)
        _log.warning("run was interrupted", thread_id=thread_id, run_id=run.run_id, turn=run.turn)
        return _interrupted(run)

    async def _probe(self, thread_id: str, run_id: str, argv: tuple[str, ...]) -> w.Probe | None:
        """Ask the worker, and have it end the run when it goes on somewhere."""
        try:
            assignment = await self.workers.assignment(thread_id, argv)
            if assignment is None or "probe" not in assignment.worker.capabilities:
                return None
            worker = assignment.worker
            probe = await worker.probe(run_id)
            while checked(probe).state == "running":
                await worker.abort(run_id)
                probe = await worker.probe(run_id)
                if probe.state == "running":
                    await asyncio.sleep(LEFT_RETRY_S)
        except (asyncio.CancelledError, StoreError):
            raise
        except Exception:  # noqa: BLE001  a worker of the embedder's may raise anything
            _log.exception("probe failed", thread_id=thread_id, run_id=run_id)
            return None
        return probe

    def _undone(self) -> list[OpenEffect]:
        """Return the effects that an earlier engine left open, in the order of their commits."""
        found: list[OpenEffect] = []
        while True:
            rows = self.store.outbox.open(after=found[-1].seq if found else 0, limit=PAGE)
            found += rows
            if len(rows) < PAGE:
                return found

    def _redo(self, undone: list[OpenEffect]) -> None:
        """Do what an earlier engine left undone."""
        for row in undone:
            if self._readable(row.thread_id) is None:
                continue
            try:
                task = reopened(row)
            except CodecError as error:
                self.quarantine.met(row.thread_id, error)
                continue
            self.effects.take_over(task)
        for thread_id in self.threads.ids():
            self.considered(thread_id)


def _interrupted(run: Run) -> EventBatch:
    def batch(_: Session) -> Events:
        why = "the engine stopped while it was running"
        yield e.RunInterrupted(run_id=run.run_id, turn=run.turn, detail=why)

    return batch


def _result(run: Run, reported: tuple[w.TurnEvent, ...], zone: Zone) -> EventBatch:
    """Return the end of a run that finished while no engine was there."""

    def batch(_: Session) -> Events:
        yield finished(run, reported, zone)

    return batch
