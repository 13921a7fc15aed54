"""A stage for engines: virtual time, ids that are counted, a store in memory, scripted workers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from goalfsm.daemon.engine import Engine
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.effects import Effect
from goalfsm.session.policy import Policy
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Held, Identity, JournalRow, OpenEffect, Process
from goalfsm.testing.loop import VirtualLoop
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.supervisor.orphans import Orphans

T = TypeVar("T")
START_MS = 1_800_000_000_000
THREAD = "thread"
OBJECTIVE = e.ObjectiveGiven(objective="do the work")
COMPLETE = w.ToolCalled(
    id=1, name="update_goal", arguments={"status": "complete", "evidence": ["it is there"]}
)
BLOCKED = w.ToolCalled(id=1, name="update_goal", arguments={"status": "blocked", "reason": "key"})


class StageClock:
    """The loop's time as a wall clock that can be set."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.skew_ms = 0

    def wall_ms(self) -> int:
        return START_MS + int(self._loop.time() * 1000) + self.skew_ms

    def uptime_ms(self) -> int:
        return int(self._loop.time() * 1000)


class StageEntropy:
    """Counts."""

    def __init__(self) -> None:
        self.drawn = 0

    def new_id(self) -> str:
        self.drawn += 1
        return f"id{self.drawn}"

    def token(self) -> str:
        self.drawn += 1
        return f"secret-{self.drawn}"


class StageSystem:
    """One process of the stage; the dead ones are known by their pids."""

    def __init__(self, stage: Stage, pid: int) -> None:
        self.stage = stage
        self.pid = pid
        self.clock = stage.clock
        self.entropy = stage.entropy
        self.asked_to_end: list[str] = []
        self.left: tuple[int, ...] = ()

    def identity(self) -> Identity:
        return Identity(pid=self.pid, start_time=self.pid, boot_id="boot")

    def end_stalled(self, held: Held) -> bool:
        del held
        return False

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Process], supervisor: int | None
    ) -> Orphans:
        del db, recorded, supervisor
        self.asked_to_end += run_ids
        return Orphans(left=self.left)

    async def wait_gone(self, pid: int, started: str) -> None:
        del started
        await asyncio.shield(self.stage.process(pid))

    def watch(self, places: Any) -> Any:
        return self.stage.watch(places)


class Stage:
    """What survives the engines that play on it."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.disk = MemoryDisk()
        self.clock = StageClock(loop)
        self.entropy = StageEntropy()
        self.dead: set[int] = set()
        self.pids = 0
        self.processes: dict[int, asyncio.Future[None]] = {}
        self.watch: Callable[[Any], Any] = lambda _places: None
        """What tells engines of changes; by default they look for themselves."""

    def store(self) -> MemoryStore:
        return MemoryStore(self.disk, is_alive=lambda identity: identity.pid not in self.dead)

    def engine(self, worker: Any = None, *, store: Any = None, **options: Any) -> Engine:
        self.pids += 1
        return Engine(
            self.store() if store is None else store,
            workers=worker,
            platform=StageSystem(self, self.pids),
            **options,
        )

    async def crash(self, engine: Engine) -> None:
        """End an engine as a killed process ends."""
        self.dead.add(engine._platform.identity().pid)
        engine._parts.crash()
        await engine.stop()

    def process(self, pid: int) -> asyncio.Future[None]:
        return self.processes.setdefault(pid, self.loop.create_future())

    def journal(self, thread_id: str = THREAD) -> list[JournalRow]:
        return self.disk.journal.get(thread_id, [])

    def events(self, *kinds: type, thread_id: str = THREAD) -> list[Any]:
        """Return the committed events, those of ``kinds`` where some are given."""
        every = [codec.decode_event(row.event) for row in self.journal(thread_id)]
        return [event for event in every if not kinds or isinstance(event, kinds)]

    def leave(self, effect: Effect | None, thread_id: str = THREAD) -> None:
        """Leave an effect undone, as an earlier engine may have; None is one that is unreadable."""
        number = len(self.disk.open_effects) + 1
        self.disk.open_effects[f"left/{number}"] = OpenEffect(
            key=f"left/{number}",
            thread_id=thread_id,
            revision=1,
            at_ms=START_MS,
            kind=type(effect).__name__,
            payload=b"{" if effect is None else codec.encode_effect(effect),
            seq=number,
        )

    def leave_row(self, inbox_id: str, event: e.Event, thread_id: str = THREAD) -> None:
        """Leave an event in the inbox, as a command does that finds nobody to answer it."""
        written = codec.encode_event(event)
        self.store().inbox.put(inbox_id, thread_id, at_ms=self.clock.wall_ms(), event=written)

    def open_effects(self) -> list[str]:
        return [row.kind for row in self.disk.open_effects.values()]


def play(scene: Callable[[Stage], Coroutine[Any, Any, T]], *, within: float = 7 * 86_400) -> T:
    """Play a scene on virtual time."""
    loop = VirtualLoop()
    try:
        return loop.run(scene(Stage(loop)), within=within)
    finally:
        loop.discard()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def worker(
    turn: Callable[[w.Work], Any], *, can: Sequence[str] = (), heard: list[Any] | None = None
) -> CallableWorker:
    """Return a worker that runs ``turn``; what it is told goes to ``heard``."""

    def hear(*what: Any) -> Awaitable[bool]:
        if heard is not None:
            heard.append(what)

        async def yes() -> bool:
            return True

        return yes()

    return CallableWorker(
        turn,
        steer=hear if "steer" in can else None,
        compact=hear if "compact" in can else None,
        tool_result=hear,
    )


def steps(*turns: Sequence[w.TurnEvent | str | float]) -> Callable[[w.Work], Any]:
    """Return a turn function: the nth turn says the nth list, numbers are seconds to wait.

    The last list is said again by every turn after it.
    """
    count = 0

    async def turn(work: w.Work) -> Any:
        nonlocal count
        del work
        said = turns[min(count, len(turns) - 1)]
        count += 1
        for what in said:
            if isinstance(what, float | int):
                await asyncio.sleep(what)
            else:
                yield what

    return turn


def usage(tokens: int, key: str = "") -> w.UsageReported:
    return w.UsageReported(key=key, input_tokens=tokens)


def inside(engine: Engine) -> Any:
    """Return the parts of an engine, for what nobody outside may touch."""
    return engine._parts


PATIENT = Policy(no_progress=0)
