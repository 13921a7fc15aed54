"""A node in the embedder's own process: goals in PostgreSQL, worked on beside other nodes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final, Self

import structlog

from goalfsm.cluster.duty import RECORDED_S
from goalfsm.cluster.ending import ended
from goalfsm.cluster.host import hostname
from goalfsm.cluster.jobs import ANY, is_at_rest
from goalfsm.cluster.node import Node
from goalfsm.cluster.options import Options
from goalfsm.daemon.config import WorkerSource, given_worker
from goalfsm.daemon.logs import configure
from goalfsm.daemon.remote.socket_path import socket_for
from goalfsm.daemon.signals import GRACE_S
from goalfsm.daemon.stages.scheduler import MAX_RUNS
from goalfsm.errors import GoalError, StoreClosed
from goalfsm.session.policy import Policy
from goalfsm.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Collection, Mapping
    from types import TracebackType

    from goalfsm.cluster.reaching import Reach
    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.daemon.stages.performers import Callback, VerifierFunction
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply, Session
    from goalfsm.views.status import Status

_LOOK_S: Final = 0.1

_log = structlog.get_logger(__name__)


class ClusterEngine:
    """Works on the goals of a PostgreSQL database while it is entered, beside other nodes.

    ``async with ClusterEngine("postgresql://…", workers=worker) as engine`` serves its places until
    it is left. All methods belong to the loop that entered it. Needs the extra ``cluster``.
    """

    def __init__(
        self,
        dsn: str,
        *,
        workers: WorkerSource | None = None,
        policy: Policy | None = None,
        machine: GoalMachine | None = None,
        callbacks: Mapping[str, Callback] | None = None,
        verifiers: Mapping[str, VerifierFunction] | None = None,
        on_fault: Callable[[str, Exception], None] | None = None,
        places: Collection[str] = (ANY,),
        name: str = "",
        max_runs: int = MAX_RUNS,
        grace_s: float = GRACE_S,
    ) -> None:
        """Prepare a node; nothing is opened or started before it is entered.

        ``workers``, ``policy``, ``machine``, ``callbacks``, ``verifiers``, ``on_fault``,
        ``max_runs`` and ``grace_s`` (seconds) are those of `goalfsm.Engine`; all nodes that serve
        a place need the same callbacks and verifiers. A thread that is first spoken to here, and
        that ``workers`` run, belongs to the first of ``places``. ``name`` is what people see, the
        host's by default.
        """
        self._dsn = dsn
        self._grace_s = grace_s
        self._options = Options(
            name=name or hostname(),
            places=tuple(places),
            max_runs=max_runs,
            version=__version__,
            policy=policy or Policy(),
            machine=machine,
            workers=workers,
            callbacks=dict(callbacks or {}),
            verifiers=dict(verifiers or {}),
            on_fault=on_fault,
        )
        self._opened = contextlib.AsyncExitStack()
        self._reach: Reach | None = None
        self._made: Node | None = None
        self._living: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._homed: set[str] = set()

    async def __aenter__(self) -> Self:
        """Make the database ready, register the node and begin to work.

        Raises `StoreError`, and GoalError with the code ``extra_missing``.
        """
        if not structlog.is_configured():
            # It would print everything to the application's own output.
            configure(level="warning")
        try:
            from goalfsm.cluster.reaching import reach  # noqa: PLC0415  the extra has the driver
            from goalfsm.cluster.setup import prepare  # noqa: PLC0415  the same
        except ImportError as error:
            raise GoalError(
                f"the driver of PostgreSQL or the job engine is not installed ({error.name})",
                code="extra_missing",
                hint="pip install 'goalfsm[cluster]'",
            ) from error
        await asyncio.to_thread(prepare, self._dsn)
        async with contextlib.AsyncExitStack() as opened:
            self._reach = await opened.enter_async_context(reach(self._dsn))
            # A name of its own: nodes of one host listen beside one another.
            socket = socket_for(f"{self._dsn}#{os.getpid()}")
            node = Node(self._reach.reached, self._options, socket=socket)
            await node.begin()
            self._opened = opened.pop_all()
        self._made = node
        self._living = asyncio.get_running_loop().create_task(node.live())
        _log.info("node started", node=self._options.name, places=self._options.places)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, unless that has been done."""
        await self.stop(self._grace_s)

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Take no further turn; those that run have ``grace_s`` seconds, then go on elsewhere."""
        self.stop_soon(grace_s)
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    def stop_soon(self, grace_s: float = GRACE_S) -> None:
        """Begin to stop; see `stop`. A second call can only shorten the grace."""
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._close(grace_s))
        elif grace_s <= 0:
            self._node.end_runs()

    async def wait(self) -> None:
        """Return when the node has stopped."""
        await self._closed.wait()

    async def submit(self, thread_id: str, event: Event, event_id: str | None = None) -> Reply:
        """Decide an event from outside; return the reply when both are durable.

        An ``event_id`` that was used before changes nothing and gets the first reply again. Raises
        `StoreError` where the database cannot be reached.
        """
        node = self._node
        workers = self._options.workers
        if thread_id not in self._homed and given_worker(thread_id, workers) is not None:
            assert self._reach is not None  # noqa: S101  a node has it
            await self._reach.nodes.give_home(thread_id, self._options.places[0])
            self._homed.add(thread_id)
        return await node.service.submit(thread_id, event, event_id)

    def follow(self, thread_id: str) -> AsyncGenerator[Notice, None]:
        """Yield what happens to the thread from now on: first where it stands; `Ended` is last.

        What is decided elsewhere is told as a change of the status; what a turn says elsewhere
        comes about half a second later.
        """
        return self._node.service.follow(thread_id)

    async def settled(self, thread_id: str) -> Session:
        """Return the session when its goal has left active, or nothing follows by itself.

        Raises `StoreError` when the node stops before.
        """
        while True:
            self._node.service.check_open()
            session = await self._node.service.session(thread_id)
            rests = is_at_rest(session) and not await self._is_open(thread_id)
            # What was open when the session was read may have been done, and decided, since.
            if rests and await self._node.service.session(thread_id) == session:
                return session
            await asyncio.sleep(_LOOK_S)

    async def session(self, thread_id: str) -> Session:
        """Return the thread's session as it stands now; a new one when there is none."""
        return await self._node.service.session(thread_id)

    async def status(self, thread_id: str) -> Status:
        """Return the thread as every surface shows it."""
        return await self._node.service.status(thread_id)

    async def _is_open(self, thread_id: str) -> bool:
        assert self._reach is not None  # noqa: S101  a node has it
        return await self._reach.nodes.has_open(thread_id)

    async def _close(self, grace_s: float) -> None:
        try:
            # The connections are closed last, whatever the node meets at its end.
            async with self._opened:
                if self._made is not None and self._living is not None:
                    self._made.stop_soon()
                    # A server that stands still would keep it from beginning another lease.
                    await asyncio.wait([self._living], timeout=RECORDED_S)
                    await ended([self._living])
                    await self._made.finish(grace_s)
        finally:
            self._closed.set()

    @property
    def _node(self) -> Node:
        if self._made is None:
            raise StoreClosed("the node has not been entered", hint="Use it by `async with`.")
        return self._made


__all__ = ["ClusterEngine"]
