"""Nodes on virtual time, on transactions and jobs in memory that break, with people who ask.

What people say, what turns do and what has to hold are those of `tests.simulation`; see its
``--help``. ``python -m tests.cluster.simulation --seeds 100`` is the long form.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from goalfsm.cluster.decider import Attempt, Decider
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.tx import Program
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.host.platform import IdSource
from goalfsm.errors import StoreError
from goalfsm.session import events as e
from goalfsm.session.codec import sealed
from goalfsm.session.context import Rules
from goalfsm.testing.loop import VirtualLoop
from tests.cluster.bugs import BUGS
from tests.cluster.simulated_node import NodeChildren, Outside, SimNode
from tests.simulation import plan as p
from tests.simulation.command import Played, main
from tests.simulation.commit_rules import CommitRules
from tests.simulation.people import Asked, People
from tests.simulation.resting import ROUNDS, answer, look, standing, unrest
from tests.simulation.surroundings import surroundings
from tests.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine

    from goalfsm.cluster.tx import Writes
    from goalfsm.session.state import Reply
    from tests.simulation.plan import Plan

NODES: Final = 3
REST_S: Final = 900.0
"""How much virtual time everything gets to come to rest."""
POINTS: Final = ("worker.", "verifier.", "callback.")
"""Where a plan's kills and stalls meet a node; what meets it elsewhere is drawn here."""


class ClusterOracle(CommitRules):
    """Watches the commits of all nodes and commands, and what nodes do."""

    def __init__(self, world: Any) -> None:
        super().__init__(world)
        self._taken: dict[str, tuple[Any, Any]] = {}
        """Which node has an effect, and under which lease."""

    def written(self, node: Outside, writes: Writes) -> None:
        """Look at a transaction that has just been committed."""
        self._world.stats.commits += 1
        for commit in writes.commits:
            self._event(node, commit, commit.expected_revision + 1)  # type: ignore[arg-type]
        thread_id = writes.commits[-1].thread_id
        for opened in self.effects.values():
            if opened.thread == thread_id and type(opened.effect).__name__ in writes.over:
                opened.done = True

    def marked(self, node: Outside, keys: Collection[str]) -> None:
        """Look at effects that are marked as done."""
        for key in keys:
            node.trace("marks", key)
            self._done(key)

    def taken(self, node: Any, key: str) -> None:
        """Look at an effect that is given to a node: no other that is well has it."""
        other, lease = self._taken.get(key, (node, None))
        if other is not node and lease is other.lease and not other.deposed:
            self.fail("an effect is given to two nodes", f"{key} to {other} and {node}")
        self._taken[key] = (node, node.lease)

    def compare(self, database: MemoryDatabase) -> None:
        """Compare everything that was committed with what is stored."""
        for thread_id in self._world.plan.threads:
            known, rows = self.thread(thread_id), database.thread(thread_id).commits
            if [row.digest for row in rows] != known.digests:
                self.fail("committed events are missing", f"{len(rows)} of {known.revision}")
        differ = {key for key, row in database.outbox.items() if not row.done} ^ set(self.undone())
        if differ:
            self.fail("open effects are not what was committed", f"{sorted(differ)}")


class ClusterPeople(People):
    """People who reach a node, or the database itself where they reach none."""

    _world: Any

    def _leave(self, asked: Asked) -> None:
        self._submit(self._world.outside, asked)


class Command:
    """A program that decides by itself, for one thing that it is asked for."""

    def __init__(self, world: Cluster, view: Any) -> None:
        self._parts = self
        self.over = asyncio.Event()
        rules, ids = Rules(world.machine), IdSource(world)
        self._decider = Decider(view, ids, policy=world.plan.policy, rules=rules)

    @property
    def holds(self) -> Command:
        """Return what holds nothing."""
        return self

    def has(self, *_: object) -> bool:
        """Tell that nothing is held."""
        return False

    async def submit(self, thread_id: str, event: e.Event, event_id: str) -> Reply:
        """Decide it in one transaction."""
        envelope = Envelope(sealed(event), event_id=event_id, outside=True)
        decision = await self._decider.decide(Attempt(thread_id, [envelope]))
        if decision.failures:
            raise decision.failures[0].error
        return decision.answers[0][1]

    async def halt(self, thread_id: str) -> Reply:
        """Pause."""
        return await self.submit(thread_id, e.PauseRequested(), IdSource().new_id())


class Cluster(World):
    """A world of nodes; most of a plan's own trouble is that of one machine and its file."""

    oracle_of = ClusterOracle
    children_of = NodeChildren
    people_of = ClusterPeople
    processes: list[Any]

    def __init__(self, plan: Plan) -> None:
        self.loop = VirtualLoop()
        self.loop.on_pass.append(self._passed)
        self.loop.set_exception_handler(self._failed)
        # A node asks no remote worker how the run of another one ended.
        workers = {
            thread: replace(worker, can=tuple(can for can in worker.can if can != "probe"))
            for thread, worker in plan.workers.items()
        }
        items = tuple(item for item in plan.items if _is_met(item))
        self._doing: set[asyncio.Task[None]] = set()
        super().__init__(replace(plan, workers=workers, items=items, door=False))
        self.jobs = MemoryJobs(self.now_ms, stalled_s=2.0)
        self.database = MemoryDatabase(self.now_ms, self.jobs)
        for thread in plan.threads:
            self.database.programs[thread] = Program("any", self.front.workers.get(thread) or b"")
        self.cut: set[Outside] = set()
        """Who cannot reach the database."""
        self.outside = Outside(self, 0)
        self.outside.engine = Command(self, self.outside.view)

    def now_ms(self) -> int:
        """Return the clock of the database."""
        return self.wall_ms(self.now_us)

    def _passed(self, passed_us: int) -> None:
        self.now_us += passed_us

    def at(self, moment_us: int, call: Callable[[], None]) -> None:
        """Call something at a moment."""
        self.loop.call_later(max(0, moment_us - self.now_us) / 1_000_000, call)

    def _failed(self, _loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # Whoever asked a node that was killed is not there to hear of it.
        if not self.burying and not isinstance(error, StoreError | SystemExit):
            self.fail("a callback failed", f"{context.get('message')}: {error!r}")

    # Nodes.

    def serving(self) -> Any:
        """Return a node that people reach, None where they reach none, or want none."""
        reached = [node for node in self.processes if node.living is not None]
        return self.random.choice([*reached, None])

    async def start_node(self, number: int) -> None:
        """Start a node."""
        self.started += 1
        node = SimNode(self, self.started, number)
        self.processes.append(node)
        await node.live()

    async def crash(self, node: SimNode) -> None:
        """Kill a node, and start another one in its place some time later."""
        if node.dead:
            return
        self.stats.crashes += 1
        await node.crash()
        self.processes.remove(node)
        await asyncio.sleep(self.random.uniform(0.0, 4.0))
        await self.start_node(node.number)

    async def stop(self, node: SimNode, seconds: float) -> None:
        """Stop a node for a while."""
        if node.awake.is_set() and not node.dead:
            self.stats.stalls += 1
            await node.stop(seconds)

    def point(self, process: Any, where: str, what: str = "") -> None:
        """Pass a point of a node; have it die or stand still there, where the plan says so."""
        self._reached[where] += 1
        key = (where, self._reached[where])
        if self._kills.pop(key, None) is not None:
            process.trace("is to be killed at", where, what)
            self._spawn(self.crash(process))
        elif (stall := self._stalls.pop(key, None)) is not None:
            self._spawn(self.stop(process, stall.for_ms / 1000))

    def _spawn(self, doing: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(doing)
        self._doing.add(task)
        task.add_done_callback(self._doing.discard)

    async def _harm(self) -> None:
        """Break things now and then."""
        while not self.calm:
            await asyncio.sleep(self.random.uniform(0.5, 5.0))
            chance = self.random.random()
            node = self.random.choice([*self.processes, None])
            if node is None:
                self.stats.wipes += 1
                self.trace(None, "the queue is wiped")
                self.jobs.wipe()
            elif chance < 0.25:
                await self.stop(node, self.random.uniform(0.5, 8.0))
            elif chance < 0.65:
                await self.crash(node)
            else:
                self.stats.partitions += 1
                node.trace("is cut off")
                self.cut.add(node)
                await asyncio.sleep(self.random.uniform(0.5, 6.0))
                self.cut.discard(node)

    # The whole.

    def play(self) -> None:
        """Let everything happen; raise `Violation` where something is not as it must be."""
        with surroundings(self):
            try:
                self.loop.run(self._whole(), within=None)
            finally:
                self.stats.virtual_s = self.now_us / 1_000_000
                self.burying = True
                self.loop.discard()
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
                self.loop.close()

    async def _whole(self) -> None:
        for number in range(NODES):
            self._spawn(self.start_node(number))
        self._spawn(self._harm())
        await asyncio.sleep(self.plan.chaos_ms / 1000)
        self._calm_down()
        self.cut.clear()
        while self._doing:
            await asyncio.wait(set(self._doing))
        for _ in range(ROUNDS):
            await self._settle()
            if not answer(self):
                break
        else:
            self.fail("people are asked again and again", standing(self))
        look(self)
        for node in list(self.processes):
            await node.end()
        self.oracle.compare(self.database)
        # Each of them was decided again when it was committed.
        self.stats.replays += self.stats.events

    async def _settle(self) -> None:
        deadline = self.loop.time() + REST_S
        while unrest(self):
            if self.loop.time() > deadline:
                self.fail(f"this does not come to rest: {unrest(self)}", standing(self))
            await asyncio.sleep(1.0)


def _is_met(item: p.Any_Item) -> bool:
    if isinstance(item, p.Kill | p.Stall):
        return item.where.startswith(POINTS)
    return isinstance(item, p.Say | p.Ghost | p.Turn | p.Check | p.Poison)


CLUSTER: Final = Played(Cluster, BUGS, "tests.cluster.simulation")


if __name__ == "__main__":
    sys.exit(main(of=CLUSTER))
