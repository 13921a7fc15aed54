"""One simulated process with an engine in it: its own loop, its own handle on the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from goalfsm.daemon.engine import Engine
from goalfsm.errors import GoalError
from goalfsm.store import owner
from goalfsm.store.port import Held, Identity
from goalfsm.store.port import Process as Recorded
from goalfsm.testing.loop import VirtualLoop
from goalfsm.testing.simulated import SimulatedSystem
from goalfsm.testing.waiting import VirtualTimeError
from goalfsm.workers.supervisor.orphans import Orphans
from tests.simulation.callers import ELSEWHERE, HERE
from tests.simulation.endings import Died, Poisoned, Violation
from tests.simulation.faulty import FaultyStore
from tests.simulation.workers import SimWorker

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Task
    from tests.simulation.world import World

BOOT: Final = HERE.boot_id
_INSIST: Final = 20


class ProcessLoop(VirtualLoop):
    """A loop that is born at some time of the world, and may stand still while it passes."""

    def __init__(self, now_us: int) -> None:
        super().__init__()
        self._now_us = now_us

    def skip_to_us(self, moment_us: int) -> None:
        """Let time pass as for a stopped process: every timer that fell due is late by now."""
        self._pass_until(max(moment_us, self._now_us))
        if self._horizon_us is not None:
            self._horizon_us = max(self._horizon_us, self._now_us)


class ProcessClock:
    """The machine's clocks, as a process reads them."""

    def __init__(self, world: World, loop: VirtualLoop) -> None:
        self._world = world
        self._loop = loop

    def wall_ms(self) -> int:
        return self._world.wall_ms(self._loop.now_us)

    def uptime_ms(self) -> int:
        return self._world.uptime_ms(self._loop.now_us)


class ProcessSystem(SimulatedSystem):
    """The machine, with the processes of its world."""

    def __init__(self, process: Process) -> None:
        super().__init__(ProcessClock(process.world, process.loop), process.world)
        self._process = process

    def identity(self) -> Identity:
        return self._process.identity

    def end_stalled(self, held: Held) -> bool:
        """Do what is done of a machine's own processes, where this one is the same."""
        world = self._process.world
        if not world.plan.door:
            return super().end_stalled(held)
        world.callers.observer = self._process.identity
        return owner.end_stalled(held)

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Recorded], supervisor: int | None
    ) -> Orphans:
        del db, supervisor
        return await self._process.world.children.end_orphans(self._process, run_ids, recorded)

    async def wait_gone(self, pid: int, started: str) -> None:
        del started
        await self._process.world.children.wait_gone(self._process, pid)


class SimEngine(Engine):
    """The engine as it is; only that the world is told before and after each of its effects."""

    sim: Process

    def _compose(self, platform: Any, socket: Any) -> Any:
        door = self.sim.world.plan.door
        parts = super()._compose(platform, Path("/no/socket") if door else socket)
        if parts.server is not None:
            self.sim.open_door(parts.server)
        perform = parts.effects._perform

        def told(task: Task) -> None:
            self.sim.point("effect.before", type(task.effect).__name__)
            if self.sim.world.breaks():
                self.sim.trace("meets a fault as it does", task.key)
                parts.effects._failed(task.thread_id, Poisoned(task.key))
                return
            perform(task)
            self.sim.point("effect.after", type(task.effect).__name__)

        parts.effects._perform = told  # type: ignore[method-assign]
        return parts


class Process:
    """One life of an engine, from its start to its exit or its death."""

    def __init__(self, world: World, pid: int, *, foreign: bool = False) -> None:
        self.world = world
        self.pid = pid
        where = ELSEWHERE if foreign else HERE
        self.identity = replace(where, pid=pid, start_time=pid)
        self.foreign = foreign
        self.loop = ProcessLoop(world.now_us)
        self.store = FaultyStore(self)
        self.engine: SimEngine | None = None
        self.ready = False
        self._dead = False
        self.ended_us: int | None = None
        self.gone = False
        self.stalled = False
        self.inside = False
        self.naps = 0
        """How often it has stood still."""
        self.awake_since_us = world.now_us
        self.behind_since_us: int | None = None
        """Since when it has gone by another wall clock than the world's, while it could look."""
        self.unsupervised = False
        """Whether a successor has ended its supervisor: it starts no process any more."""
        self.needed: tuple[int, frozenset[str]] | None = None
        """How many faults the store had met, and which threads needed an engine, as it was asked to
        stop.
        """
        self.deposed_at_us: int | None = None
        self.ended_with: BaseException | None = None
        self._workers: dict[str, SimWorker] = {}
        self._main: asyncio.Task[None] | None = None
        self._pid = pid
        self.loop.set_exception_handler(self._loop_failed)

    def __repr__(self) -> str:
        return f"engine {self.pid}"

    @property
    def dead(self) -> bool:
        """Return whether nothing of it happens any more."""
        return self._dead

    @dead.setter
    def dead(self, dead: bool) -> None:
        if dead and self.ended_us is None:
            self.ended_us = self.world.now_us
        self._dead = dead

    @property
    def runs(self) -> bool:
        """Return whether it can do something now."""
        return not (self.dead or self.gone or self.stalled)

    @property
    def serves(self) -> bool:
        """Return whether it answers people: those who come to its socket, whatever it has open."""
        return self.runs and self.ready and not self.is_succeeded

    @property
    def deposed(self) -> bool:
        """Return whether another has taken the store over, known to this one or not."""
        return self.is_succeeded or (self.store.claimed is not None and self.store.is_renamed)

    @property
    def is_succeeded(self) -> bool:
        """Return whether another one has claimed the store since this one did."""
        return self.store.claimed is not None and self.store.claimed != self.world.oracle.epoch

    def wall_ms(self) -> int:
        """Return the time that its engine goes by, the world's before it has one."""
        made = None if self.engine is None else self.engine._made
        if made is None:
            return self.world.wall_ms(self.loop.now_us)
        return made.clock.now_ms()

    # What runs in it.

    def start(self) -> None:
        """Start the engine."""
        self._main = self.loop.create_task(self._live(), name=f"engine {self.pid}")
        self.advance(self.world.now_us)

    async def _live(self) -> None:
        world = self.world
        engine = self.engine = SimEngine(
            self.store,
            workers=self.worker,
            policy=world.plan.policy,
            machine=world.machine,
            callbacks={"told": world.people.called_back(self)},
            verifiers={"check": world.people.verifier(self)},
            max_runs=world.plan.max_runs,
            platform=ProcessSystem(self),
        )
        engine.sim = self
        try:
            async with engine:
                self.ready = True
                self.trace("serves")
                await engine.wait()
        except GoalError as error:
            self.ended_with = error
        finally:
            self.ready = False

    def worker(self, thread_id: str) -> SimWorker | None:
        """Return the worker of a thread in this process, None where nobody has said which."""
        if thread_id in self.world.unserved:
            return None
        if thread_id not in self._workers:
            self._workers[thread_id] = SimWorker(self, thread_id)
        return self._workers[thread_id]

    def open_door(self, server: Any) -> None:
        """Have the engine's server take connections of the world's."""

        async def started() -> None:
            pass

        server.start = started
        server.runs_below = self.world.callers.runs_below
        server.run_above = self.world.callers.run_above

    # How the world drives it.

    def advance(self, moment_us: int) -> None:
        """Let it run up to a moment."""
        if not self.runs or self.inside:
            return
        self.inside = True
        try:
            self.loop.advance_to_us(moment_us)
        except Died:
            self.dead = True
        except VirtualTimeError as error:
            raise Violation("the engine spins", str(error)) from error
        finally:
            self.inside = False
        if self.dead:
            self.bury()
        elif self._main is not None and self._main.done():
            self._exited()

    def call(self, function: Callable[[], Any]) -> None:
        """Call something inside it, and let it do what follows at once."""
        self.loop.call_soon(function)
        self.advance(max(self.world.now_us, self.loop.now_us))

    def kill(self, *, orphans: bool = False) -> None:
        """Kill it; one that stands inside a step goes when that step is left."""
        if self.dead or self.gone:
            return
        self.trace("is killed")
        self.dead = True
        self.world.children.orphaned(self, supervised=not orphans)
        if not self.inside:
            self.bury()

    def bury(self) -> None:
        """Let go of what is left of a dead process: nothing of it reaches the world any more."""
        if self.gone:
            return
        self.gone, self.ready = True, False
        self._close()
        self.world.ended(self)

    def _exited(self) -> None:
        self.gone, self.ready = True, False
        self.trace("exits", self.ended_with or "")
        try:
            self.world.children.left_by(self)
            self.world.oracle.exited(self)
        finally:
            self.dead = True
            self._close()
        self.world.ended(self)

    def _close(self) -> None:
        self.world.burying = True
        self.store.crash()
        self.loop.set_exception_handler(lambda _loop, _context: None)
        for _ in range(_INSIST):
            try:
                self.loop.discard()
                break
            except SystemExit:
                continue
        self.loop.close()
        self.world.burying = False

    # What it tells the world.

    def point(self, where: str, what: str = "") -> None:
        """Pass a point where it may die or stand still."""
        self.world.point(self, where, what)

    def trace(self, *what: Any) -> None:
        """Write down what it does."""
        self.world.trace(self, *what)

    def _loop_failed(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, SystemExit) or self.dead:
            return
        self.world.fail("a callback of the engine failed", f"{context.get('message')}: {error!r}")
