"""A world for engines: one time line, one disk, processes that come and go, and what breaks."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from goalfsm.daemon.config import WorkerConfig
from goalfsm.goal.machine import GoalMachine, default_machine
from goalfsm.session import events as e
from goalfsm.session.thread import handle
from goalfsm.store.memory import MemoryDisk, MemoryStore
from tests.simulation import plan as p
from tests.simulation.callers import HERE, Callers
from tests.simulation.children import Children
from tests.simulation.endings import Died, Poisoned, Violation
from tests.simulation.machine import Machine
from tests.simulation.oracle import Oracle
from tests.simulation.people import People
from tests.simulation.process import Process
from tests.simulation.resting import come_to_rest
from tests.simulation.stats import Stats
from tests.simulation.surroundings import surroundings

if TYPE_CHECKING:
    from goalfsm.session.context import Context, Step
    from goalfsm.session.state import Session
    from goalfsm.store.port import Identity
    from tests.simulation.plan import DecisionSort, Plan

START_MS: Final = 1_800_000_000_000
UPTIME_MS: Final = 5_000_000
KEEP_TRACE: Final = 4_000

_machine: list[GoalMachine] = []


def machine() -> GoalMachine:
    """Return the machine of all worlds: ours, with callbacks."""
    if not _machine:
        told = dict.fromkeys(("blocked", "complete", "paused"), "told")
        _machine.append(default_machine().extended(on_enter=told))
    return _machine[0]


class World:
    """Everything in one simulation; also where its ids come from."""

    oracle_of: Callable[[World], Any] = Oracle
    children_of: Callable[[World], Children] = Children
    people_of: Callable[[World], People] = People

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.machine = machine()
        self.random = random.Random(f"{plan.seed} world")
        self.now_us = 0
        self.skew_ms = 0
        self.calm = False
        self.burying = False
        """Whether a dead process is being taken apart."""
        self.stats = Stats()
        self.lines: deque[tuple[int, str, tuple[Any, ...]]] = deque(maxlen=KEEP_TRACE)
        self.violation: Violation | None = None
        self.disk = MemoryDisk()
        self.front = MemoryStore(self.disk, is_alive=self.is_alive)
        """What other programs of the user see of the disk."""
        self.processes: list[Process] = []
        self.oracle = type(self).oracle_of(self)
        self.children = type(self).children_of(self)
        self.callers = Callers(self)
        self.people = type(self).people_of(self)
        self._timeline: list[tuple[int, int, Callable[[], None]]] = []
        self._drawn = 0
        self.started = 0
        """How many processes there have been: the pid of the last one."""
        self._reached: Counter[str] = Counter()
        self.hardware = Machine(plan.items, self.stats)
        self._restarting = False
        self._kills = {(i.where, i.nth): i for i in plan.items if isinstance(i, p.Kill)}
        self._stalls = {(i.where, i.nth): i for i in plan.items if isinstance(i, p.Stall)}
        self._poisons = {(i.of, i.nth) for i in plan.items if isinstance(i, p.Poison)}
        self._decided: Counter[DecisionSort] = Counter()
        self.poisoned_usage: set[str] = set()
        """Keys of usage that met a fault: the journal has it, the ledger has not."""
        self.ends_met: Counter[str] = Counter()
        """How many faults met the end of each run."""
        self.records_met: Counter[str] = Counter()
        """How many faults met the record of a fault, by the event that met the first one, and by
        its kind."""
        self.unserved = {i.thread: i.until_ms for i in plan.items if isinstance(i, p.Unserved)}
        """Until when nobody says which program works on a thread."""
        self._breaks = {i.nth for i in plan.items if isinstance(i, p.Breaks)}
        self._performed = 0
        for thread in plan.workers:
            if thread in self.unserved:
                self.after(self.unserved[thread], partial(self._serve, thread))
            else:
                self._serve(thread)
        for item in plan.items:
            self._schedule(item)

    def _serve(self, thread: str) -> None:
        """Have somebody say which program works on a thread."""
        worker = self.plan.workers[thread]
        config = WorkerConfig(
            argv=("worker",),
            turn_timeout_s=worker.turn_timeout_s,
            silence_timeout_s=worker.silence_timeout_s,
        )
        self.front.workers.put(thread, config.encode())
        self.unserved.pop(thread, None)

    # Time, chance, ids.

    def wall_ms(self, now_us: int) -> int:
        """Return the wall clock at a moment of the world."""
        return START_MS + now_us // 1000 + self.skew_ms

    def uptime_ms(self, now_us: int) -> int:
        """Return the clock of this boot at a moment of the world."""
        return UPTIME_MS + now_us // 1000

    def new_id(self) -> str:
        """Return the next id."""
        self._drawn += 1
        return f"i{self._drawn}"

    def token(self) -> str:
        """Return the next token."""
        self._drawn += 1
        return f"secret-{self._drawn}-token"

    def is_alive(self, identity: Identity, observer: Identity = HERE) -> bool:
        """Tell whether that process lives, for one on the observer's machine."""
        if self.plan.door:
            return self.callers.is_alive(identity, observer)
        return any(p.pid == identity.pid and not p.dead for p in self.processes)

    def at(self, moment_us: int, call: Callable[[], None]) -> None:
        """Call something at a moment."""
        self._drawn += 1
        heapq.heappush(self._timeline, (max(moment_us, self.now_us), self._drawn, call))

    def after(self, ms: int, call: Callable[[], None]) -> None:
        """Call something in that many milliseconds."""
        self.at(self.now_us + ms * 1000, call)

    # The whole.

    def play(self) -> None:
        """Let everything happen; raise `Violation` where something is not as it must be."""
        with surroundings(self):
            try:
                self.start_process()
                self.run_until(self.plan.chaos_ms * 1000)
                self._calm_down()
                come_to_rest(self)
            finally:
                self.stats.virtual_s = self.now_us / 1_000_000
                self._tear_down()
            if self.violation is not None:
                raise self.violation

    def decide(self, session: Session, event: e.Event, context: Context) -> Step:
        """Decide as the engine does, but for the faults that are planned."""
        if self._is_poisoned(event):
            self.stats.poisoned += 1
            self.trace(None, "a fault meets", type(event).__name__)
            if isinstance(event, e.UsageReported):
                self.poisoned_usage.add(event.key)
            if isinstance(event, e.RunFinished | e.RunInterrupted):
                self.ends_met[event.run_id] += 1
            if isinstance(event, e.DecisionFailed):
                self.records_met.update((event.event_id, event.kind))
            raise Poisoned(type(event).__name__)
        return handle(session, event, context)

    def _is_poisoned(self, event: e.Event) -> bool:
        """Tell whether this decision is to raise."""
        sorts: list[DecisionSort] = ["any"]
        if isinstance(event, e.RunFinished | e.RunInterrupted):
            sorts.append("end")
        self._decided.update(sorts)
        met = {(sort, self._decided[sort]) for sort in sorts} & self._poisons
        self._poisons -= met
        return bool(met)

    def breaks(self) -> bool:
        """Tell whether the performer of the next effect raises."""
        self._performed += 1
        return self._performed in self._breaks

    def _calm_down(self) -> None:
        """Nothing breaks from now on."""
        self.calm = True
        self.trace(None, "calm")
        self._kills.clear()
        self._stalls.clear()
        self._poisons.clear()
        self._breaks.clear()
        self.hardware.calm_down()

    def _tear_down(self) -> None:
        for process in list(self.processes):
            if not process.gone:
                process.dead = True
                process.bury()

    def run_until(self, end_us: int, reached: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass up to ``end_us``, or until ``reached()``; return whether it was."""
        while True:
            if self.violation is not None:
                raise self.violation
            if reached():
                return True
            moment_us, step = self._next()
            if step is None or moment_us > end_us:
                self.now_us = max(self.now_us, end_us)
                return False
            self.now_us = max(self.now_us, moment_us)
            self.stats.steps += 1
            step()
            self.oracle.after_step()

    def _next(self) -> tuple[int, Callable[[], None] | None]:
        """Return what happens next; what happens at one moment happens in any order."""
        first_us = self._timeline[0][0] if self._timeline else None
        ready: list[Callable[[], None]] = [self._pop] if self._timeline else []
        for process in self.processes:
            if not process.runs or process.inside:
                continue
            due_us = process.loop.next_timer_us()
            if due_us is None or (first_us is not None and due_us > first_us):
                continue
            step = _advance(process, due_us)
            if due_us == first_us:
                ready.append(step)
            else:
                first_us, ready = due_us, [step]
        if first_us is None:
            return 0, None
        return first_us, ready[0] if len(ready) == 1 else self.random.choice(ready)

    def _pop(self) -> None:
        heapq.heappop(self._timeline)[2]()

    # Processes.

    def start_process(self, *, foreign: bool = False) -> None:
        """Start an engine in a process of its own."""
        self.started += 1
        process = Process(self, self.started, foreign=foreign)
        self.processes.append(process)
        self.trace(process, "starts")
        process.start()

    def ended(self, process: Process) -> None:
        """Note that a process is gone; whoever looks after the engine starts another one."""
        self.processes.remove(process)
        self.people.left_by(process)
        if self._restarting or any(other.runs for other in self.processes):
            return
        self._restarting = True
        wait_ms = 100 if self.calm else self.random.choice((10, 300, 2_000, 12_000))
        self.after(wait_ms, self._restart)

    def _restart(self) -> None:
        self._restarting = False
        if not any(process.runs for process in self.processes):
            self.start_process()

    def serving(self) -> Process | None:
        """Return the engine that people reach, None while there is none."""
        return next((process for process in self.processes if process.serves), None)

    # What breaks.

    def point(self, process: Process, where: str, what: str = "") -> None:
        """Pass a point of a process; die there, or stand still, where the plan says so."""
        if process.dead:
            return
        self._reached[where] += 1
        key = (where, self._reached[where])
        kill = self._kills.pop(key, None)
        if kill is not None:
            self.stats.crashes += 1
            self.trace(process, "is killed at", where, what)
            process.dead = True
            self.children.orphaned(process, supervised=not kill.orphans)
            raise Died
        stall = self._stalls.pop(key, None)
        if stall is not None:
            self._stall(process, stall)

    def _stall(self, process: Process, stall: p.Stall) -> None:
        """Let the others go on while this process stands still in the middle of a step."""
        self.stats.stalls += 1
        self.trace(process, "stands still at", stall.where)
        process.naps += 1
        if stall.rival_ms is not None:
            self.after(stall.rival_ms, self._rival)
        process.stalled = True
        asyncio._set_running_loop(None)
        try:
            self.run_until(min(self.now_us + stall.for_ms * 1000, self.plan.chaos_ms * 1000))
        finally:
            asyncio._set_running_loop(process.loop)
            process.stalled = False
        if process.dead:
            raise Died
        process.awake_since_us = self.now_us
        process.loop.skip_to_us(self.now_us)
        self.trace(process, "goes on")
        self.oracle.went_on(process)

    def _rival(self, *, foreign: bool = False) -> None:
        self.trace(None, "a rival is started", "elsewhere" if foreign else "")
        self.start_process(foreign=foreign)

    def _schedule(self, item: Any) -> None:
        """Have an item happen at its time; what has none is met on the way."""
        happens: dict[type[p.Item], Callable[[Any], object]] = {
            p.Say: self.people.say,
            p.Ghost: self.people.haunt,
            p.Pretends: self.callers.pretend,
            p.Crowd: self.callers.crowd,
            p.Waits: self.people.wait,
            p.KillAt: lambda _: self._kill_one(),
            p.Shutdown: lambda each: self.shut_down(each.grace_ms),
            p.Rival: lambda each: self._rival(foreign=each.foreign),
            p.Jump: lambda each: self._jump(each.by_ms),
            p.Renamed: self._rename,
            p.Hushed: lambda each: self.children.hush(each.for_ms),
        }
        match item:
            case p.Turn():
                self.children.script(item)
            case p.Check():
                self.people.expect_check(item)
            case _ if (happen := happens.get(type(item))) is not None:
                self.at(item.at_ms * 1000, lambda: happen(item))

    def _rename(self, item: p.Renamed) -> None:
        """Have the path mean a copy: whoever has the file open has another one."""
        self.trace(None, "the path means another file")
        self.disk = self.disk.fork()
        self.front = MemoryStore(self.disk, is_alive=self.is_alive)
        self.oracle.renamed()
        if item.rival:
            self._rival()

    def _kill_one(self) -> None:
        for process in self.processes:
            self.stats.crashes += 1
            process.kill(orphans=self.random.random() < 0.5)
            return

    def shut_down(self, grace_ms: int) -> None:
        """Ask the serving engine to stop."""
        process = self.serving()
        if process is not None and process.engine is not None:
            engine = process.engine
            process.trace("is asked to stop")
            self.oracle.stops(process)
            process.call(lambda: engine.stop_soon(grace_ms / 1000))

    def _jump(self, by_ms: int) -> None:
        self.trace(None, "the wall clock is set by", by_ms, "ms")
        self.skew_ms += by_ms

    # What is told.

    def fail(self, rule: str, detail: str = "") -> None:
        """Say that something happened that must not, and end the world."""
        if self.violation is None:
            self.violation = Violation(rule, detail)
            self.trace(None, "VIOLATION", rule, detail)
        raise self.violation

    def trace(self, process: Process | None, *what: Any) -> None:
        """Write a line down."""
        who = "world" if process is None else f"engine {process.pid}"
        self.lines.append((self.now_us, who, what))

    def told(self) -> list[str]:
        """Return what was written down, as text."""
        return [
            f"{moment / 1_000_000:11.3f}  {who:10} {' '.join(str(part) for part in what)}"
            for moment, who, what in self.lines
        ]


def _advance(process: Process, moment_us: int) -> Callable[[], None]:
    return lambda: process.advance(moment_us)
