"""The processes that workers start, as far as the world has to know them: who lives, until when."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from goalfsm.store.port import Process as Recorded
from goalfsm.workers import protocol as w
from goalfsm.workers.supervisor.orphans import Orphans

if TYPE_CHECKING:
    from tests.simulation.plan import Step, Turn
    from tests.simulation.process import Process
    from tests.simulation.world import World

FIRST_PID: Final = 5_000_000
"""Above every pid that a kernel gives, so that none of them is anybody's."""


class Child:
    """The process of one run, or the work of a remote worker."""

    def __init__(self, pid: int, work: w.Work, engine: Process, *, remote: bool) -> None:
        self.pid = pid
        self.run_id = work.run_id
        self.token = work.run_token
        self.thread = work.thread_id
        self.goal_id = work.goal_id
        self.engine = engine
        self.remote = remote
        self.late = remote and engine.deposed
        """Whether it was started somewhere else by an engine that was deposed at that moment:
        nobody but that somewhere can refuse it, by the token of its run."""
        self.alive = True
        self.unkillable = False
        self.let_go = False
        """Whether its engine has ended its turn: all that an engine can do of a process that stays.
        """
        self.finished = False
        self.resisted = 0
        """How often it was to end and did not."""
        self.heard: list[str] = []
        self.deaf = False
        self.answers = 0
        self.undecided = 0
        """How many of the answers say that their call was not decided."""
        self.reports: set[str] = set()
        """Under which keys the turn reported usage: all of it counts when the turn ends well."""
        self.said: dict[str, list[w.UsageReported]] = {}
        """What was reported under each key, by the turn or by some other program of the run."""
        self.events: list[w.TurnEvent] = []
        self._usages = 0

    def report(self, event: w.TurnEvent) -> w.TurnEvent:
        """Keep what the worker reports, before the engine hears of it."""
        if isinstance(event, w.UsageReported):
            self._usages += 1
            key = f"{self.run_id}:{event.key or self._usages}"
            self.reports.add(key)
            self.said.setdefault(key, []).append(event)
        self.events.append(event)
        return event


class Children:
    """All of them, and what each turn is to do."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._pid = FIRST_PID
        self._scripts: dict[str, deque[tuple[Step, ...]]] = {}
        self.all: list[Child] = []
        self.by_run: dict[str, Child] = {}
        self.told: dict[str, int] = {}
        """How often the engine of a run had stood still when it asked for the run's process."""
        self.calls: Counter[str] = Counter()
        """How often a goal's tool was called with each token, as the record has it."""
        self.unstarted: set[str] = set()
        """Runs whose worker has asked a supervisor for a process and got none."""
        self._jobs: set[int] = set()
        self._waiting: dict[int, list[tuple[Process, asyncio.Future[None]]]] = {}

    # What turns do.

    def script(self, turn: Turn) -> None:
        """Have a turn to come do this."""
        self._scripts.setdefault(turn.thread, deque()).append(turn.steps)

    def steps(self, thread: str) -> tuple[Step, ...]:
        """Return what the next turn of a thread does."""
        world = self._world
        scripts = self._scripts.get(thread)
        if world.calm:
            return (("usage", ["", 5, 0]), ("text", "unique"), ("complete", "all"))
        if scripts:
            return scripts.popleft()
        work: tuple[Step, ...] = (
            ("sleep", world.random.randrange(300, 4_000)),
            ("usage", ["", 20, 0]),
            ("text", "unique"),
        )
        return (*work, ("complete", "all")) if world.random.random() < 0.2 else work

    # Who lives.

    def start(self, engine: Process, work: w.Work, *, remote: bool) -> Child:
        """Start the process of a run."""
        self._pid += 1
        child = Child(self._pid, work, engine, remote=remote)
        self._world.oracle.starts(child, work)
        self.all.append(child)
        self.by_run[work.run_id] = child
        self._world.stats.runs += 1
        engine.trace("worker", child.pid, "starts", work.run_id, "of", work.thread_id)
        return child

    def alive(self, thread: str | None = None) -> list[Child]:
        """Return those that live."""
        return [c for c in self.all if c.alive and (thread is None or c.thread == thread)]

    def end(self, child: Child) -> None:
        """End a process, and tell whoever waits for that."""
        if child.alive:
            child.alive = False
            self.all.remove(child)
            self._gone(child.pid)

    def orphaned(self, engine: Process, *, supervised: bool) -> None:
        """Let the children of a killed engine go on for as long as nobody ends them."""
        for child in self.alive():
            if child.engine is not engine:
                continue
            if child.remote:
                self._leave_remote(child)
            elif supervised and not child.unkillable:
                wait_ms = self._world.random.randrange(1_500)
                self._world.after(wait_ms, lambda child=child: self.end(child))  # type: ignore[misc]

    def _leave_remote(self, child: Child) -> None:
        """Let a remote worker finish by itself, or lose the run."""
        world = self._world
        world.after(world.random.randrange(20_000), lambda: self._remote_over(child))

    def _remote_over(self, child: Child) -> None:
        if child.alive:
            if self._world.random.random() < 0.6:
                child.report(w.UsageReported(key="last", input_tokens=11))
                child.report(w.Exited(ok=True))
                child.finished = True
            self.end(child)

    def left_by(self, engine: Process) -> None:
        """Check that an engine that exits has ended what it started."""
        for child in self.alive():
            if child.engine is engine and not child.unkillable:
                self._world.fail("an engine that exits leaves a worker behind", child.run_id)

    def refuse_to_die(self, child: Child, ms: int) -> None:
        """Keep a process alive whatever is sent to it, for a while."""
        child.unkillable = True

        def die() -> None:
            child.unkillable = False
            self.end(child)

        self._world.after(ms, die)

    def hush(self, ms: int) -> None:
        """Have nothing ended for a while of what lives: the supervisor stands still."""
        for child in self.alive():
            if not child.remote and not child.unkillable:
                child.engine.trace("is not heard by its supervisor:", child.run_id)
                self.refuse_to_die(child, ms)

    async def end_orphans(
        self, engine: Process, run_ids: Sequence[str], recorded: Sequence[Recorded]
    ) -> Orphans:
        """End what lives of these runs, which takes a moment; first the supervisors of others."""
        for other in self._world.processes:
            # One that has not claimed the store yet has none.
            other.unsupervised |= other is not engine and other.store.claimed is not None
        await asyncio.sleep(self._world.random.choice((0.0, 0.0, 0.4, 3.0)))
        named = {*run_ids, *(process.run_id for process in recorded)}
        ended: list[int] = []
        left: list[int] = []
        for child in self.alive():
            if child.run_id not in named or child.remote or engine.dead:
                continue
            if child.unkillable:
                left.append(child.pid)
            else:
                ended.append(child.pid)
                self.end(child)
        return Orphans(ended=tuple(ended), left=tuple(left))

    # What is waited for.

    def begin_job(self, ms: int) -> int:
        """Start some process that work waits for; return its pid."""
        self._pid += 1
        pid = self._pid
        self._jobs.add(pid)

        def end() -> None:
            self._jobs.discard(pid)
            self._gone(pid)

        self._world.after(ms, end)
        return pid

    async def wait_gone(self, engine: Process, pid: int) -> None:
        """Return when that process has ended."""
        if pid not in self._jobs and not any(c.pid == pid for c in self.all):
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(pid, []).append((engine, future))
        await future

    def _gone(self, pid: int) -> None:
        for engine, future in self._waiting.pop(pid, ()):
            if not engine.dead:
                engine.call(lambda future=future: future.done() or future.set_result(None))  # type: ignore[misc]
