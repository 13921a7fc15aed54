"""What the parts of an engine share: its threads, its store, and who is told of what."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import structlog

from goalfsm.daemon.config import Assignment, Processes, WorkerSource, assign, given_worker
from goalfsm.daemon.guards.takeover import consume_inbox
from goalfsm.daemon.host.platform import System, recorded_identity
from goalfsm.daemon.stages.subscriptions import Followers, Problem, Settled, StatusChanged, happened
from goalfsm.errors import GoalError, StoreError
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Reply, Session
from goalfsm.session.wake import next_wake
from goalfsm.store.port import Commit, InboxRow, Outcome, Process, Store
from goalfsm.views.status import Status, project

if TYPE_CHECKING:
    from goalfsm.daemon.flow.decide import Opened, Prepared
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.flow.threads import Actors
    from goalfsm.daemon.guards.outage import Trouble
    from goalfsm.daemon.guards.ownership import Heartbeat
    from goalfsm.daemon.guards.quarantine import Faults, Undecided
    from goalfsm.daemon.host.clock import World
    from goalfsm.daemon.stages.effects import Doer
    from goalfsm.daemon.stages.live_run import LiveRun
    from goalfsm.daemon.stages.process_watch import Watchers
    from goalfsm.daemon.stages.quiescence import Settling
    from goalfsm.daemon.stages.scheduler import Dispatcher
    from goalfsm.daemon.stages.verifiers import Verification
    from goalfsm.daemon.stages.wakeups import Timers
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.store.pump import Pump
    from goalfsm.workers.protocol import Spawned

PRUNE_EVERY_MS: Final = 3_600_000
KEEP_DONE_MS: Final = 7 * 86_400_000
"""How long consumed inbox rows and done effects are kept; their events stay in the journal."""

_log = structlog.get_logger(__name__)


class Hub(ABC):
    """The parts of an engine and what they ask of each other; `Engine` makes them."""

    store: Store
    db: str
    """The path of the store's file, empty where it has none."""
    machine: GoalMachine | None
    system: System
    followers: Followers
    over: asyncio.Event
    """Set when the engine commits nothing more."""
    inbox_seen: int
    taken_over: bool
    """Whether all that earlier engines left has been seen to."""
    world: World
    pump: Pump
    processes: Processes
    threads: Actors
    timers: Timers
    trouble: Trouble
    settling: Settling
    dispatcher: Dispatcher
    doer: Doer
    faults: Faults
    heartbeat: Heartbeat
    watchers: Watchers
    verification: Verification

    def __init__(self, workers: WorkerSource | None) -> None:
        """Start without runs and tasks."""
        self._workers = workers
        self.unreadable: set[str] = set()
        """Threads whose snapshot cannot be decoded: they are left alone."""
        self._live: dict[str, LiveRun] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._prune_at_ms = 0
        self._log_grows = False

    @abstractmethod
    async def submit(
        self, thread_id: str, event: e.Event, event_id: str | None = None, *, inbox: bool = False
    ) -> Reply:
        """Decide an event from outside; see `Engine.submit`."""

    @abstractmethod
    def give_up(self, error: StoreError) -> None:
        """End at once, without another write."""

    def status(self, thread_id: str) -> Status:
        """Return the thread as every surface shows it."""
        return project(self.session(thread_id), self.now_ms(), thread_id=thread_id)

    def session(self, thread_id: str) -> Session:
        """Return the thread's committed session; a new one when there is none."""
        actor = self.threads.known(thread_id)
        return self.threads.load(thread_id)[0] if actor is None else actor.session

    def now_ms(self) -> int:
        """Return the time in unix milliseconds."""
        return self.world.now_ms()

    def actors(self) -> list[Actor]:
        """Return the threads in memory."""
        return self.threads.all()

    def actor(self, thread_id: str) -> Actor:
        """Return the thread's actor."""
        return self.threads.get(thread_id)

    def known(self, thread_id: str) -> Actor | None:
        """Return the thread's actor if it is in memory."""
        return self.threads.known(thread_id)

    def readable(self, thread_id: str) -> Actor | None:
        """Return the thread's actor, None (and say so once) where what is stored is unreadable."""
        try:
            return self.threads.get(thread_id)
        except codec.CodecError as error:
            if thread_id not in self.unreadable:
                self.unreadable.add(thread_id)
                _log.exception("thread cannot be read", thread_id=thread_id)
                self.problem(thread_id, error.code, error.message, error.hint)
            return None

    def load(self, thread_id: str) -> tuple[Session, int]:
        """Return what is stored of a thread."""
        return self.threads.load(thread_id)

    def submit_commits(self, commits: Sequence[Commit]) -> list[asyncio.Future[Outcome]]:
        """Make commits of one thread durable, with whatever else is ready."""
        return self.pump.submit_together(commits)

    def committed(self, actor: Actor, landed: tuple[Prepared, ...]) -> None:
        """Follow what became durable: timers, followers, effects, then what may run now."""
        thread_id = actor.thread_id
        self.threads.back(actor)
        self.trouble.past(actor)
        self.timers.set(thread_id, next_wake(actor.session))
        if self.followers.has(thread_id):
            for prepared in landed:
                self.followers.give(happened(thread_id, prepared))
        for prepared in landed:
            for key in prepared.commit.outbox_done:
                self._is_done(actor, key)
            for opened in prepared.opened:
                actor.open[opened.key] = opened
        for prepared in landed:
            for opened in prepared.opened:
                if opened.key in actor.open:
                    self.do(actor, opened)
        if self.followers.has(thread_id):
            self.followers.give(StatusChanged(thread_id=thread_id, status=self.status(thread_id)))
        self.reconsider(actor)

    def do(self, actor: Actor, opened: Opened) -> None:
        """Start an effect; a fault of ours in one must not keep the others from being done."""
        try:
            self.doer.do(actor, opened)
        except Exception as error:  # noqa: BLE001 - it stays open, and is tried at the next start
            self.mishap(actor, error)

    def store_failed(self, actor: Actor, error: StoreError) -> None:
        """Deal with a store that cannot commit."""
        self.trouble.met(actor, error)

    def mishap(self, actor: Actor, error: Exception, undecided: Undecided | None = None) -> None:
        """Stop a thread that met a fault, and say so; see `goalfsm.daemon.guards.quarantine`."""
        self.faults.met(actor, error, undecided)

    def quiet(self, actor: Actor) -> None:
        """Take note that the actor has nothing to decide."""
        # Also where the store's answer was that there is nothing to commit.
        self.trouble.past(actor)
        self._look(actor)
        self.threads.quiet(actor)

    def reconsider(self, actor: Actor) -> None:
        """See what may run now, and whether the thread has settled."""
        self.dispatcher.consider(actor)
        self._look(actor)

    def mark_done(self, actor: Actor, key: str) -> None:
        """Record that an effect was done; when that is lost it is done again, without harm."""
        self._is_done(actor, key)
        if not self.over.is_set():
            self.pump.mark_done(key, at_ms=self.now_ms())
        self._look(actor)

    def spawn(self, doing: Coroutine[Any, Any, Any], name: str) -> None:
        """Do something beside the actors; it is cancelled when the engine ends."""
        task = asyncio.get_running_loop().create_task(doing, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._task_over)

    def problem(self, thread_id: str, code: str, message: str, hint: str = "") -> None:
        """Tell the log and the thread's followers of something that went wrong."""
        _log.warning(message, thread_id=thread_id, code=code)
        self.followers.give(Problem(thread_id=thread_id, code=code, message=message, hint=hint))

    async def assignment(self, thread_id: str) -> Assignment | None:
        """Return who runs the thread's next turn; GoalError when what is stored is unusable."""
        stored = self.store.workers.get(thread_id)
        return await assign(thread_id, self._workers, stored, self.processes)

    def is_current(self, thread_id: str, assignment: Assignment) -> bool:
        """Tell whether the thread's next turn would be run by the same worker."""
        given = given_worker(thread_id, self._workers)
        same = given is assignment.worker or given is None
        return same and self.store.workers.get(thread_id) == assignment.stored

    def has_other_worker(self, thread_id: str, stored: bytes | None) -> bool:
        """Tell whether somebody runs the thread now that ``stored`` could not."""
        return (
            given_worker(thread_id, self._workers) is not None
            or self.store.workers.get(thread_id) != stored
        )

    def live(self, thread_id: str) -> LiveRun | None:
        """Return the thread's run if its worker was started here."""
        return self._live.get(thread_id)

    def is_live(self, thread_id: str) -> bool:
        """Tell whether a worker of the thread is running."""
        return thread_id in self._live

    def live_runs(self) -> list[LiveRun]:
        """Return all runs whose workers are running."""
        return list(self._live.values())

    def run_begins(self, actor: Actor, run: LiveRun) -> None:
        """Take note of a run whose worker is about to start."""
        self._live[actor.thread_id] = run

    def run_over(self, actor: Actor, run: LiveRun) -> None:
        """Take note that a run's worker is gone and its end recorded."""
        if self._live.get(actor.thread_id) is run:
            del self._live[actor.thread_id]
        if actor.halted:
            # A fault may have kept its end from being recorded.
            self.faults.close_run(actor)
        self.reconsider(actor)

    def process_spawned(self, thread_id: str, run_id: str, spawned: Spawned) -> None:
        """Write down the process of a run, so that a later engine finds what is left of it."""
        process = Process(
            run_id=run_id,
            thread_id=thread_id,
            identity=recorded_identity(spawned.pid, spawned.start_time),
            pgid=spawned.pgid,
            at_ms=self.now_ms(),
        )
        try:
            self.store.processes.put(process)
        except StoreError as error:
            # Its environment names it as well; the next commit meets the same trouble.
            self.trouble.met(None, error)

    def process_gone(self, run_id: str) -> None:
        """Forget the process of a run: nothing of it is left."""
        try:
            self.store.processes.end(run_id)
        except StoreError as error:
            self.trouble.met(None, error)

    def take_inbox(self, row: InboxRow) -> None:
        """Decide an event that was left in the inbox."""
        try:
            event = codec.decode_event(row.event)
        except GoalError as error:
            self.problem(row.thread_id, error.code, f"inbox row {row.inbox_id}: {error.message}")
            return
        self.spawn(self._take(row, event), f"inbox {row.inbox_id}")

    async def _take(self, row: InboxRow, event: e.Event) -> None:
        try:
            await self.submit(row.thread_id, event, row.inbox_id, inbox=True)
        except StoreError:
            # It is still there: look again at the next beat.
            self.inbox_seen = min(self.inbox_seen, row.seq - 1)
        except Exception as error:  # noqa: BLE001 - the actor has said so, and a fault took its place
            _log.debug("an inbox row met a fault", inbox_id=row.inbox_id, error=repr(error))

    def _is_done(self, actor: Actor, key: str) -> None:
        actor.open.pop(key, None)
        if actor.continuation is not None and actor.continuation.key == key:
            actor.continuation = None
        if actor.wind_down is not None and actor.wind_down.key == key:
            actor.wind_down = None

    def is_needed(self, actor: Actor) -> bool:
        """Tell whether the actor has to stay in memory."""
        thread_id = actor.thread_id
        return bool(
            actor.busy
            or actor.open
            or actor.suspended
            or actor.left
            or thread_id in self._live
            or self.followers.has(thread_id)
            or self.settling.is_watched(thread_id)
        )

    def _look(self, actor: Actor) -> None:
        if self.settling.look(actor):
            thread_id = actor.thread_id
            self.followers.give(Settled(thread_id=thread_id, status=self.status(thread_id)))

    def wake(self, thread_id: str) -> None:
        """Tell a thread that the time has come that it asked for."""
        try:
            actor = self.readable(thread_id)
        except StoreError as error:
            self.trouble.met(None, error)
            self.timers.set(thread_id, self.now_ms())
        else:
            if actor is not None:
                actor.tell(e.TimerFired())

    def look_around(self) -> None:
        """Do at each beat what nobody tells us: the time was set, a row was left, a worker came.

        Not before every thread was taken over: what is said to a thread while its last run still
        goes on somewhere would be decided as if that was over.
        """
        if not self.taken_over:
            return
        step_ms = self.world.step_ms()
        if step_ms:
            self._adopt(step_ms)
        consume_inbox(self)
        self.dispatcher.retry_unserved()
        self._keep_house()

    def _adopt(self, step_ms: int) -> None:
        _log.warning("the wall clock was set", by_ms=step_ms)
        self.world.adopt(step_ms)
        waiting = {actor.thread_id for actor in self.threads.all()} | {*self.timers.threads()}
        for thread_id in sorted(waiting):
            actor = self.readable(thread_id)
            if actor is not None and _is_timed(actor.session):
                actor.tell(e.ClockAdjusted(by_ms=step_ms), first=True)
        self.timers.again()

    def _keep_house(self) -> None:
        """Forget now and then what is done and old; say once that the log cannot be shortened."""
        now_ms = self.now_ms()
        if now_ms >= self._prune_at_ms:
            self._prune_at_ms = now_ms + PRUNE_EVERY_MS
            pruned = self.store.prune(before_ms=now_ms - KEEP_DONE_MS)
            if pruned:
                _log.info("old rows were deleted", rows=pruned)
        error = self.pump.checkpoint_error
        if error is not None and not self._log_grows:
            _log.warning("the log cannot be shortened", code=error.code, error=error.message)
        self._log_grows = error is not None

    def _task_over(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not (self.over.is_set() and isinstance(error, GoalError)):
            _log.error("task failed", task=task.get_name(), exc_info=error)


def _is_timed(session: Session) -> bool:
    """Tell whether anything in the session is measured from a moment."""
    return (
        session.clock.last_ms is not None
        or session.retry.first_failure_ms is not None
        or session.quota.relative
        or bool(session.waits)
        or session.run is not None
    )
