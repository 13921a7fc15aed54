"""The parts of a node: the daemon's stages, composed another way.

Threads are in PostgreSQL, turns, effects and timers are jobs. What runs a turn, tells followers,
runs verifiers, callbacks and compactions and watches processes is the daemon's own; this module
makes the parts and wires who follows whom.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import structlog
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from goalfsm.cluster.aftermath import NodeAftermath
from goalfsm.cluster.chores import Chores
from goalfsm.cluster.decider import Decider
from goalfsm.cluster.duty import RECORDED_S, Duty
from goalfsm.cluster.host import DatabaseTime, LastWords, hostname
from goalfsm.cluster.jobs import Job, host_place
from goalfsm.cluster.mail import Mail
from goalfsm.cluster.marks import Marks
from goalfsm.cluster.saying import Saying
from goalfsm.cluster.serving import ClusterService
from goalfsm.cluster.sweep import Sweeps
from goalfsm.cluster.tenure import Tenure
from goalfsm.cluster.threads import ClusterThreads
from goalfsm.cluster.turns import Turns
from goalfsm.daemon.config import Processes, Workers
from goalfsm.daemon.flow.threads import SHUTDOWN, Holds
from goalfsm.daemon.host.platform import Clock, IdSource, LocalPlatform, Tasks
from goalfsm.daemon.remote.run_socket import RunSockets
from goalfsm.daemon.remote.server import Server
from goalfsm.daemon.remote.socket_path import NODE
from goalfsm.daemon.stages.effects import Effects
from goalfsm.daemon.stages.live_run import LiveRuns
from goalfsm.daemon.stages.performers import Callbacks, NextGoals, ProcessWatch, Reports, Verifiers
from goalfsm.daemon.stages.run_control import Compaction, Dispatches, RunControl, Transcripts
from goalfsm.daemon.stages.run_ports import RunPorts
from goalfsm.daemon.stages.subscriptions import DecisionLog, Subscriptions
from goalfsm.errors import StoreClosed, StoreError
from goalfsm.session import effects as f
from goalfsm.session.context import Rules
from goalfsm.session.state import Run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from goalfsm.cluster.lease import Renewed
    from goalfsm.cluster.options import Options, Reached
    from goalfsm.daemon.flow.ports import Performer, Stage

AGAIN_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Node:
    """Every part of one node, each made with what it needs, and who follows whom."""

    def __init__(self, reached: Reached, options: Options, *, socket: Path | None) -> None:
        """Make the parts; nothing is started. Programs in a turn reach the node by ``socket``."""
        self._reached = reached
        self._options = options
        self.over = asyncio.Event()
        self.tasks = Tasks(self.over)
        spawn = self.tasks.spawn
        self.host = hostname()
        self.db = f"{NODE}{socket or options.name}"
        self.platform = reached.platform or LocalPlatform(DatabaseTime())
        self.clock = Clock(self.platform.clock)
        self.ids = IdSource(self.platform.entropy)
        self._stopping = asyncio.Event()
        nodes = reached.nodes
        self.processes = Processes(self.db)
        sweeps = Sweeps(nodes, alive=reached.jobs.alive, wish=self.wish)
        self.tenure = Tenure(
            nodes,
            options,
            self.platform,
            self.clock,
            address=self.db,
            deadline=self.processes.until,
            renewed=lambda answer: self._renewed(answer, sweeps),
        )
        alive = self.tenure.alive
        self.words = LastWords(nodes.trim, spawn)
        self.decider = Decider(
            reached.transactions,
            self.ids,
            policy=options.policy,
            rules=Rules(options.machine),
            node_id=lambda: self.tenure.node_id,
            host=self.host,
            name=options.name,
            said=self.words,
        )
        self.holds = Holds(lambda _thread, _held: None)
        self.runs = LiveRuns()
        self.subscriptions = Subscriptions(self.clock)
        report = self.subscriptions.report
        self.aftermath = NodeAftermath(
            self.runs, self.subscriptions, mail=nodes.mail, on_fault=options.on_fault
        )
        self.threads = ClusterThreads(self.decider, spawn, self.aftermath)
        sockets = RunSockets(
            self.threads, self.threads, self.clock, self.processes.first_process, db=self.db
        )
        self.workers = Workers(options.workers, self.threads, self.processes, sockets.around)
        self.marks = Marks(nodes.mark, spawn)
        self.effects = Effects(
            self.threads,
            spawn,
            self.holds,
            mark=self.marks.add,
            changed=lambda _thread: None,
            failed=self.aftermath.failed,
        )
        dispatches = Dispatches(self.ids)
        places = (*options.places, host_place(self.host))
        self.turns = Turns(
            self.threads,
            self.holds,
            self.runs,
            self.workers,
            dispatches,
            node_id=lambda: self.tenure.node_id,
            alive=alive,
            places=places,
            last_words=self._remember_words,
            end_orphans=self._end_orphans,
            report=report,
            most=options.max_runs,
        )
        self.watch = ProcessWatch(self.runs, self.platform.wait_gone)
        transcripts = Transcripts(self.words, self.clock, elsewhere=True)
        ports = RunPorts(
            db=self.db,
            inbox=self.threads,
            sessions=self.threads,
            clock=self.clock,
            holds=self.holds,
            subscriptions=self.subscriptions,
            spawn=spawn,
            report=report,
            confirm=alive,
            stuck=lambda error: self.aftermath.stuck(None, error),
            follow_on=self.turns.follow_on,
            gone=self.watch.gone,
            ends_whole=True,
            spawned=lambda _thread, _run, _spawned: None,
            recorded=lambda _run: None,
            said=transcripts.keep,
            over=self.aftermath.run_over,
        )
        control = RunControl(
            ports, self.runs, self.effects, dispatches.take, transcripts.last_words
        )
        self.effects.perform_by(
            {f.StartRun: control, f.EndRun: control, f.DeliverSteering: self.runs}
        )
        workers = self.workers
        verifiers = Verifiers(
            self.threads.session,
            self.processes,
            options.verifiers,
            asyncio.Semaphore(options.max_runs),
            lambda each: sockets.without(each) if workers.isolates(each) else None,
        )
        callbacks = Callbacks(options.callbacks)
        performers: dict[type[f.Effect], Performer] = {
            f.RunVerifier: verifiers,
            f.RunUntil: verifiers,
            f.CompactContext: Compaction(self.threads, self.workers, db=self.db),
            f.WatchProcess: self.watch,
            f.RunCallback: callbacks,
            f.AskPerson: callbacks,
            f.WriteReport: Reports("", lambda _thread, _goal: None, report),
            f.TakeNextGoal: NextGoals(),
        }
        self.chores = Chores(
            self.threads,
            performers,
            claim=lambda key: nodes.claim(key, self.tenure.node_id or ""),
            mark=self.marks.add,
            wish=self.wish,
            alive=alive,
        )
        self.service = ClusterService(
            self.threads,
            self.subscriptions,
            self.clock,
            self.ids,
            over=self.over,
            said=self.runs.said,
            words=nodes.words,
        )
        saying = Saying(self.runs, nodes.say, spawn)
        # The order is the contract, as in the daemon: what is begun by a commit is begun last.
        stages: tuple[Stage, ...] = (
            DecisionLog(),
            self.subscriptions,
            self.chores,
            self.effects,
            self.turns,
            saying,
        )
        self.aftermath.follow_by(self.threads, self.effects, self.chores, stages)
        mail = Mail(
            reached.listen,
            going_on=self.aftermath.going_on,
            revisions=nodes.revisions,
            seen=self.threads.revision,
            look=self.aftermath.look,
        )
        self.duty = Duty(
            self.tenure,
            reached.jobs,
            self.turns,
            self.chores,
            mail,
            sweeps,
            wish=self.wish,
            places=places,
            most=options.max_runs,
        )
        self.server = (
            None
            if socket is None
            else Server(
                self.service,
                socket,
                db=self.db,
                runs_below=self.processes.identities,
                calls=self.service.call,
                run_of=self._run_of,
                run_above=self.processes.run_above,
            )
        )

    def _renewed(self, answer: Renewed, sweeps: Sweeps) -> None:
        """Look around with each sign of life, as an engine does."""
        sweeps.renewed(answer)
        if self.server is not None:
            self.server.restore()

    def _run_of(self, thread_id: str) -> Run | None:
        live = self.runs.get(thread_id)
        return None if live is None else live.run

    async def wish(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs by themselves."""
        async with self._reached.transactions.begin() as tx:
            await self._reached.jobs.enqueue(tx, jobs)

    async def _remember_words(self, thread_id: str) -> None:
        self.words.remember(thread_id, await self._reached.nodes.last_said(thread_id))

    async def _end_orphans(self, node_id: str, run_id: str) -> None:
        """End what may be left on this host of a run of another node of this user's."""
        address = await self._reached.nodes.address_of(node_id, self.host)
        if address is not None and address != self.db:
            await self.platform.end_orphans(address, [run_id], (), None)

    # Its life.

    async def begin(self) -> None:
        """Start what lives as long as the node, before anything else: its supervisor, its socket.

        Raises `StoreError` where the database cannot be reached; nothing is left open then.
        """
        try:
            await self.tenure.begin()
            if self._options.workers is None:
                await self.processes.supervisor()
            if self.server is not None:
                await self.server.start()
                self.server.ready()
        except BaseException:
            await self.finish(0.0)
            raise

    async def live(self) -> None:
        """Serve until told to stop: one lease after the other."""
        while not self._stopping.is_set():
            await self.duty.serve(self._stopping)
            if self._stopping.is_set():
                return
            # Whatever ended, its lease or a part that never should: all is dropped, and begun anew.
            self._drop_all()
            await self.duty.end()
            await asyncio.sleep(AGAIN_S)
            await self._begin_again()

    def stop_soon(self) -> None:
        """Take no further job; what runs may go on."""
        self.holds.add(SHUTDOWN)
        self._stopping.set()

    async def finish(self, grace_s: float) -> None:
        """Give running turns ``grace_s`` seconds, then end and record them; let everything go."""
        async with contextlib.AsyncExitStack() as closing:
            # Each is closed whatever another meets; the first of them last.
            closing.push_async_callback(self.processes.close)
            closing.push_async_callback(self.tasks.cancel, RECORDED_S)
            closing.push_async_callback(self.duty.close)
            if self.server is not None:
                closing.push_async_callback(self.server.close)
            await self._leave(grace_s)

    async def _leave(self, grace_s: float) -> None:
        self.duty.take_no_more()
        runs = [asyncio.ensure_future(run.wait()) for run in list(self.runs.values())]
        if runs:
            _log.info("waiting for running turns", runs=len(runs), grace_s=grace_s)
            await asyncio.wait(runs, timeout=grace_s)
        self.end_runs()
        self.chores.end_all()
        ending = [asyncio.ensure_future(run.wait()) for run in list(self.runs.values())]
        if ending:
            await asyncio.wait(ending, timeout=RECORDED_S)
        await self.duty.end()
        self.over.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECORDED_S):
                await self.marks.flush()
                await self.tenure.release()
        self.threads.abandon(StoreClosed("the node has stopped", hint="Start it again."))
        self.subscriptions.end("stopped")

    def end_runs(self) -> None:
        """End the turns that run, at once; their threads go on elsewhere."""
        for run in list(self.runs.values()):
            run.end("interrupted", "the node shut down")

    async def crash(self) -> None:
        """End as a killed process would, for tests: nothing more is written or told."""
        self._stopping.set()
        self.over.set()
        self.tenure.forget()
        self.threads.abandon(StoreClosed("the node crashed"))
        self._drop_all()
        self.duty.drop()
        await self.tasks.cancel(RECORDED_S)
        await self.duty.close()

    def _drop_all(self) -> None:
        """End everything unreported: others may have taken it over."""
        for run in list(self.runs.values()):
            run.end("killed")
        self.chores.end_all()

    async def _begin_again(self) -> None:
        """Begin another lease, tried as often as it takes, or until the node is to stop."""
        trying = AsyncRetrying(
            wait=wait_fixed(AGAIN_S), retry=retry_if_result(lambda over: not over)
        )
        await trying(self._tenure_begins)

    async def _tenure_begins(self) -> bool:
        if self._stopping.is_set():
            return True
        try:
            await self.tenure.begin()
        except StoreError as error:
            self.aftermath.stuck(None, error)
            return False
        _log.info("the node serves again", node=self._options.name)
        return True
