"""The parts of a running engine: in what order they follow a commit, and who does which effect."""

from __future__ import annotations

import asyncio
from functools import cached_property, partial
from typing import TYPE_CHECKING

from goalfsm.daemon.config import Processes, Workers
from goalfsm.daemon.flow.inbox import InboxRows, watch_of
from goalfsm.daemon.flow.replay import as_completed
from goalfsm.daemon.flow.threads import STARTING, Holds, Threads
from goalfsm.daemon.guards.failures import Quarantine, StoreOutage
from goalfsm.daemon.guards.ownership import Heartbeat
from goalfsm.daemon.guards.takeover import Takeover
from goalfsm.daemon.guards.upkeep import Upkeep
from goalfsm.daemon.host.platform import Clock, IdSource, Platform, Tasks
from goalfsm.daemon.remote import socket_path
from goalfsm.daemon.remote.run_socket import RunSockets
from goalfsm.daemon.remote.seeing import EngineView
from goalfsm.daemon.remote.server import Server
from goalfsm.daemon.service import Service
from goalfsm.daemon.stages.effects import Effects, Wakeups
from goalfsm.daemon.stages.live_run import LiveRuns
from goalfsm.daemon.stages.performers import Callbacks, NextGoals, ProcessWatch, Reports, Verifiers
from goalfsm.daemon.stages.run_control import (
    Compaction,
    Dispatches,
    RunControl,
    RunRecords,
    Transcripts,
)
from goalfsm.daemon.stages.run_ports import RunPorts
from goalfsm.daemon.stages.scheduler import Quiescence, Scheduler
from goalfsm.daemon.stages.subscriptions import DecisionLog, Subscriptions
from goalfsm.errors import StoreClosed, StoreError
from goalfsm.session import effects as f
from goalfsm.session.work import queued
from goalfsm.store.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goalfsm.daemon.flow.ports import Landed, Stage, Undecided
    from goalfsm.daemon.options import Options
    from goalfsm.store.port import Owner, Store


class Composition:
    """Every part of a running engine, each made with what it needs, and who follows whom."""

    def __init__(
        self,
        store: Store,
        platform: Platform,
        options: Options,
        *,
        db: str,
        socket: Path | None,
        give_up: Callable[[StoreError], None],
        ended_by: Callable[[], StoreError | None],
    ) -> None:
        """Make the parts; nothing is read or started. The store is owned already.

        ``give_up`` ends the engine where the store is another's or cannot be trusted; ``ended_by``
        returns what has.
        """
        self.store = store
        self.platform = platform
        self._ended_by = ended_by
        self.over = asyncio.Event()
        self.tasks = Tasks(self.over)
        spawn = self.tasks.spawn
        clock = self.clock = Clock(platform.clock)
        self.ids = IdSource(platform.entropy)
        self.pump = Pump(store)
        self.processes = Processes(db)
        subscriptions = self.subscriptions = Subscriptions(clock, self._suspended)
        report = subscriptions.report
        threads = self.threads = Threads(
            store,
            self.pump,
            clock,
            self.ids,
            policy=options.policy,
            machine=options.machine,
            aftermath=self,
            report=report,
        )
        around = lambda work: self.sockets.around(work)  # noqa: E731, PLW0108  made for the first
        workers = Workers(options.workers, store.workers, self.processes, around)
        self.workers = workers
        holds = self.holds = Holds(self._held)
        runs = self.runs = LiveRuns()
        wakeups = self.wakeups = Wakeups(clock, threads)
        self.effects = Effects(
            threads, spawn, holds, mark=self._mark, changed=self._rested, failed=self.failed
        )
        dispatches = Dispatches(self.ids)
        self.scheduler = Scheduler(
            threads,
            holds,
            runs,
            self.workers,
            dispatches,
            spawn,
            report=report,
            stuck=lambda error: self.stuck(None, error),
            considered=self._consider,
            max_runs=options.max_runs,
        )
        self.quiescence = Quiescence(
            threads, self.effects, runs, self.scheduler, wakeups, subscriptions
        )
        self.outage = StoreOutage(
            store,
            threads,
            holds,
            subscriptions,
            spawn,
            give_up,
            partial(socket_path.show, "" if socket is None else str(socket)),
        )
        self.quarantine = Quarantine(
            threads, holds, runs, self.effects, report, over=self.over, on_fault=options.on_fault
        )
        self.service = Service(
            threads,
            holds,
            subscriptions,
            self.quiescence,
            clock,
            self.ids,
            store.journal,
            over=self.over,
            check_open=self._check_open,
            said=runs.said,
            suspended=self._suspended,
        )
        self.rows = InboxRows(store.inbox, self.service.take_row, report, db=db)
        self.upkeep = Upkeep(
            store,
            self.pump,
            clock,
            threads,
            self.rows,
            wakeups,
            self.scheduler,
            self.outage,
            lambda: self.taken_over,
        )
        self.heartbeat = Heartbeat(
            store,
            platform,
            seen_ms=clock.seen_ms,
            failed=give_up,
            troubled=partial(self.outage.met, None),
            look=self._look,
            is_busy=self._is_busy,
            make_watch=partial(watch_of, db, platform),
        )
        self.watch = ProcessWatch(runs, platform.wait_gone)
        records = RunRecords(store.processes, clock, lambda error: self.stuck(None, error))
        transcripts = Transcripts(store.transcripts, clock)
        ports = RunPorts(
            db=db,
            inbox=threads,
            sessions=threads,
            clock=clock,
            holds=holds,
            subscriptions=subscriptions,
            spawn=spawn,
            report=report,
            confirm=self.heartbeat.confirm,
            stuck=lambda error: self.stuck(None, error),
            follow_on=self.scheduler.follow_on,
            ends_whole=False,
            gone=self.watch.gone,
            spawned=records.spawned,
            recorded=records.gone,
            said=transcripts.keep,
            over=self._run_over,
        )
        run_control = RunControl(
            ports,
            runs,
            self.effects,
            dispatches.take,
            transcripts.last_words,
            lambda thread_id: bool(self._suspended()) and self.holds.stopped(thread_id),
        )
        # The order is the contract: when the next turn is considered, everything else knows of
        # what has landed, and only then is the thread asked whether it has come to rest.
        self.stages: tuple[Stage, ...] = (
            wakeups,
            DecisionLog(),
            subscriptions,
            self.effects,
            self.quarantine,
            self.scheduler,
            self.quiescence,
        )
        verifiers = Verifiers(
            threads.session,
            self.processes,
            options.verifiers,
            asyncio.Semaphore(options.max_runs),
            lambda each: self.sockets.without(each) if workers.isolates(each) else None,
        )
        callbacks = Callbacks(options.callbacks)
        self.effects.perform_by(
            {
                f.StartRun: run_control,
                f.EndRun: run_control,
                f.DeliverSteering: runs,
                f.RunVerifier: verifiers,
                f.RunUntil: verifiers,
                f.CompactContext: Compaction(threads, self.workers, db=db),
                f.WatchProcess: self.watch,
                f.RunCallback: callbacks,
                f.AskPerson: callbacks,
                f.WriteReport: Reports(
                    db, partial(as_completed, store, machine=options.machine), report
                ),
                f.TakeNextGoal: NextGoals(),
                **options.performers,
            }
        )
        self.taken_over = False
        self.server: Server | None = None
        if socket is not None:
            brings = options.workers is not None
            view = EngineView(
                threads, store, holds, clock, self._suspended, lambda: self.taken_over, brings
            )
            self.server = Server(
                self.service,
                socket,
                db=db,
                runs_below=self.processes.identities,
                calls=self.service.call,
                look=view.seen,
                held=view.told,
                exists=view.exists,
                run_of=view.run_of,
                run_above=self.processes.run_above,
                brings_workers=brings,
            )

    # What few moments need is made when they come.

    @cached_property
    def sockets(self) -> RunSockets:
        """What isolated runs see of the engine."""
        first = self.processes.first_process
        named = getattr(self.store, "named", None)
        return RunSockets(
            self.threads,
            self.threads,
            self.clock,
            first,
            db=self.processes.db,
            named="" if named is None else str(named),
        )

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
            # A clock that was set is told to it, and that the engine stops: its time counts.
            or (session is not None and session.clock.last_ms is not None)
            or self.effects.any_open(thread_id)
            or self.holds.of(thread_id)
            or thread_id in self.runs
            or self.subscriptions.has(thread_id)
            or self.quiescence.is_watched(thread_id)
        )

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

    def _rested(self, thread_id: str) -> None:
        self.quiescence.look(thread_id)

    def _suspended(self) -> str:
        return "" if self.outage.present is None else self.outage.present.code

    def _check_open(self) -> None:
        """Raise what has ended the engine."""
        if self.over.is_set():
            raise self._ended_by() or StoreClosed("the engine has stopped", hint="Start it again.")

    def _mark(self, key: str) -> None:
        if not self.over.is_set():
            self.pump.mark_done(key, at_ms=self.clock.now_ms())

    def _run_over(self, thread_id: str, run_id: str) -> None:
        self.runs.remove(thread_id, run_id)
        self.quarantine.run_over(thread_id)
        self._consider(thread_id)

    def _look(self) -> None:
        """Look around, as an owner whom nobody has succeeded."""
        if self.server is not None:
            self.server.restore()
        self.upkeep.look()

    def _is_busy(self) -> bool:
        """Tell whether a sign of life is owed: something is open that a successor would settle."""
        return bool(
            not self.taken_over
            or list(self.runs.values())
            or self.effects.any_open()
            or self.outage.present is not None
        )

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
        going_on = asyncio.ensure_future(takeover.reconcile(previous))
        over = asyncio.ensure_future(self.over.wait())
        try:
            await asyncio.wait({going_on, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            if not going_on.done():
                going_on.cancel()
                await asyncio.wait({going_on})
        self._check_open()
        going_on.result()
        self.taken_over = True
        self.holds.release(STARTING)
        if self.server is not None:
            self.server.ready()
