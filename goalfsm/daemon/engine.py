"""The engine: threads of work on one store, driven turn after turn until each goal stops."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Final, Self

import structlog

from goalfsm.daemon.config import Processes, WorkerSource
from goalfsm.daemon.flow.mailbox import Actor
from goalfsm.daemon.flow.threads import Actors
from goalfsm.daemon.guards.drain import GRACE_S, wind_up
from goalfsm.daemon.guards.outage import Trouble
from goalfsm.daemon.guards.ownership import Heartbeat, acquire
from goalfsm.daemon.guards.quarantine import HINT, Faults
from goalfsm.daemon.guards.takeover import reconcile
from goalfsm.daemon.host.clock import World
from goalfsm.daemon.host.platform import Machine, System
from goalfsm.daemon.hub import Hub
from goalfsm.daemon.logs import be_quiet
from goalfsm.daemon.remote.server import Server
from goalfsm.daemon.remote.socket_path import socket_for
from goalfsm.daemon.stages.effects import Callback, Doer
from goalfsm.daemon.stages.process_watch import Watchers
from goalfsm.daemon.stages.quiescence import Settling
from goalfsm.daemon.stages.scheduler import MAX_RUNS, Dispatcher
from goalfsm.daemon.stages.subscriptions import Followers, Notice, StatusChanged
from goalfsm.daemon.stages.verifiers import Verification, VerifierFunction
from goalfsm.daemon.stages.wakeups import Timers
from goalfsm.errors import Fenced, StoreClosed, StoreError
from goalfsm.goal.machine import GoalMachine
from goalfsm.goal.model import ACTIVE
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply, Session
from goalfsm.store.port import Store
from goalfsm.store.pump import Pump

_GOES_ON: Final = (e.ResumeRequested, e.ObjectiveGiven)
_STARTING: Final = "starting"
_OVER: Final = "over"
_SUSPENDED: Final = Reply(
    ok=True,
    code="suspended",
    message="no turn follows; this is recorded as soon as the store can commit again",
)
_HALTED: Final = Reply(
    ok=True,
    code="suspended",
    message="no turn follows; the stop itself met a fault and could not be decided",
    hint=HINT,
)

_log = structlog.get_logger(__name__)


class Engine(Hub):
    """Owns a store while it is entered, and works on every goal in it.

    ``async with Engine(store, workers=worker) as engine`` takes over what an earlier engine left
    and lets everything go at the end. All methods belong to the loop that entered it.
    """

    def __init__(  # noqa: PLR0913 - what an embedder may say
        self,
        store: Store,
        *,
        workers: WorkerSource | None = None,
        policy: Policy | None = None,
        machine: GoalMachine | None = None,
        callbacks: Mapping[str, Callback] | None = None,
        verifiers: Mapping[str, VerifierFunction] | None = None,
        max_runs: int = MAX_RUNS,
        grace_s: float = GRACE_S,
        wait_s: float = 0.0,
        serve: bool | None = None,
        system: System | None = None,
    ) -> None:
        """Prepare an engine; nothing is opened or started before it is entered.

        ``workers`` run the turns; a thread that they do not run is run by the program stored for
        it. ``policy`` and ``machine`` are for new threads and for all. ``callbacks`` and
        ``verifiers`` are called by the names that machine and goals use. At most ``max_runs``
        turns run at once. ``grace_s``: how long they may go on when the engine is left.
        ``wait_s``: how long to wait for another owner to leave. ``serve``: whether other
        processes reach the engine over a socket, by default where the store is a file.
        """
        super().__init__(workers)
        path = getattr(store, "path", None)
        self.store = store
        self.db = "" if path is None else str(path)
        self.machine = machine
        self.system: System = system or Machine()
        self.followers = Followers()
        self.over = asyncio.Event()
        self.inbox_seen = 0
        self.taken_over = False
        self._policy = policy or Policy()
        self._callbacks = dict(callbacks or {})
        self._verifiers = dict(verifiers or {})
        self._max_runs = max_runs
        self._grace_s = grace_s
        self._wait_s = wait_s
        self._serve = bool(self.db) if serve is None else serve
        self._error: StoreError | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    # Its life.

    async def __aenter__(self) -> Self:
        """Own the store, take over what is in it, and begin to work.

        Raises `goalfsm.daemon.guards.ownership.Owned` when another engine does, and `StoreError`.
        """
        be_quiet()
        self.world = World(self.system.clock, self.system.entropy)
        socket = socket_for(self.db) if self._serve else None
        claimed = await acquire(
            self.store,
            self.system,
            socket="" if socket is None else str(socket),
            wait_s=self._wait_s,
        )
        self.pump = Pump(self.store)
        self.processes = Processes(self.db)
        self.threads = Actors(self, self.store, self._policy, self.is_needed)
        self.timers = Timers(self.world, self.wake)
        self.trouble = Trouble(self)
        self.settling = Settling(self)
        self.faults = Faults(self)
        self.dispatcher = Dispatcher(self, self._max_runs)
        self.doer = Doer(self, self._callbacks)
        self.watchers = Watchers(self, self.system.wait_gone)
        self.verification = Verification(self, self.processes, self._verifiers, most=self._max_runs)
        self.server = None if socket is None else Server(self, socket)
        self.heartbeat = Heartbeat(
            self.store, self.system, failed=self.give_up, look=self.look_around
        )
        try:
            await self._begin(after_crash=claimed.previous is not None)
        except BaseException as error:
            _log.debug("the engine did not start", error=repr(error))
            await self.stop(0.0)
            raise
        _log.info("engine started", epoch=claimed.epoch, after_crash=claimed.previous is not None)
        return self

    async def _begin(self, *, after_crash: bool) -> None:
        self.dispatcher.pause(_STARTING)
        self.heartbeat.start()
        if self._workers is None:
            # Before any thread exists: the supervisor is a fork of this process.
            await self.processes.supervisor()
        if self.server is not None:
            await self.server.start()
        await self._take_over(after_crash=after_crash)
        self.dispatcher.resume(_STARTING)
        if self.server is not None:
            self.server.ready()

    async def _take_over(self, *, after_crash: bool) -> None:
        """Go on from where the store stands; raise what ended the engine meanwhile."""
        going_on = asyncio.ensure_future(reconcile(self, after_crash=after_crash))
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

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, unless that has been done, and let the store go."""
        await self.stop(self._grace_s)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Stop: running turns have ``grace_s`` seconds, then they are ended and recorded.

        Returns when everything is closed. A second call can only shorten the grace.
        """
        self.stop_soon(grace_s)
        if self._stopping is not None:
            await asyncio.shield(self._stopping)
        if self._closing is not None:
            await asyncio.shield(self._closing)

    def stop_soon(self, grace_s: float = GRACE_S) -> None:
        """Begin to stop; see `stop`."""
        if self._stopping is not None:
            if grace_s <= 0:
                for run in self.live_runs():
                    run.end("interrupted", "the engine shut down")
            return
        if not self.over.is_set():
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace_s))

    async def wait(self) -> None:
        """Return when the engine has stopped; raise what ended it when that was a failure."""
        await self.over.wait()
        if self._closing is not None:
            await asyncio.shield(self._closing)
        if self._error is not None:
            raise self._error

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
        self._error = error
        self._end(error)
        self.followers.end("fenced" if fenced else "failed", error.message)
        self._closing = asyncio.get_running_loop().create_task(self._close())

    def crash(self) -> None:
        """End as a killed process would, for tests: nothing more is written or told."""
        if not self.over.is_set():
            self._end(StoreClosed("the engine crashed"))
            self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _stop(self, grace_s: float) -> None:
        await wind_up(self, grace_s)
        if self.over.is_set():
            return
        _log.info("engine stopped")
        stopped = StoreClosed("the engine has stopped", hint="Start it again.")
        with contextlib.suppress(StoreError):
            await self.pump.drain()
        self._end(stopped)
        await self._close_parts()
        with contextlib.suppress(StoreError):
            self.store.owner.release()
        self.followers.end("stopped")
        await self._hang_up()

    def _end(self, error: StoreError) -> None:
        self.over.set()
        self.dispatcher.pause(_OVER)
        self.heartbeat.stop()
        self.timers.close()
        self.trouble.close()
        for run in self.live_runs():
            run.end("killed")
        for actor in self.threads.all():
            actor.abandon(error)
        self.settling.fail(error)

    async def _close(self) -> None:
        await self._hang_up()
        await self._close_parts()

    async def _hang_up(self) -> None:
        if self.server is not None:
            await self.server.close()

    async def _close_parts(self) -> None:
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for run in self.live_runs():
            await run.wait()
        with contextlib.suppress(StoreError):
            await self.pump.close()
        await self.processes.close()

    # What people ask.

    async def submit(
        self, thread_id: str, event: e.Event, event_id: str | None = None, *, inbox: bool = False
    ) -> Reply:
        """Decide an event from outside; return the reply when both are durable.

        An ``event_id`` that was used before changes nothing and gets the first reply again. A
        pause or a clear cannot fail: where it cannot be committed or decided, nothing is dispatched
        any more, and the reply's code is ``suspended``. Otherwise raises a `StoreError`, or what a
        rule of the embedder's raised.
        """
        self._check_open()
        actor = self.threads.get(thread_id)
        event_id = event_id or self.world.new_id()
        stop = isinstance(event, e.PauseRequested | e.ClearRequested)
        was_active = _is_active(actor)
        asked = partial(actor.tell, event, event_id=event_id, outside=True, from_inbox=inbox)
        told = asked()
        if stop:
            self._suspend(actor, asked, told)
        try:
            reply = await asyncio.shield(told)
        except Exception as error:
            if not stop or self.over.is_set():
                raise
            return _SUSPENDED if isinstance(error, StoreError) else _HALTED
        if reply.ok and not stop and isinstance(event, e.Expecting) and event.origin == "person":
            again = isinstance(event, _GOES_ON) or (_is_active(actor) and not was_active)
            if actor.halted and again:
                actor.halted = False
                self.faults.again(actor)
                self.reconsider(actor)
        return reply

    async def halt(self, thread_id: str) -> Reply:
        """Pause the thread's goal in a way that cannot fail: no turn follows, whatever is said.

        Where the pause is refused, dispatch stays suspended until a person resumes, replaces or
        reopens the goal, or the engine is started again. Where it cannot be committed, see
        `submit`.
        """
        reply = await self.submit(thread_id, e.PauseRequested())
        if not reply.ok:
            actor = self.threads.get(thread_id)
            actor.halted = True
            self.dispatcher.consider(actor)
        return reply

    def _suspend(
        self,
        actor: Actor,
        asked: Callable[..., asyncio.Future[Reply]],
        told: asyncio.Future[Reply],
    ) -> None:
        """Dispatch nothing for the thread before its stop is recorded, whoever waits for that."""
        actor.stops += 1
        self.dispatcher.consider(actor)

        def follow(done: asyncio.Future[Reply]) -> None:
            failed = not done.cancelled() and isinstance(done.exception(), StoreError)
            if failed and not self.over.is_set():
                self.spawn(self._record_stop(actor, asked), f"stop {actor.thread_id}")
            else:
                self._stopped(actor)

        told.add_done_callback(follow)

    async def _record_stop(self, actor: Actor, asked: Callable[..., asyncio.Future[Reply]]) -> None:
        """Ask for the stop once more, and keep it until the store takes it."""
        await asked(kept=True)
        self._stopped(actor)

    def _stopped(self, actor: Actor) -> None:
        """Leave it to the goal's status again whether turns follow: the stop is in there."""
        actor.stops -= 1
        self.reconsider(actor)

    async def follow(self, thread_id: str) -> AsyncGenerator[Notice, None]:
        """Yield what happens to the thread from now on: first where it stands; `Ended` is last."""
        self._check_open()
        follower = self.followers.follow(thread_id)
        try:
            yield StatusChanged(thread_id=thread_id, status=self.status(thread_id))
            async for notice in follower:
                yield notice
        finally:
            self.followers.leave(follower)

    async def settled(self, thread_id: str) -> Session:
        """Return the session when its goal has left active, or nothing follows by itself.

        Raises a `StoreError` when the engine ends before.
        """
        self._check_open()
        actor = self.threads.get(thread_id)
        future = self.settling.wait(actor)
        try:
            await future
        finally:
            self.settling.forget(thread_id, future)
        return actor.session

    def _check_open(self) -> None:
        if self.over.is_set():
            raise self._error or StoreClosed("the engine has stopped", hint="Start it again.")


def _is_active(actor: Actor) -> bool:
    goal = actor.session.goal
    return goal is not None and goal.status == ACTIVE
