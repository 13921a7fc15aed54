"""The engine: threads of work on one store, driven turn after turn until each goal stops.

What an embedder may call is here; how an engine is composed is in `goalfsm.daemon.composition`.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

import structlog

from goalfsm.daemon.composition import Composition
from goalfsm.daemon.config import WorkerSource
from goalfsm.daemon.flow.threads import OVER
from goalfsm.daemon.guards.drain import RECORDED_S, Drain
from goalfsm.daemon.guards.ownership import acquire
from goalfsm.daemon.host.platform import LocalPlatform, Platform, simulated
from goalfsm.daemon.logs import configure
from goalfsm.daemon.options import Options
from goalfsm.daemon.remote.socket_path import socket_for
from goalfsm.daemon.signals import GRACE_S
from goalfsm.daemon.stages.scheduler import MAX_RUNS
from goalfsm.errors import Fenced, StoreClosed, StoreError
from goalfsm.session import effects as f
from goalfsm.session.policy import Policy

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from pathlib import Path
    from types import TracebackType

    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.daemon.flow.ports import Performer
    from goalfsm.daemon.stages.performers import Callback, VerifierFunction
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply, Session
    from goalfsm.store.port import Store
    from goalfsm.views.status import Status

_LAST_S: Final = 60.0
"""How long stopping may take beyond the grace; after it what still runs is killed."""

_log = structlog.get_logger(__name__)


class Engine:
    """Owns a store while it is entered, and works on every goal in it.

    ``async with Engine(store, workers=worker) as engine`` takes over what an earlier engine left
    and lets everything go at the end. All methods belong to the loop that entered it.
    """

    def __init__(
        self,
        store: Store,
        *,
        workers: WorkerSource | None = None,
        policy: Policy | None = None,
        machine: GoalMachine | None = None,
        callbacks: Mapping[str, Callback] | None = None,
        verifiers: Mapping[str, VerifierFunction] | None = None,
        performers: Mapping[type[f.Effect], Performer] | None = None,
        on_fault: Callable[[str, Exception], None] | None = None,
        max_runs: int = MAX_RUNS,
        grace_s: float = GRACE_S,
        wait_s: float = 0.0,
        serve: bool | None = None,
        platform: Platform | None = None,
    ) -> None:
        """Prepare an engine; nothing is opened or started before it is entered.

        ``workers`` run the turns; a thread that they do not run is run by the program stored for
        it. ``policy`` and ``machine`` are for new threads and for all. ``callbacks`` and
        ``verifiers`` are called by the names that machine and goals use. ``performers`` do the
        effects of a kind in place of the engine's own. ``on_fault`` is called with a thread and
        an exception that nobody expects and nobody else is told of; the thread waits for a
        person then. At most ``max_runs`` turns run at once. ``grace_s``: how many seconds they
        may go on when the engine is left. ``wait_s``: how many seconds to wait for another owner
        to leave. ``serve``: whether other processes reach the engine over a socket, by default
        where the store is a file and the loop a real one. ``platform``: time, chance and
        processes, by default the machine's, or those of a loop on virtual time.
        """
        path = getattr(store, "path", None)
        self._store = store
        self._db = "" if path is None else str(path)
        self._platform = platform
        self._options = Options(
            workers=workers,
            policy=policy or Policy(),
            machine=machine,
            callbacks=dict(callbacks or {}),
            verifiers=dict(verifiers or {}),
            performers=dict(performers or {}),
            on_fault=on_fault,
            max_runs=max_runs,
        )
        self._grace_s = grace_s
        self._wait_s = wait_s
        self._serve = serve
        self._made: Composition | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._error: StoreError | None = None

    async def __aenter__(self) -> Self:
        """Own the store, take over what is in it, and begin to work.

        Raises `goalfsm.daemon.guards.ownership.Owned` when another engine does, and `StoreError`.
        """
        if not structlog.is_configured():
            # It would print everything to the application's own output.
            configure(level="warning")
        virtual = simulated(asyncio.get_running_loop())
        platform = self._platform or virtual or LocalPlatform()
        serve = bool(self._db) and virtual is None if self._serve is None else self._serve
        socket = socket_for(self._db) if serve else None
        address = "" if socket is None else str(socket)
        claimed = await acquire(self._store, platform, socket=address, wait_s=self._wait_s)
        supervised = self._options.workers is None
        try:
            parts = self._made = self._compose(platform, socket)
            await parts.begin(supervised=supervised, previous=claimed.previous)
        except BaseException as error:
            _log.debug("the engine did not start", error=repr(error))
            if self._made is not None:
                await self.stop(0.0)
            else:
                # As long as this process lives, no other could own the store.
                self._release()
            raise
        after_crash = claimed.previous is not None
        _log.info("engine started", epoch=claimed.epoch, after_crash=after_crash)
        return self

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
        parts = self._parts
        if self._stopping is not None:
            if grace_s <= 0:
                self._drain.end_runs()
            else:
                asyncio.get_running_loop().call_later(grace_s, self._drain.end_runs)
            return
        if not parts.over.is_set():
            self._stopping = asyncio.get_running_loop().create_task(self._stop(grace_s))

    def followed(self) -> bool:
        """Tell whether a turn runs that another process follows and would go on with."""
        return bool(self._drain.followed())

    def hand_over(self, thread_id: str, grace_s: float = GRACE_S) -> None:
        """Begin to stop, for whoever has come to the end of ``thread_id``.

        No turn begins. One that another process follows in order to go on with it may end, however
        long that takes; one of ``thread_id`` has ``grace_s`` seconds, and then every other has so
        many. At last the follower that asked first goes on with the store. `stop_soon` without
        grace cuts that short, `end_turn` only one thread's turn.
        """
        parts = self._parts
        if self._stopping is None and not parts.over.is_set():
            handing = self._hand_over(grace_s, thread_id)
            self._stopping = asyncio.get_running_loop().create_task(handing)

    def end_turn(self, thread_id: str) -> None:
        """End the thread's running turn at once, where the engine is stopping anyhow."""
        run = self._parts.runs.get(thread_id)
        if run is not None:
            run.end("interrupted", "the engine shut down")

    async def wait(self) -> None:
        """Return when the engine has stopped; raise what ended it when that was a failure."""
        await self._parts.over.wait()
        if self._closing is not None:
            await asyncio.shield(self._closing)
        if self._error is not None:
            raise self._error

    async def submit(self, thread_id: str, event: Event, event_id: str | None = None) -> Reply:
        """Decide an event from outside; return the reply when both are durable.

        An ``event_id`` that was used before changes nothing and gets the first reply again. A
        pause or a clear cannot fail: where it cannot be committed or decided, nothing is dispatched
        any more, and the reply's code is ``suspended``. Otherwise raises a `StoreError`, or what a
        rule of the embedder's raised.
        """
        return await self._parts.service.submit(thread_id, event, event_id)

    async def halt(self, thread_id: str) -> Reply:
        """Pause the thread's goal in a way that cannot fail: no turn follows, whatever is said.

        Where the pause is refused, no turn starts until a person resumes, replaces or reopens the
        goal, or the engine is started again. Where it cannot be committed, see `submit`.
        """
        return await self._parts.service.halt(thread_id)

    def follow(
        self, thread_id: str, *, after_revision: int | None = None
    ) -> AsyncGenerator[Notice, None]:
        """Yield what happens to the thread from now on: first where it stands; `Ended` is last.

        The end of what the running turn has said so far comes second (``again`` of an `Output`).
        With ``after_revision`` the events committed after that revision come first, each once:
        what somebody missed who had heard of everything up to it; 0 for all there are.
        """
        return self._parts.service.follow(thread_id, after_revision=after_revision)

    async def settled(self, thread_id: str) -> Session:
        """Return the session when its goal has left active, or nothing follows by itself.

        Raises a `StoreError` when the engine ends before.
        """
        return await self._parts.service.settled(thread_id)

    def session(self, thread_id: str) -> Session:
        """Return the thread's committed session; a new one when there is none.

        Raises a `StoreError` where it cannot be read.
        """
        return self._parts.service.session(thread_id)

    def status(self, thread_id: str) -> Status:
        """Return the thread as every surface shows it. Raises a `StoreError` as `session` does."""
        return self._parts.service.status(thread_id)

    def _compose(self, platform: Platform, socket: Path | None) -> Composition:
        # A method of its own: a simulation stands before and after each effect by it.
        return Composition(
            self._store,
            platform,
            self._options,
            db=self._db,
            socket=socket,
            give_up=self._give_up,
            ended_by=lambda: self._error,
        )

    @property
    def _parts(self) -> Composition:
        if self._made is None:
            raise StoreClosed("the engine has not been entered", hint="Use it by `async with`.")
        return self._made

    # Its end.

    @cached_property
    def _drain(self) -> Drain:
        p = self._parts
        return Drain(p.threads, p.holds, p.runs, p.wakeups, p.subscriptions, p.over)

    def _give_up(self, error: StoreError) -> None:
        """End at once, without another write: the store is another's, or cannot be trusted."""
        parts = self._parts
        if parts.over.is_set():
            return
        fenced = isinstance(error, Fenced)
        _log.error(
            "another engine has taken over" if fenced else "the store failed for good",
            code=error.code,
            error=error.message,
        )
        self._error = error
        self._end(error)
        parts.subscriptions.end("fenced" if fenced else "failed", error.message)
        self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _hand_over(self, grace_s: float, thread_id: str) -> None:
        """Stop, when the turns have ended that a successor follows; see `Engine.hand_over`."""
        own = asyncio.get_running_loop().call_later(grace_s, self.end_turn, thread_id)
        try:
            await self._drain.finish_followed()
        finally:
            own.cancel()
        await self._stop(grace_s)

    async def _stop(self, grace_s: float) -> None:
        """Stop in order; what does not end within its bound is killed."""
        parts = self._parts
        try:
            async with asyncio.timeout(grace_s + _LAST_S):
                await self._stop_parts(grace_s)
        except Exception as error:
            late = isinstance(error, TimeoutError)
            why = "took too long" if late else "failed"
            _log.error(f"stopping {why}; what still runs is killed")
            parts.processes.kill()
            if not parts.over.is_set():
                self._end(StoreClosed("the engine did not stop in time"))
            parts.subscriptions.end("stopped")
            with contextlib.suppress(TimeoutError):
                # What was waited for is dead by now; nothing of ours is left open.
                await asyncio.wait_for(self._close(), RECORDED_S)
            if not late:
                self._release()
                raise

    async def _stop_parts(self, grace_s: float) -> None:
        parts = self._parts
        await self._drain.finish(grace_s)
        if parts.over.is_set():
            return
        _log.info("engine stopped")
        stopped = StoreClosed("the engine has stopped", hint="Start it again.")
        with contextlib.suppress(StoreError, TimeoutError):
            await asyncio.wait_for(parts.pump.drain(), RECORDED_S)
        self._end(stopped)
        async with contextlib.AsyncExitStack() as closing:
            closing.push_async_callback(self._hang_up)
            closing.callback(parts.subscriptions.end, "stopped")
            closing.callback(self._release)
            await self._close_parts()

    def _release(self) -> None:
        with contextlib.suppress(StoreError):
            self._store.owner.release()

    def _end(self, error: StoreError) -> None:
        parts = self._parts
        parts.over.set()
        parts.holds.add(OVER)
        parts.heartbeat.stop()
        parts.wakeups.close()
        for run in list(parts.runs.values()):
            run.end("killed")
        parts.threads.abandon(error)
        parts.quiescence.fail(error)

    async def _close(self) -> None:
        try:
            await self._hang_up()
        finally:
            await self._close_parts()

    async def _hang_up(self) -> None:
        parts = self._parts
        if parts.server is not None:
            await parts.server.close()

    async def _close_parts(self) -> None:
        parts = self._parts
        async with contextlib.AsyncExitStack() as closing:
            closing.push_async_callback(parts.processes.close)
            closing.push_async_callback(self._close_pump)
            await parts.tasks.cancel(RECORDED_S)
            gone = [asyncio.ensure_future(run.wait()) for run in list(parts.runs.values())]
            if gone:
                await asyncio.wait(gone, timeout=RECORDED_S)

    async def _close_pump(self) -> None:
        with contextlib.suppress(StoreError):
            await self._parts.pump.close()
