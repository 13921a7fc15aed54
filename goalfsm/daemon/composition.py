"""The parts of a running engine: each made with what it needs, and who follows whom.

This module composes and nothing else: in `stages` stands the order in which parts follow a commit,
in `performers` who does which effect.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from goalfsm.daemon.config import Processes, Workers, WorkerSource
from goalfsm.daemon.flow.holds import OVER, STARTING, Holds
from goalfsm.daemon.flow.inbox import InboxRows
from goalfsm.daemon.flow.replay import as_completed
from goalfsm.daemon.flow.threads import Threads
from goalfsm.daemon.guards.drain import RECORDED_S, Drain
from goalfsm.daemon.guards.outage import StoreOutage
from goalfsm.daemon.guards.ownership import Heartbeat
from goalfsm.daemon.guards.quarantine import Quarantine
from goalfsm.daemon.guards.takeover import Takeover
from goalfsm.daemon.guards.upkeep import Upkeep, watch_of
from goalfsm.daemon.host.clock import Clock, IdSource
from goalfsm.daemon.host.platform import Platform
from goalfsm.daemon.host.records import reports_folder
from goalfsm.daemon.host.tasks import Tasks
from goalfsm.daemon.remote import outage_link
from goalfsm.daemon.remote.run_socket import RunSockets
from goalfsm.daemon.remote.seeing import seen_by_engine
from goalfsm.daemon.remote.server import Server
from goalfsm.daemon.service import Service
from goalfsm.daemon.stages.callbacks import Callbacks
from goalfsm.daemon.stages.compaction import Compaction
from goalfsm.daemon.stages.completion import NextGoals, Reports
from goalfsm.daemon.stages.decision_log import DecisionLog
from goalfsm.daemon.stages.effects import Effects
from goalfsm.daemon.stages.live_run import LiveRuns
from goalfsm.daemon.stages.process_watch import ProcessWatch
from goalfsm.daemon.stages.quiescence import Quiescence
from goalfsm.daemon.stages.run_control import Dispatches, RunControl, RunRecords
from goalfsm.daemon.stages.run_ports import RunPorts
from goalfsm.daemon.stages.scheduler import Scheduler
from goalfsm.daemon.stages.subscriptions import Subscriptions
from goalfsm.daemon.stages.transcripts import Transcripts
from goalfsm.daemon.stages.verifiers import Verifiers
from goalfsm.daemon.stages.wakeups import Wakeups
from goalfsm.errors import Fenced, GoalError, StoreClosed, StoreError
from goalfsm.session import effects as f
from goalfsm.session.policy import Policy
from goalfsm.session.work import queued
from goalfsm.store.owner import last_seen_ms
from goalfsm.store.pump import Pump
from goalfsm.views.activity import suspended_by

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from goalfsm.daemon.flow.ports import Landed, Performer, Stage, Undecided
    from goalfsm.daemon.remote.wire import Seen
    from goalfsm.daemon.stages.callbacks import Callback
    from goalfsm.daemon.stages.verifiers import VerifierFunction
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.state import Run
    from goalfsm.store.port import Owner, Store

_LAST_S: Final = 60.0
"""How long stopping may take beyond the grace; after it what still runs is killed."""

_log = structlog.get_logger(__name__)


class Options(NamedTuple):
    """The options of an engine, as its embedder gave them."""

    workers: WorkerSource | None
    policy: Policy
    machine: GoalMachine | None
    callbacks: Mapping[str, Callback]
    verifiers: Mapping[str, VerifierFunction]
    performers: Mapping[type[f.Effect], Performer]
    on_fault: Callable[[str, Exception], None] | None
    max_runs: int


class Composition:
    """Every part of a running engine, each made with what it needs, and who follows whom."""

    def __init__(
        self, store: Store, platform: Platform, options: Options, *, db: str, socket: Path | None
    ) -> None:
        """Make the parts; nothing is read or started. The store is owned already."""
        self.store = store
        self.platform = platform
        self._brings_workers = options.workers is not None
        self.over = asyncio.Event()
        self.error: StoreError | None = None
        self._closing: asyncio.Task[None] | None = None
        self.tasks = Tasks(self.over)
        spawn = self.tasks.spawn
        self.clock = Clock(platform.clock)
        self.ids = IdSource(platform.entropy)
        self.pump = Pump(store)
        self.processes = Processes(db)
        self.subscriptions = Subscriptions(self.clock, self._suspended)
        report = self.subscriptions.report
        self.threads = Threads(
            store,
            self.pump,
            self.clock,
            self.ids,
            policy=options.policy,
            machine=options.machine,
            aftermath=self,
            report=report,
        )
        sockets = RunSockets(
            self.threads, self.threads, self.clock, self.processes.first_process, db=db
        )
        self.workers = Workers(options.workers, store.workers, self.processes, sockets.around)
        self.holds = Holds(self._held)
        self.runs = LiveRuns()
        self.wakeups = Wakeups(self.clock, self.threads)
        self.effects = Effects(
            self.threads, spawn, self.holds, mark=self._mark, changed=self._look, failed=self.failed
        )
        dispatches = Dispatches(self.ids)
        self.scheduler = Scheduler(
            self.threads,
            self.holds,
            self.runs,
            self.workers,
            dispatches,
            spawn,
            report=report,
            stuck=lambda error: self.stuck(None, error),
            considered=self._consider,
            max_runs=options.max_runs,
        )
        self.quiescence = Quiescence(
            self.threads, self.effects, self.runs, self.scheduler, self.wakeups, self.subscriptions
        )
        self.outage = StoreOutage(
            store,
            self.threads,
            self.holds,
            self.subscriptions,
            spawn,
            self.give_up,
            partial(outage_link.show, "" if socket is None else str(socket)),
        )
        self.quarantine = Quarantine(
            self.threads,
            self.holds,
            self.runs,
            self.effects,
            report,
            over=self.over,
            on_fault=options.on_fault,
        )
        self.service = Service(
            self.threads,
            self.holds,
            self.subscriptions,
            self.quiescence,
            self.clock,
            self.ids,
            store.journal,
            over=self.over,
            ended_by=lambda: self.error,
            said=self.runs.said,
            suspended=self._suspended,
        )
        self.rows = InboxRows(store.inbox, self.service.take_row, report, db=db)
        self.upkeep = Upkeep(
            store, self.pump, self.clock, self.threads, self.rows, self.wakeups, self.scheduler
        )
        self.heartbeat = Heartbeat(
            store,
            platform,
            failed=self.give_up,
            look=self._look_around,
            is_busy=self._is_busy,
            watch=watch_of(db, platform),
        )
        self.watch = ProcessWatch(self.runs, platform.wait_gone)
        records = RunRecords(store.processes, self.clock, lambda error: self.stuck(None, error))
        transcripts = Transcripts(store.transcripts, self.clock)
        ports = RunPorts(
            db=db,
            inbox=self.threads,
            sessions=self.threads,
            clock=self.clock,
            holds=self.holds,
            subscriptions=self.subscriptions,
            spawn=spawn,
            report=report,
            confirm=self.heartbeat.confirm,
            stuck=lambda error: self.stuck(None, error),
            follow_on=self.scheduler.follow_on,
            gone=self.watch.gone,
            spawned=records.spawned,
            recorded=records.gone,
            said=transcripts.keep,
            over=self._run_over,
        )
        run_control = RunControl(
            ports,
            self.runs,
            self.effects,
            dispatches.take,
            transcripts.last_words,
            lambda thread_id: bool(self._suspended()) and self.holds.stopped(thread_id),
        )
        # The order is the contract: when the next turn is considered, everything else knows of
        # what has landed, and only then is the thread asked whether it has come to rest.
        self.stages: tuple[Stage, ...] = (
            self.wakeups,
            DecisionLog(),
            self.subscriptions,
            self.effects,
            self.quarantine,
            self.scheduler,
            self.quiescence,
        )
        verifiers = Verifiers(
            self.threads.session, self.processes, options.verifiers, most=options.max_runs
        )
        callbacks = Callbacks(options.callbacks)
        self.effects.perform_by(
            {
                f.StartRun: run_control,
                f.EndRun: run_control,
                f.DeliverSteering: run_control,
                f.RunVerifier: verifiers,
                f.RunUntil: verifiers,
                f.CompactContext: Compaction(self.threads, self.workers, db=db),
                f.WatchProcess: self.watch,
                f.RunCallback: callbacks,
                f.AskPerson: callbacks,
                f.WriteReport: Reports(
                    reports_folder(db),
                    lambda thread_id, goal_id: as_completed(
                        store, thread_id, goal_id, options.machine
                    ),
                    report,
                ),
                f.TakeNextGoal: NextGoals(),
                **options.performers,
            }
        )
        self.drain = Drain(
            self.threads, self.holds, self.runs, self.wakeups, self.subscriptions, self.over
        )
        self.server = (
            None
            if socket is None
            else Server(
                self.service,
                socket,
                db=db,
                runs_below=self.processes.identities,
                calls=self.service.call,
                look=self._seen,
                held=self._told,
                exists=self._exists,
                run_of=self._run_of,
                run_above=self.processes.run_above,
                brings_workers=self._brings_workers,
            )
        )
        self.taken_over = False

    # What follows a decision.

    def landed(self, landed: Landed) -> None:
        """Have every stage follow what is durable."""
        if self.outage.retrying:
            self.outage.past(landed.thread_id)
        for stage in self.stages:
            stage.committed(landed)
        if self.heartbeat.resting:
            self.heartbeat.stir()

    def stuck(self, thread_id: str | None, error: StoreError) -> None:
        """Deal with a store that cannot read or commit."""
        self.outage.met(thread_id, error)
        if self.heartbeat.resting:
            self.heartbeat.stir()

    def failed(self, thread_id: str, error: Exception, undecided: Undecided | None = None) -> None:
        """Deal with a fault."""
        self.quarantine.met(thread_id, error, undecided)

    def quiet(self, thread_id: str) -> None:
        """Take note that a thread has nothing more to decide."""
        if self.outage.retrying:  # also where the store had nothing to commit
            self.outage.past(thread_id)
        self.quiescence.look(thread_id)
        self.threads.quiet(thread_id)

    def is_needed(self, thread_id: str) -> bool:
        """Tell whether a quiet thread has to stay in memory."""
        session = self.threads.known(thread_id)
        return bool(
            (session is not None and queued(session) is not None)
            or self.effects.any_open(thread_id)
            or self.holds.of(thread_id)
            or thread_id in self.runs
            or self.subscriptions.has(thread_id)
            or self.quiescence.is_watched(thread_id)
        )

    def _exists(self, thread_id: str) -> bool:
        """Tell whether there is such a thread, also one that is given its goal in the inbox."""
        try:
            if self.store.sessions.load(thread_id) is not None:
                return True
            return any(row.thread_id == thread_id for row in self.store.inbox.pending())
        except StoreError:
            return True  # a stop has to be taken, whatever cannot be read

    def _held(self, thread_id: str | None, held: bool) -> None:  # noqa: FBT001  as `Holds` says it
        if thread_id is None:
            if not held:
                self.scheduler.consider_all()
        elif held:
            self.scheduler.consider(thread_id)
        else:
            self._consider(thread_id)

    def _consider(self, thread_id: str) -> None:
        self.scheduler.consider(thread_id)
        self.quiescence.look(thread_id)

    def _look(self, thread_id: str) -> None:
        self.quiescence.look(thread_id)

    def _told(self, thread_id: str) -> str:
        """Return in words what keeps turns of the thread from starting."""
        return suspended_by(self._suspended()) or self.holds.told(thread_id)

    def _seen(self, thread_id: str) -> Seen | None:
        """Return what people see of a thread; None where there is none, or before the takeover."""
        if not self.taken_over:
            return None
        held, now_ms = self._told(thread_id), self.clock.now_ms()
        return seen_by_engine(
            self.threads,
            self.store,
            thread_id,
            now_ms,
            held,
            brings_workers=self._brings_workers,
        )

    def _run_of(self, thread_id: str) -> Run | None:
        try:
            return self.threads.session(thread_id).run
        except GoalError:
            return None  # nothing is decided for a thread that cannot be read

    def _suspended(self) -> str:
        return "" if self.outage.present is None else self.outage.present.code

    def _mark(self, key: str) -> None:
        if not self.over.is_set():
            self.pump.mark_done(key, at_ms=self.clock.now_ms())

    def _run_over(self, thread_id: str, run_id: str) -> None:
        self.runs.remove(thread_id, run_id)
        self.quarantine.run_over(thread_id)
        self._consider(thread_id)

    def _look_around(self) -> None:
        # Not before every thread was taken over: what is said to a thread while its last run
        # still goes on somewhere would be decided as if that was over.
        if self.taken_over:
            self.upkeep.look()
        if self.outage.present is None:
            # For the last words of the next time, once there is room again.
            self.store.restore_reserve()

    def _is_busy(self) -> bool:
        """Tell whether a sign of life is owed: something is open that a successor would settle."""
        return bool(
            not self.taken_over
            or list(self.runs.values())
            or self.effects.any_open()
            or self.outage.present is not None
        )

    # Its life.

    async def begin(self, *, supervised: bool, previous: Owner | None) -> None:
        """Take over what ``previous`` left, then answer and dispatch; raise what ended that."""
        self.holds.add(STARTING)
        self.heartbeat.start()
        if supervised:
            # Before any thread exists: the supervisor is a fork of this process.
            await self.processes.supervisor()
        if self.server is not None:
            await self.server.start()
        takeover = Takeover(
            self.store,
            self.platform,
            self.clock,
            db=self.processes.db,
            threads=self.threads,
            holds=self.holds,
            rows=self.rows,
            workers=self.workers,
            processes=self.processes,
            wakeups=self.wakeups,
            effects=self.effects,
            watch=self.watch,
            quarantine=self.quarantine,
            heartbeat=self.heartbeat,
            spawn=self.tasks.spawn,
            considered=self._consider,
        )
        seen_ms = None if previous is None else self._seen_ms(previous)
        settling = takeover.reconcile(after_crash=previous is not None, seen_ms=seen_ms)
        going_on = asyncio.ensure_future(settling)
        over = asyncio.ensure_future(self.over.wait())
        try:
            await asyncio.wait({going_on, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if not going_on.done():
                going_on.cancel()
                await asyncio.wait({going_on})
        self.service.check_open()
        going_on.result()
        self.taken_over = True
        self.holds.release(STARTING)
        if self.server is not None:
            self.server.ready()

    def _seen_ms(self, previous: Owner) -> int | None:
        return last_seen_ms(
            previous,
            boot=self.platform.identity().boot_id,
            wall_ms=self.clock.now_ms(),
            uptime_ms=self.clock.uptime_ms(),
        )

    def give_up(self, error: StoreError) -> None:
        """End at once, without another write: the store is another's, or cannot be trusted."""
        if self.over.is_set():
            return
        fenced = isinstance(error, Fenced)
        _log.error(
            "another engine has taken over" if fenced else "the store failed for good",
            code=error.code,
            error=error.message,
        )
        self.error = error
        self._end(error)
        self.subscriptions.end("fenced" if fenced else "failed", error.message)
        self._closing = asyncio.get_running_loop().create_task(self._close())

    async def hand_over(self, grace_s: float, thread_id: str) -> None:
        """Stop, when the turns have ended that a successor follows; see `Engine.hand_over`."""
        own = asyncio.get_running_loop().call_later(grace_s, self.end_turn, thread_id)
        try:
            await self.drain.finish_followed()
        finally:
            own.cancel()
        await self.stop(grace_s)

    def end_turn(self, thread_id: str) -> None:
        """End the thread's running turn, if there is one, as a stop does."""
        run = self.runs.get(thread_id)
        if run is not None:
            run.end("interrupted", "the engine shut down")

    async def stop(self, grace_s: float) -> None:
        """Stop in order; what does not end within its bound is killed."""
        try:
            async with asyncio.timeout(grace_s + _LAST_S):
                await self._stop(grace_s)
        except TimeoutError:
            _log.error("stopping took too long; what still runs is killed")
            self.processes.kill()
            if not self.over.is_set():
                self._end(StoreClosed("the engine did not stop in time"))
            self.subscriptions.end("stopped")
            with contextlib.suppress(TimeoutError):
                # What was waited for is dead by now; nothing of ours is left open.
                await asyncio.wait_for(self._close(), RECORDED_S)

    async def closed(self) -> None:
        """Return when an engine that has given up has closed everything."""
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def _stop(self, grace_s: float) -> None:
        await self.drain.finish(grace_s)
        if self.over.is_set():
            return
        _log.info("engine stopped")
        stopped = StoreClosed("the engine has stopped", hint="Start it again.")
        with contextlib.suppress(StoreError, TimeoutError):
            await asyncio.wait_for(self.pump.drain(), RECORDED_S)
        self._end(stopped)
        await self._close_parts()
        with contextlib.suppress(StoreError):
            self.store.owner.release()
        self.subscriptions.end("stopped")
        await self._hang_up()

    def _end(self, error: StoreError) -> None:
        self.over.set()
        self.holds.add(OVER)
        self.heartbeat.stop()
        self.wakeups.close()
        for run in list(self.runs.values()):
            run.end("killed")
        self.threads.abandon(error)
        self.quiescence.fail(error)

    async def _close(self) -> None:
        await self._hang_up()
        await self._close_parts()

    async def _hang_up(self) -> None:
        if self.server is not None:
            await self.server.close()

    async def _close_parts(self) -> None:
        await self.tasks.cancel(RECORDED_S)
        gone = [asyncio.ensure_future(run.wait()) for run in list(self.runs.values())]
        if gone:
            await asyncio.wait(gone, timeout=RECORDED_S)
        with contextlib.suppress(StoreError):
            await self.pump.close()
        await self.processes.close()
