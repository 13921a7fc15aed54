"""Nodes on virtual time, on transactions and jobs in memory that break, with people who ask.

``python -m tests.cluster.simulation --seeds 100`` is the long form; a seed that fails, fails again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import random
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.cluster.decider import Attempt, Decider
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.node import Node
from goalfsm.cluster.options import Options, Reached
from goalfsm.cluster.tx import Program
from goalfsm.daemon import logs
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.host.clock import IdSource
from goalfsm.daemon.host.zones import zone
from goalfsm.errors import OutcomeUnknown, StoreError, StoreUnavailable
from goalfsm.goal.model import ACTIVE, Verifier
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.context import Rules
from goalfsm.session.policy import Policy
from goalfsm.session.thread import GoalThread
from goalfsm.testing.invariants import check
from goalfsm.testing.loop import run
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from goalfsm.cluster.memory_tx import MemoryTx, Moment
    from goalfsm.cluster.tx import Loaded
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Claim

POLICY: Final = Policy(no_progress=0, max_continuations=0)
SESSION_S: Final = 2.0
"""After how long the database ends the session of a process that is stopped in a transaction."""
CHECK: Final = Verifier(kind="callable", name="check")
CHAOS_S: Final = 60.0
CALM_S: Final = 400.0
NODES: Final = 3
FLOOR: Final = (
    *("register", "renew", "remove", "address_of", "claim", "mail", "revisions", "mark"),
    *("trim", "last_said", "left", "runs_of", "forget"),
)
"""What a node asks of the database beside its transactions."""
THREADS: Final = ("a", "b", "c", "d")


class Violation(AssertionError):
    """Something that must never be."""


class Stats(msgspec.Struct):
    """What happened in a world."""

    events: int = 0
    turns: int = 0
    interrupted: int = 0
    crashes: int = 0
    partitions: int = 0
    stops: int = 0
    verified: int = 0
    wipes: int = 0
    faults: int = 0
    commands: int = 0


class View(MemoryDatabase):
    """The database as a node reaches it: what breaks for that one, and not while it is stopped."""

    def __init__(
        self, shared: MemoryDatabase, met: Callable[[Moment], None], awake: asyncio.Event
    ) -> None:
        self.__dict__ |= shared.__dict__
        self.met = met
        for name in FLOOR:
            setattr(self, name, self._awake(getattr(shared, name), met, awake))
        self._event = awake

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncGenerator[MemoryTx]:
        """Run the block as one transaction; see `SESSION_S`."""
        await self._event.wait()
        async with super().begin() as tx:
            yield Stoppable(tx, self._event)  # type: ignore[misc]

    @staticmethod
    def _awake(
        method: Callable[..., Awaitable[Any]], met: Callable[[Moment], None], awake: asyncio.Event
    ) -> Callable[..., Awaitable[Any]]:
        async def asked(*given: Any) -> Any:
            await awake.wait()
            met("load")
            answer = await method(*given)
            await awake.wait()
            return answer

        return asked


class Stoppable:
    """A transaction of a node that may be stopped in it, with the lock of its thread."""

    def __init__(self, tx: MemoryTx, awake: asyncio.Event) -> None:
        self._tx, self._awake_again = tx, awake

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)

    async def load(self, thread_id: str, **given: Any) -> Loaded:
        """Lock the thread; where the node stands still then, the lock does not stay for ever."""
        loaded = await self._tx.load(thread_id, **given)
        if not self._awake_again.is_set():
            try:
                async with asyncio.timeout(SESSION_S):
                    await self._awake_again.wait()
            except TimeoutError:
                self._tx.release()
                await self._awake_again.wait()
                raise StoreUnavailable("the session was ended") from None
        return loaded


class World:
    """One cluster, what breaks in it, and what has to hold."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.stats = Stats()
        self.calm = False
        loop: Any = asyncio.get_running_loop()
        self.loop = loop
        self.jobs = MemoryJobs(self.now_ms, stalled_s=2.0)
        self.database = MemoryDatabase(self.now_ms, self.jobs)
        for thread in THREADS:
            self.database.programs[thread] = Program("any", b"")
        self.cut: set[int] = set()
        """Which nodes cannot reach the database."""
        self.awake = [asyncio.Event() for _ in range(NODES)]
        """Which nodes are not stopped."""
        for event in self.awake:
            event.set()
        self.running: dict[str, str] = {}
        self.verifying: dict[str, int] = {}
        """Which node checks the claim of a thread."""
        self.seen: list[str] = []
        """What must never be and was, where nobody listens to what is raised."""
        self.begun: Counter[str] = Counter()
        self.nodes: list[tuple[Node, asyncio.Task[None]] | None] = [None] * NODES
        self.asked: dict[str, set[str]] = {thread: set() for thread in THREADS}
        self.platform = loop.make_platform()
        self.ids = IdSource(self.platform.entropy)

    def now_ms(self) -> int:
        """Return the clock of the database."""
        return 1_800_000_000_000 + int(self.loop.time() * 1000)

    # The worker.

    async def turn(self, number: int, work: w.Work) -> AsyncIterator[w.TurnEvent | str]:
        """Do a turn; two of one thread are never under way at once."""
        other = self.running.get(work.thread_id)
        if other is not None:
            self.seen.append(f"{work.thread_id}: {work.run_id} beside {other}")
        self.begun[work.run_id] += 1
        self.stats.turns += 1
        self.running[work.thread_id] = work.run_id
        try:
            yield work.run_id
            if not await self.works(number, self.random.uniform(0.05, 2.0)):
                return
            yield w.UsageReported(key="one", input_tokens=10, output_tokens=5)
            yield w.ProgressReported()
            if not await self.works(number, self.random.uniform(0.0, 2.0)):
                return
            chance = self.random.random()
            if chance < 0.05:
                yield w.ErrorReported(message="overloaded", status=529, source="provider")
                yield w.Exited(ok=False)
            elif chance < 0.1 or self.calm:
                arguments = {"status": "complete", "evidence": [{"text": "seen"}]}
                yield w.ToolCalled(id=1, name="update_goal", arguments=arguments)
            elif chance < 0.15:
                yield w.WaitDeclared(for_="timer", seconds=3.0)
        finally:
            if self.running.get(work.thread_id) == work.run_id:
                del self.running[work.thread_id]

    async def works(self, number: int, seconds: float) -> bool:
        """Work for a while; a program of a stopped node is ended by its supervisor, in time."""
        await asyncio.sleep(seconds)
        if self.awake[number].is_set():
            return True
        found = self.nodes[number]
        lease = None if found is None else found[0].tenure.lease
        left = 0.0 if lease is None else lease._until - self.loop.time()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self.awake[number].wait()
        except TimeoutError:
            return False
        return True

    async def check(self, number: int, goal: Goal, claim: Claim) -> bool:
        """Verify a claim; two nodes are never at one claim at once."""
        del claim
        other = self.verifying.get(goal.goal_id)
        if other is not None:
            self.seen.append(f"{goal.goal_id} is verified by {number} beside {other}")
        self.verifying[goal.goal_id] = number
        self.stats.verified += 1
        try:
            # One that ran out of its time says nothing, whatever it would have said.
            passed = await self.works(number, self.random.uniform(0.1, 3.0))
        finally:
            if self.verifying.get(goal.goal_id) == number:
                del self.verifying[goal.goal_id]
        return passed and (self.calm or self.random.random() < 0.7)

    # Nodes, and what happens to them.

    async def start(self, number: int) -> None:
        """Start a node, as often as it takes."""

        def met(moment: Moment) -> None:
            if number in self.cut:
                raise StoreUnavailable("cut off")
            if self.calm or self.random.random() > 0.01:
                return
            self.stats.faults += 1
            kind = OutcomeUnknown if moment in {"commit", "committed"} else StoreUnavailable
            raise kind(f"at {moment}")

        view = View(self.database, met, self.awake[number])
        options = Options(
            name=f"n{number}",
            places=("any",),
            max_runs=3,
            version="",
            policy=POLICY,
            machine=None,
            workers=CallableWorker(functools.partial(self.turn, number)),
            callbacks={},
            verifiers={"check": functools.partial(self.check, number)},
            on_fault=self._fault,
        )
        reached = Reached(view, view, self.jobs, self._listen, self.platform)
        node = Node(reached, options, socket=None)
        while True:
            try:
                await node.begin()
            except StoreError:
                await asyncio.sleep(0.5)
            else:
                break
        self.nodes[number] = (node, self.loop.create_task(node.live()))

    def _fault(self, thread: str, error: Exception) -> None:
        self.seen.append(f"{thread} met a fault: {error!r}")

    async def _listen(self) -> AsyncIterator[str]:
        told: asyncio.Queue[str] = asyncio.Queue()
        self.database.listeners[told] = None
        try:
            while True:
                yield await told.get()
        finally:
            self.database.listeners.pop(told, None)

    async def crash(self, number: int) -> None:
        """Kill a node."""
        found = self.nodes[number]
        assert found is not None
        node, living = found
        serving = list(node.duty.serving)
        await node.crash()
        for task in serving:
            await self.jobs.die(task)
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)

    async def stop(self, number: int, seconds: float) -> None:
        """Stop a node for a while, as SIGSTOP does: it does not see how the time passes."""
        found, awake = self.nodes[number], self.awake[number]
        assert found is not None
        lease, stood = found[0].tenure.lease, self.loop.time()
        awake.clear()
        if lease is not None:
            lease._monotonic = lambda: stood
        await asyncio.sleep(seconds)
        if lease is not None:
            lease._monotonic = self.loop.time
        awake.set()

    async def harm(self) -> None:
        """Break things now and then."""
        while not self.calm:
            await asyncio.sleep(self.random.uniform(0.5, 5.0))
            number, chance = self.random.randrange(NODES), self.random.random()
            if chance < 0.2:
                self.stats.stops += 1
                await self.stop(number, self.random.uniform(0.5, 8.0))
            elif chance < 0.55:
                self.stats.crashes += 1
                await self.crash(number)
                await asyncio.sleep(self.random.uniform(0.0, 4.0))
                await self.start(number)
            elif chance < 0.8:
                self.stats.partitions += 1
                self.cut.add(number)
                await asyncio.sleep(self.random.uniform(0.5, 6.0))
                self.cut.discard(number)
            else:
                self.stats.wipes += 1
                self.jobs.wipe()

    # People.

    async def people(self) -> None:
        """Ask for one thing after the other, of any thread, by no node at all."""
        decider = Decider(self.database, self.ids, policy=POLICY, rules=Rules())
        for thread in THREADS:
            given = e.ObjectiveGiven(objective=f"goal of {thread}", verifiers=(CHECK,))
            await self.ask(decider, thread, given)
        while not self.calm:
            await asyncio.sleep(self.random.uniform(0.2, 3.0))
            thread = self.random.choice(THREADS)
            number = self.stats.commands
            event: Any = self.random.choice(
                (
                    e.SteeringReceived(message_id=f"m{number}", text=f"word {number}"),
                    e.PauseRequested(),
                    e.ResumeRequested(),
                    e.EditRequested(objective=f"goal {number}"),
                    e.WakeRequested(),
                    e.ClearRequested(),
                    e.ObjectiveGiven(objective=f"goal {number}", replace=True, verifiers=(CHECK,)),
                )
            )
            await self.ask(decider, thread, event)
        for thread in THREADS:
            given = e.ObjectiveGiven(objective="the last one", replace=True, verifiers=(CHECK,))
            await self.ask(decider, thread, given)

    async def ask(self, decider: Decider, thread: str, event: e.Event) -> None:
        """Have a command decided, twice: the second time changes nothing."""
        self.stats.commands += 1
        event_id = f"asked {self.stats.commands}"
        found = self.random.choice(self.nodes)
        if found is not None and not self.calm and self.random.random() < 0.5:
            with contextlib.suppress(StoreError):
                await found[0].service.submit(thread, event, event_id)
                return
        for _ in range(2):
            envelope = Envelope(event, event_id=event_id, outside=True)
            await decider.decide(Attempt(thread, [envelope]))

    # The whole, and what has to hold.

    async def play(self) -> None:
        """Let everything happen, then let it come to rest, and check."""
        for number in range(NODES):
            await self.start(number)
        asking = self.loop.create_task(self.people())
        harming = self.loop.create_task(self.harm())
        await asyncio.sleep(CHAOS_S)
        self.calm = True
        await asking
        await harming
        deadline = self.loop.time() + CALM_S
        while not self._at_rest():
            if self.seen:
                break
            if self.loop.time() > deadline:
                raise Violation(f"no rest: {self._stand()}")
            await asyncio.sleep(1.0)
        for found in self.nodes:
            assert found is not None
            node, living = found
            node.stop_soon()
            await living
            await node.finish(1.0)
        self._check()

    def _at_rest(self) -> bool:
        return all(
            (session := self._session(thread)) is not None
            and session.run is None
            and (session.goal is None or session.goal.status != ACTIVE)
            for thread in THREADS
        )

    def _stand(self) -> str:
        return ", ".join(
            f"{thread}: {None if s is None or s.goal is None else s.goal.status}"
            f" run={None if s is None or s.run is None else s.run.run_id}"
            for thread in THREADS
            for s in [self._session(thread)]
        )

    def _session(self, thread: str) -> Any:
        commits = self.database.thread(thread).commits
        return codec.decode(commits[-1].state) if commits else None

    def _check(self) -> None:
        if self.seen:
            raise Violation("; ".join(self.seen[:3]))
        for run_id, count in self.begun.items():
            if count > 1:
                raise Violation(f"run {run_id} began {count} times")
        for thread in THREADS:
            self._check_thread(thread)

    def _check_thread(self, thread: str) -> None:
        """Decide the journal again: equal states, and every transition as it must be."""
        going = GoalThread.new(POLICY, thread_id=thread, zones=zone)
        keys: Counter[str] = Counter()
        reported, ids = 0, set()
        for commit in self.database.thread(thread).commits:
            event, before = codec.decode_event(commit.event), going.session
            ready = going.step(event, id=commit.event_id, at_ms=commit.at_ms)
            if ready.snapshot() != commit.state:
                raise Violation(f"{thread}: {type(event).__name__} gives another state")
            check(before, event, ready.step, now_ms=commit.at_ms)
            if commit.event_id in ids:
                raise Violation(f"{thread}: {commit.event_id} was committed twice")
            ids.add(commit.event_id)
            self.stats.events += 1
            self.stats.interrupted += isinstance(event, e.RunInterrupted)
            if isinstance(event, e.UsageReported):
                keys[event.key] += 1
                reported += event.usage.input_tokens
        if any(count > 1 for count in keys.values()):
            raise Violation(f"{thread}: usage was charged twice")
        ledger = going.session.ledger
        if ledger.reported.input_tokens != reported:
            raise Violation(f"{thread}: the ledger is not what was reported")


def simulate(seed: int) -> Stats:
    """Play one world; raise `Violation` where something is not as it must be."""

    async def whole() -> Stats:
        world = World(seed)
        await world.play()
        return world.stats

    return run(whole(), within=None)


def main() -> int:
    """Play many worlds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    given = parser.parse_args()
    logs.configure(level="critical")
    total: Counter[str] = Counter()
    for seed in range(given.first, given.first + given.seeds):
        try:
            total.update(msgspec.structs.asdict(simulate(seed)))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    told = ", ".join(f"{count:,} {name}" for name, count in total.items())
    sys.stdout.write(f"{given.seeds} seeds: {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
