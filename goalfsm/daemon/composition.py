"""The parts of a running engine: in what order they follow a commit, and who does which effect."""

from __future__ import annotations

import asyncio
from functools import cached_property, partial
from typing import TYPE_CHECKING

from goalfsm.daemon.aftermath import EngineAftermath
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
from goalfsm.errors import StoreError
from goalfsm.session import effects as f
from goalfsm.store.pump import Pump

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from goalfsm.daemon.flow.ports import Stage
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
        self.over = asyncio.Event()
        self.tasks = Tasks(self.over)
        spawn = self.tasks.spawn
        clock = self.clock = Clock(platform.clock)
        self.ids = IdSource(platform.entropy)
        self.pump = Pump(store)
        self.processes = Processes(db)
        aftermath = self.aftermath = EngineAftermath(self.pump, clock, self.over, ended_by)
        subscriptions = self.subscriptions = Subscriptions(clock, aftermath.suspended)
        report = subscriptions.report
        threads = self.threads = Threads(
            store,
            self.pump,
            clock,
            self.ids,
            policy=options.policy,
            machine=options.machine,
            aftermath=aftermath,
            report=report,
        )
        around = lambda work: self.sockets.around(work)  # noqa: E731, PLW0108  made for the first
        workers = Workers(options.workers, store.workers, self.processes, around)
        self.workers = workers
        holds = self.holds = Holds(aftermath.held)
        runs = self.runs = LiveRuns()
        wakeups = self.wakeups = Wakeups(clock, threads)
        self.effects = Effects(
            threads,
            spawn,
            holds,
            mark=aftermath.mark,
            changed=aftermath.rested,
            failed=aftermath.failed,
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
            stuck=aftermath.unread,
            considered=aftermath.consider,
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
            check_open=aftermath.check_open,
            said=runs.said,
            suspended=aftermath.suspended,
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
        records = RunRecords(store.processes, clock, aftermath.unread)
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
            stuck=aftermath.unread,
            follow_on=self.scheduler.follow_on,
            ends_whole=False,
            gone=self.watch.gone,
            spawned=records.spawned,
            recorded=records.gone,
            said=transcripts.keep,
            over=aftermath.run_over,
        )
        run_control = RunControl(
            ports,
            runs,
            self.effects,
            dispatches.take,
            transcripts.last_words,
            aftermath.is_stopped,
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
        aftermath.follow_by(
            threads,
            holds,
            runs,
            self.effects,
            subscriptions,
            self.scheduler,
            self.quiescence,
            self.outage,
            self.quarantine,
            self.heartbeat,
            self.stages,
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
                threads, store, holds, clock, aftermath.suspended, lambda: self.taken_over, brings
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
            considered=self.aftermath.consider,
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
        self.aftermath.check_open()
        going_on.result()
        self.taken_over = True
        self.holds.release(STARTING)
        if self.server is not None:
            self.server.ready()
