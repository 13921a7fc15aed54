"""A node of the simulation, the way it reaches the database, and the turns that run on it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Final

from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.node import Node
from goalfsm.cluster.options import Options, Reached
from goalfsm.errors import OutcomeUnknown, StoreError, StoreUnavailable
from goalfsm.session import events as e
from goalfsm.store.port import Identity
from tests.simulation.children import Children
from tests.simulation.endings import Poisoned
from tests.simulation.process import BOOT, ProcessSystem
from tests.simulation.workers import SimWorker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence

    from goalfsm.cluster.memory_tx import MemoryTx, Moment
    from goalfsm.cluster.tx import Ask, Loaded, Writes
    from goalfsm.session.state import Reply
    from goalfsm.workers import protocol as w
    from tests.cluster.simulation import Cluster
    from tests.simulation.children import Child

SESSION_S: Final = 2.0
"""After how long the database ends the session of a process that is stopped in a transaction."""
FAULTS: Final = 0.01
"""Which share of what is asked of the database fails, while things break."""
SLOWEST_S: Final = 0.02
"""How long an answer of the database takes at most."""
FLOOR: Final = (
    *("register", "renew", "remove", "address_of", "claim", "mail", "revisions", "mark"),
    *("trim", "say", "last_said", "left", "runs_of", "forget"),
)
"""What a node asks of the database beside its transactions."""


class View(MemoryDatabase):
    """The database as a node reaches it: what breaks for that one, and not while it is stopped."""

    def __init__(self, shared: MemoryDatabase, node: Outside) -> None:
        self.__dict__ |= shared.__dict__
        self.met = node.met
        for name in FLOOR:
            setattr(self, name, _asked(name, getattr(shared, name), node))
        self._node = node

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncGenerator[MemoryTx]:
        """Run the block as one transaction; see `SESSION_S`."""
        await self._node.awake.wait()
        async with super().begin() as tx:
            yield Stoppable(tx, self._node)  # type: ignore[misc]


def _asked(
    name: str, method: Callable[..., Awaitable[Any]], node: Outside
) -> Callable[..., Awaitable[Any]]:
    async def asked(*given: Any) -> Any:
        await node.awake.wait()
        await node.answers()
        node.met("load")
        answer = await method(*given)
        if name == "mark":
            node.world.oracle.marked(node, given[0])
        if answer is not None and name == "claim":
            node.world.oracle.taken(node, given[0])
        await node.answers()
        await node.awake.wait()
        return answer

    return asked


class Stoppable:
    """A transaction of a node that may be stopped in it, with the lock of its thread."""

    def __init__(self, tx: MemoryTx, node: Outside) -> None:
        self._tx, self._node = tx, node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def load(self, ask: Ask) -> Loaded:
        """Lock the thread; where the node stands still then, the lock does not stay for ever."""
        loaded = await self._tx.load(ask)
        await self._answered()
        return loaded

    async def load_free(self, asks: Sequence[Ask]) -> dict[str, Loaded]:
        """Lock those threads that nobody has, likewise."""
        loaded = await self._tx.load_free(asks)
        await self._answered()
        return loaded

    async def _answered(self) -> None:
        await self._node.answers()
        if not self._node.awake.is_set():
            try:
                async with asyncio.timeout(SESSION_S):
                    await self._node.awake.wait()
            except TimeoutError:
                self._tx.release()
                await self._node.awake.wait()
                raise StoreUnavailable("the session was ended") from None

    async def write(self, writes: Writes) -> None:
        """Write; the world is told of what is committed."""
        await self._tx.write(writes)
        self._tx.at_commit(lambda: self._node.world.oracle.written(self._node, writes))


class Outside:
    """Somebody who reaches the database, where no node is needed for that."""

    dead = False

    def __init__(self, world: Cluster, pid: int) -> None:
        self.world, self.pid = world, pid
        self.loop = world.loop
        self.awake = asyncio.Event()
        """Whether it is not stopped."""
        self.awake.set()
        self.view = View(world.database, self)
        self.engine: Any = None

    def __repr__(self) -> str:
        return f"node {self.pid}"

    def met(self, moment: Moment) -> None:
        """Have what is asked of the database fail now and then."""
        world = self.world
        if self.dead or (self in world.cut):
            raise StoreUnavailable("cut off")
        if world.calm or world.random.random() > FAULTS:
            return
        world.stats.faults += 1
        kind = OutcomeUnknown if moment in {"commit", "committed"} else StoreUnavailable
        raise kind(f"at {moment}")

    async def answers(self) -> None:
        """Wait as long as an answer takes."""
        if not self.world.calm:
            await asyncio.sleep(self.world.random.uniform(0.0, SLOWEST_S))

    def trace(self, *what: Any) -> None:
        """Write down what it does."""
        self.world.trace(self, *what)  # type: ignore[arg-type]

    def call(self, function: Callable[[], Any]) -> None:
        """Call something in it."""
        function()


class SimNode(Outside):
    """One life of a node, from its start to its end or its death."""

    unsupervised = stalled = False

    def __init__(self, world: Cluster, pid: int, number: int) -> None:
        super().__init__(world, pid)
        self.number = number
        self.identity = Identity(pid=pid, start_time=pid, boot_id=BOOT)
        self._workers: dict[str, SimWorker] = {}
        people: Any = world.people
        options = Options(
            name=f"n{number}",
            places=("any",),
            max_runs=world.plan.max_runs,
            version="",
            policy=world.plan.policy,
            machine=world.machine,
            workers=self.worker,
            callbacks={"told": people.called_back(self)},
            verifiers={"check": people.verifier(self)},
            on_fault=self._fault,
        )
        platform: Any = ProcessSystem(self)  # type: ignore[arg-type]
        reached = Reached(self.view, self.view, world.jobs, self._listen, platform)
        self.node = Node(reached, options, socket=None)
        self.engine = Engine(self.node)
        self.living: asyncio.Task[None] | None = None

    @property
    def lease(self) -> Any:
        """Return the lease that it has now."""
        return self.node.tenure.lease

    @property
    def deposed(self) -> bool:
        """Return whether its lease has run out, known to it or not."""
        return self.dead or self.lease is None or self.loop.time() >= self.lease._until

    async def live(self) -> None:
        """Begin, as often as it takes, and serve."""
        while True:
            try:
                await self.node.begin()
            except StoreError:
                await asyncio.sleep(0.5)
            else:
                break
        self.trace("serves")
        self.living = self.loop.create_task(self.node.live())

    async def crash(self) -> None:
        """Be killed."""
        self.trace("is killed")
        self.dead = True
        self.awake.set()
        self.world.children.orphaned(self, supervised=True)  # type: ignore[arg-type]
        serving = list(self.node.duty.serving)
        await self.node.crash()
        for task in serving:
            await self.world.jobs.die(task)
        if self.living is not None:
            self.living.cancel()
            await asyncio.gather(self.living, return_exceptions=True)

    async def stop(self, seconds: float) -> None:
        """Be stopped for a while, as by SIGSTOP: it does not see how the time passes."""
        lease, stood = self.lease, self.loop.time()
        self.trace("stands still for", seconds)
        self.awake.clear()
        if lease is not None:
            lease._monotonic = lambda: stood
        await asyncio.sleep(seconds)
        if lease is not None:
            lease._monotonic = self.loop.time
        self.trace("goes on")
        self.awake.set()

    async def end(self) -> None:
        """Stop as it is asked to."""
        self.node.stop_soon()
        if self.living is not None:
            await self.living
        await self.node.finish(1.0)

    def point(self, where: str, what: str = "") -> None:
        """Pass a point where it may die or stand still."""
        self.world.point(self, where, what)  # type: ignore[arg-type]

    def worker(self, thread_id: str) -> SimWorker:
        """Return the worker of a thread on this node."""
        if thread_id not in self._workers:
            self._workers[thread_id] = NodeWorker(self, thread_id)  # type: ignore[arg-type]
        return self._workers[thread_id]

    def _fault(self, thread: str, error: Exception) -> None:
        if not isinstance(error, Poisoned) and not self.dead:
            self.world.fail("a node met a fault of its own", f"{thread}: {error!r}")

    async def _listen(self) -> AsyncIterator[str]:
        told: asyncio.Queue[str] = asyncio.Queue()
        listeners = self.world.database.listeners
        listeners[told] = None
        try:
            while True:
                yield await told.get()
        finally:
            listeners.pop(told, None)


class Engine:
    """A node as people know it: what the daemon's engine is to them."""

    def __init__(self, node: Node) -> None:
        self._parts = node
        self.submit = node.service.submit

    async def halt(self, thread_id: str) -> Reply:
        """Pause; there is no stronger form of it here."""
        return await self.submit(thread_id, e.PauseRequested())


class NodeWorker(SimWorker):
    """The worker of one thread on one node: nobody reads what a turn says to a stopped one."""

    _process: Any

    async def run(self, work: w.Work) -> AsyncGenerator[w.TurnEvent, None]:
        """Run the turn."""
        async with contextlib.aclosing(super().run(work)) as events:
            async for event in events:
                await self._process.awake.wait()
                yield event

    async def _unsupervised(self) -> str:
        await self._process.awake.wait()
        return "the supervisor's time is up" if self._process.deposed else ""


class NodeChildren(Children):
    """The processes of turns: the dead-man's switch ends those of a node when its lease is over."""

    def start(self, engine: Any, work: w.Work, *, remote: bool) -> Child:
        """Start the process of a run."""
        child = super().start(engine, work, remote=remote)
        self._switch(child, engine.lease)
        return child

    def _switch(self, child: Child, lease: Any) -> None:
        left_s = lease._until - child.engine.loop.time()
        if left_s > 0:
            if child.alive:
                child.engine.loop.call_later(left_s + 0.001, self._switch, child, lease)
        elif child.unkillable:
            # What no signal ends is beyond every switch: others cannot know of it.
            child.late = True
        else:
            self.end(child)
