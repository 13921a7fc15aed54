"""What the scenes of the daemon are played with: a thread, its worker's turns, what was left."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.remote.client import serving
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.effects import Effect
from goalfsm.session.policy import Policy
from goalfsm.store.port import OpenEffect
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import MemoryGoals
from goalfsm.testing.loop import START_MS
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.supervisor.orphans import Orphans

T = TypeVar("T")
THREAD = "thread"
OBJECTIVE = e.ObjectiveGiven(objective="do the work")
COMPLETE = w.ToolCalled(
    id=1, name="update_goal", arguments={"status": "complete", "evidence": ["it is there"]}
)
BLOCKED = w.ToolCalled(id=1, name="update_goal", arguments={"status": "blocked", "reason": "key"})
PATIENT = Policy(no_progress=0)


def play(scene: Callable[[MemoryGoals], Coroutine[Any, Any, T]], *, within: str = "7d") -> T:
    """Play a scene on goals of its own, on virtual time."""
    goals = MemoryGoals()
    try:
        return goals.clock.run(scene(goals), within=within)
    finally:
        goals.close()


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


def inside(engine: Engine) -> Any:
    """Return the parts of an engine, for what nobody outside may touch."""
    return engine._parts


def cannot_end(engine: Engine, *pids: int) -> list[str]:
    """Have these processes of earlier engines outlive their end; return the runs looked for."""
    looked_for: list[str] = []

    async def end_orphans(_db: str, run_ids: Sequence[str], *_more: Any) -> Orphans:
        looked_for.extend(run_ids)
        return Orphans(left=pids)

    engine._platform.end_orphans = end_orphans  # type: ignore[union-attr, method-assign]
    return looked_for


def leave(goals: MemoryGoals, effect: Effect | None, thread_id: str = THREAD) -> None:
    """Leave an effect undone, as an earlier engine may have; None is one that is unreadable."""
    number = len(goals.disk.open_effects) + 1
    goals.disk.open_effects[f"left/{number}"] = OpenEffect(
        key=f"left/{number}",
        thread_id=thread_id,
        revision=1,
        at_ms=START_MS,
        kind=type(effect).__name__,
        payload=b"{" if effect is None else codec.encode_effect(effect),
        seq=number,
    )


def leave_row(goals: MemoryGoals, inbox_id: str, event: e.Event, thread_id: str = THREAD) -> None:
    """Leave an event in the inbox, as a command does that finds nobody to answer it."""
    written = codec.encode_event(event)
    goals.store().inbox.put(inbox_id, thread_id, at_ms=goals.clock.now_ms, event=written)


def beside(db: Path, ask: Any) -> None:
    """Ask something, in a thread of its own, of an engine that serves ``db``."""

    async def main() -> None:
        store = SqliteStore.open(db)
        try:
            async with Engine(store, workers={}, grace_s=0.0):
                await asyncio.to_thread(ask)
        finally:
            store.close()

    asyncio.run(main())


def private(directory: Path) -> Path:
    """Make a directory that is this user's alone."""
    directory.mkdir(mode=0o700)
    return directory


def connect(db: Path) -> socket.socket:
    """Connect to the engine of a database as a stranger does."""
    owner = serving(db)
    assert owner is not None
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(30)
    link.connect(owner.socket)
    return link
