"""The parts of a node: the daemon's stages, composed another way.

Threads are in PostgreSQL, turns, effects and timers are jobs. What runs a turn, tells followers,
runs verifiers, callbacks and compactions and watches processes is the daemon's own; this module
makes the parts and wires who follows whom.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from goalfsm.cluster.chores import Chores
from goalfsm.cluster.decider import Decider
from goalfsm.cluster.host import DatabaseTime, LastWords, hostname
from goalfsm.cluster.jobs import LOCAL, RUN_EFFECTS, Job, host_place
from goalfsm.cluster.lease import Lease, Registration
from goalfsm.cluster.mail import Mail
from goalfsm.cluster.marks import Marks
from goalfsm.cluster.serving import ClusterService
from goalfsm.cluster.sweep import Sweeps
from goalfsm.cluster.threads import ClusterThreads
from goalfsm.cluster.turns import Turns
from goalfsm.daemon.config import Processes, Workers, WorkerSource
from goalfsm.daemon.flow.decide import failure_of, reopened
from goalfsm.daemon.flow.holds import SHUTDOWN, Holds
from goalfsm.daemon.host.clock import Clock, IdSource
from goalfsm.daemon.host.platform import LocalPlatform
from goalfsm.daemon.host.tasks import Tasks
from goalfsm.daemon.remote.run_socket import RunSockets
from goalfsm.daemon.remote.server import Server
from goalfsm.daemon.remote.socket_path import NODE
from goalfsm.daemon.stages.callbacks import Callbacks
from goalfsm.daemon.stages.compaction import Compaction
from goalfsm.daemon.stages.completion import NextGoals, Reports, reports_folder
from goalfsm.daemon.stages.decision_log import DecisionLog
from goalfsm.daemon.stages.dispatches import Dispatches
from goalfsm.daemon.stages.effects import Effects
from goalfsm.daemon.stages.live_run import LiveRun, LiveRuns, RunPorts
from goalfsm.daemon.stages.process_watch import ProcessWatch
from goalfsm.daemon.stages.run_control import RunControl
from goalfsm.daemon.stages.subscriptions import Subscriptions
from goalfsm.daemon.stages.transcripts import Transcripts
from goalfsm.daemon.stages.verifiers import Verifiers
from goalfsm.errors import StoreClosed, StoreError, described
from goalfsm.session import effects as f
from goalfsm.session.state import Rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from goalfsm.cluster.floor import Floor
    from goalfsm.cluster.jobs import Jobs
    from goalfsm.cluster.lease import Renewed
    from goalfsm.cluster.tx import Transactions
    from goalfsm.daemon.flow.ports import Landed, Performer, Stage, Undecided
    from goalfsm.daemon.host.platform import Platform
    from goalfsm.daemon.stages.callbacks import Callback
    from goalfsm.daemon.stages.verifiers import VerifierFunction
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.policy import Policy

CHORES: Final = 64
"""How many timers and effects are under way at once; verifiers have a bound of their own."""
CROWDED_S: Final = 0.25
"""How often a node whose places are all taken looks whether somebody waits for one."""
RECORDED_S: Final = 10.0
"""How long the end of a run, or of the node, may take to be recorded."""
AGAIN_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Options(NamedTuple):
    """What a node is told by whoever starts it."""

    name: str
    places: tuple[str, ...]
    max_runs: int
    version: str
    policy: Policy
    machine: GoalMachine | None
    workers: WorkerSource | None
    callbacks: Mapping[str, Callback]
    verifiers: Mapping[str, VerifierFunction]
    on_fault: Callable[[str, Exception], None] | None


class Reached(NamedTuple):
    """What a node reaches of the cluster; ``platform`` is the machine's, but in a simulation."""

    transactions: Transactions
    nodes: Floor
    jobs: Jobs[Any]
    listen: Callable[[], AsyncIterator[str]]
    platform: Platform | None = None


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
        self._entropy = self.platform.entropy
        self._time = self.platform.clock
        self.clock = Clock(self._time)
        self.ids = IdSource(self._entropy)
        self.lease: Lease | None = None
        self._lost = asyncio.Event()
        self._stopping = asyncio.Event()
        nodes = reached.nodes
        self.words = LastWords(nodes.trim, spawn)
        self.decider = Decider(
            reached.transactions,
            self.ids,
            policy=options.policy,
            rules=Rules(options.machine),
            host=self.host,
            said=self.words,
        )
        self.threads = ClusterThreads(self.decider, spawn, self)
        self.holds = Holds(lambda _thread, _held: None)
        self.runs = LiveRuns()
        self.subscriptions = Subscriptions(self.clock)
        report = self.subscriptions.report
        self.processes = Processes(self.db)
        sockets = RunSockets(
            self.threads, self.threads, self.clock, self.processes.first_process, db=self.db
        )
        self.workers = Workers(options.workers, self.threads, self.processes, sockets.around)
        self.marks = Marks(nodes.mark, spawn)
        self.effects = Effects(
            self.threads,
            spawn,
            self.holds,
            mark=self._mark_mail,
            changed=lambda _thread: None,
            failed=self.failed,
        )
        dispatches = Dispatches(self.ids)
        places = self._places = (*options.places, host_place(self.host))
        self.turns = Turns(
            self.threads,
            self.holds,
            self.runs,
            self.workers,
            dispatches,
            node_id=lambda: self.decider.node_id,
            alive=self.alive,
            places=places,
            last_words=self._remember_words,
            end_orphans=self._end_orphans,
            report=report,
            most=options.max_runs,
        )
        self.watch = ProcessWatch(self.runs, self.platform.wait_gone)
        transcripts = Transcripts(self.words, self.clock)
        ports = RunPorts(
            db=self.db,
            inbox=self.threads,
            sessions=self.threads,
            clock=self.clock,
            holds=self.holds,
            subscriptions=self.subscriptions,
            spawn=spawn,
            report=report,
            confirm=self.alive,
            stuck=lambda error: self.stuck(None, error),
            follow_on=self.turns.follow_on,
            gone=self.watch.gone,
            spawned=lambda _thread, _run, _spawned: None,
            recorded=lambda _run: None,
            said=transcripts.keep,
            over=self._run_over,
        )
        control = RunControl(
            ports, self.runs, self.effects, dispatches.take, transcripts.last_words
        )
        self.effects.perform_by(
            {f.StartRun: control, f.EndRun: control, f.DeliverSteering: control}
        )
        verifiers = Verifiers(
            self.threads.session, self.processes, options.verifiers, most=options.max_runs
        )
        callbacks = Callbacks(options.callbacks)
        performers: dict[type[f.Effect], Performer] = {
            f.RunVerifier: verifiers,
            f.RunUntil: verifiers,
            f.CompactContext: Compaction(self.threads, self.workers, db=self.db),
            f.WatchProcess: self.watch,
            f.RunCallback: callbacks,
            f.AskPerson: callbacks,
            f.WriteReport: Reports(reports_folder(""), lambda _thread, _goal: None, report),
            f.TakeNextGoal: NextGoals(),
        }
        self.chores = Chores(
            self.threads,
            performers,
            claim=lambda key: nodes.claim(key, self.decider.node_id or ""),
            mark=self.marks.add,
            wish=self.wish,
            alive=self.alive,
        )
        self.service = ClusterService(
            self.threads, self.subscriptions, self.clock, self.ids, over=self.over
        )
        # The order is the contract, as in the daemon: what is begun by a commit is begun last.
        self.stages: tuple[Stage, ...] = (
            DecisionLog(),
            self.subscriptions,
            self.chores,
            self.effects,
            self.turns,
        )
        self.mail = Mail(
            reached.listen,
            going_on=self.going_on,
            revisions=nodes.revisions,
            seen=self.threads.revision,
            look=self.look,
        )
        self.sweeps = Sweeps(nodes, alive=reached.jobs.alive, wish=self.wish)
        self.server = (
            None
            if socket is None
            else Server(
                self.service,
                socket,
                db=self.db,
                runs_below=self.processes.identities,
                calls=self.service.call,
            )
        )
        self._serving: list[asyncio.Future[Any]] = []
        self._keeping: asyncio.Future[None] | None = None
        self._mailed: dict[str, set[str]] = {}

    # What follows a decision.

    def landed(self, landed: Landed) -> None:
        """Have every stage follow what is durable; jobs are done by whoever gets them."""
        # What is to be done to a run is done by the node that has it, and by no other.
        kinds = (*RUN_EFFECTS, *LOCAL) if self.runs.has(landed.thread_id) else LOCAL
        here = tuple(
            each._replace(outbox=tuple(t for t in each.outbox if isinstance(t.effect, kinds)))
            for each in landed.decided
        )
        for each in here:
            for task in each.outbox:
                self._mailed.setdefault(landed.thread_id, set()).add(task.key)
        followed = landed._replace(decided=here)
        for stage in self.stages:
            stage.committed(followed)

    def stuck(self, thread_id: str | None, error: StoreError) -> None:
        """Take note of a database that cannot be reached; what is to be kept is tried again."""
        _log.warning("the database cannot be reached", thread_id=thread_id, error=error.message)

    def failed(self, thread_id: str, error: Exception, undecided: Undecided | None = None) -> None:
        """Stop a thread that met a fault until a person takes it up again."""
        _log.error("a thread met a fault", thread_id=thread_id, exc_info=error)
        on_fault = self._options.on_fault
        if on_fault is not None and (undecided is None or not undecided.outside):
            on_fault(thread_id, error)
        if undecided is None or not undecided.only_asked:
            self.threads.fault(thread_id, failure_of(undecided, error))

    def quiet(self, thread_id: str) -> None:
        """Take note that nothing of a thread waits to be decided here."""

    def is_needed(self, thread_id: str) -> bool:
        """Tell whether a quiet thread has something going on here."""
        return (
            self.runs.has(thread_id)
            or self.chores.has(thread_id)
            or self.subscriptions.has(thread_id)
        )

    def going_on(self) -> set[str]:
        """Return the threads of which something goes on here, or is followed."""
        return {
            *(run.thread_id for run in self.runs.all()),
            *self.chores.threads(),
            *self.subscriptions.threads(),
        }

    async def look(self, thread_id: str) -> None:
        """Follow what others have decided about a thread: end, steer or wind its run down."""
        await self.threads.refresh(thread_id)
        if not self.runs.has(thread_id):
            return
        mailed = self._mailed.setdefault(thread_id, set())
        for row in await self._reached.nodes.mail(thread_id):
            if row.key not in mailed and self.runs.has(thread_id):
                mailed.add(row.key)
                self.effects.take_over(reopened(row))

    async def wish(self, jobs: Sequence[Job]) -> None:
        """Enqueue jobs by themselves."""
        async with self._reached.transactions.begin() as tx:
            await self._reached.jobs.enqueue(tx, jobs)

    def alive(self) -> bool:
        """Tell whether programs may run here: the lease of this node has not run out."""
        return self.lease is not None and self.lease.alive

    def _mark_mail(self, key: str) -> None:
        self.marks.add(key)

    def _run_over(self, run: LiveRun) -> None:
        self.runs.remove(run)
        if not self.runs.has(run.thread_id):
            self._mailed.pop(run.thread_id, None)

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

        Raises `StoreError` where the database cannot be reached.
        """
        await self._register()
        if self._options.workers is None:
            await self.processes.supervisor()
        if self.server is not None:
            await self.server.start()
            self.server.ready()

    async def live(self) -> None:
        """Serve until told to stop: one lease after the other."""
        while not self._stopping.is_set():
            await self._serve()
            if self._stopping.is_set():
                return
            await asyncio.sleep(AGAIN_S)
            await self._begin_again()

    def stop_soon(self) -> None:
        """Take no further job; what runs may go on."""
        self.holds.add(SHUTDOWN)
        self._stopping.set()

    async def finish(self, grace_s: float) -> None:
        """Give running turns ``grace_s`` seconds, then end and record them; let everything go."""
        for task in self._serving:
            # No further job is taken; the lease is kept while those that are under way end.
            task.cancel()
        runs = [asyncio.ensure_future(run.wait()) for run in self.runs.all()]
        if runs:
            _log.info("waiting for running turns", runs=len(runs), grace_s=grace_s)
            await asyncio.wait(runs, timeout=grace_s)
        self.end_runs()
        self.chores.end_all()
        ending = [asyncio.ensure_future(run.wait()) for run in self.runs.all()]
        if ending:
            await asyncio.wait(ending, timeout=RECORDED_S)
        await self._end_serving()
        self.over.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECORDED_S):
                await self.marks.flush()
                if self.lease is not None:
                    await self.lease.release()
        self.threads.abandon(StoreClosed("the node has stopped", hint="Start it again."))
        self.subscriptions.end("stopped")
        if self.server is not None:
            await self.server.close()
        await self.mail.close()
        await self.sweeps.close()
        await self.tasks.cancel(RECORDED_S)
        await self.processes.close()

    def end_runs(self) -> None:
        """End the turns that run, at once; their threads go on elsewhere."""
        for run in self.runs.all():
            run.end("interrupted", "the node shut down")

    async def _register(self) -> None:
        """Begin a lease, under an id that nobody has had."""
        options, self._lost = self._options, asyncio.Event()
        node_id = f"{options.name}-{self._entropy.new_id()}"
        node = Registration(
            node_id=node_id,
            name=options.name,
            host=self.host,
            pid=self.platform.identity().pid,
            address=self.db,
            places=options.places,
            max_runs=options.max_runs,
            version=options.version,
        )
        lease = Lease(
            self._reached.nodes,
            node,
            deadline=self.processes.until,
            lost=self._lost.set,
            renewed=self._renewed,
        )
        self._set_clock(await lease.begin())
        self.decider.node_id, self.lease = node_id, lease

    def _renewed(self, answer: Renewed) -> None:
        self._set_clock(answer.now_ms)
        self.sweeps.renewed(answer)

    def _set_clock(self, now_ms: int) -> None:
        if isinstance(self._time, DatabaseTime):
            self._time.tell(now_ms)
        step_ms = self.clock.step_ms()
        if step_ms:
            self.clock.adopt(step_ms)

    async def _serve(self) -> None:
        """Serve under one lease, until it is lost or the node stops."""
        assert self.lease is not None  # noqa: S101  it has been begun
        jobs, places, options = self._reached.jobs, self._places, self._options
        keeping = asyncio.ensure_future(self.lease.keep())
        others: list[asyncio.Future[Any]] = [
            asyncio.ensure_future(each)
            for each in (
                jobs.serve(self._turn, kinds=["turn"], places=places, most=options.max_runs),
                jobs.serve(self._chore, kinds=["effect", "timer"], places=places, most=CHORES),
                self.mail.listen(),
                self.mail.poll(),
                self.sweeps.keep(),
                self._look_for_crowds(),
            )
        ]
        ends = [
            asyncio.ensure_future(self._lost.wait()),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        every: list[asyncio.Future[Any]] = [*ends, *others, keeping]
        self._serving, self._keeping = others, keeping
        await asyncio.wait(every, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
        for task in (*others, keeping):
            if task.done() and not task.cancelled() and (error := task.exception()):
                _log.error("a part of the node ended", error=described(error), exc_info=error)
        if not self._stopping.is_set():
            # Whatever ended, its lease or a part that never should: all is dropped, and begun anew.
            self._drop_all()
            await self._end_serving()

    async def _end_serving(self) -> None:
        """End what serves; jobs that are under way are waited for."""
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving, timeout=RECORDED_S)
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        self._serving, self._keeping = [], None

    async def crash(self) -> None:
        """End as a killed process would, for tests: nothing more is written or told."""
        self._stopping.set()
        self.over.set()
        self.lease = None
        self.threads.abandon(StoreClosed("the node crashed"))
        self._drop_all()
        dying = [*self._serving, *([] if self._keeping is None else [self._keeping])]
        for task in dying:
            task.cancel()
        await self.tasks.cancel(RECORDED_S)
        await self.sweeps.close()
        await self.mail.close()

    def _drop_all(self) -> None:
        """End everything unreported: others may have taken it over."""
        for run in self.runs.all():
            run.end("killed")
        self.chores.end_all()

    async def _begin_again(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._register()
            except StoreError as error:
                self.stuck(None, error)
                await asyncio.sleep(AGAIN_S)
            else:
                _log.info("the node serves again", node=self._options.name)
                return

    async def _turn(self, job: Job) -> None:
        with contextlib.suppress(StoreError):
            await self.turns.do(job)

    async def _chore(self, job: Job) -> None:
        with contextlib.suppress(StoreError):
            await (self.chores.do_timer if job.kind == "timer" else self.chores.do_effect)(job)

    async def _look_for_crowds(self) -> None:
        """See now and then, while all places are taken, whether somebody waits for one."""
        turns = self.turns
        while True:
            await asyncio.sleep(CROWDED_S)
            if turns.under_way < self._options.max_runs:
                turns.somebody_waits = False
                continue
            with contextlib.suppress(StoreError):
                turns.somebody_waits = await self._reached.jobs.waiting(self._places)
