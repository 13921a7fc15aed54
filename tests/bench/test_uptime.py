"""Nothing grows with uptime: an hour of load, in virtual time, leaves what its first minutes left.

The store is a real file, so that what is durable is not in memory; the engine, its threads and
their workers are the real ones.
"""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import recovery
from goalfsm.daemon.engine import Engine
from goalfsm.goal.model import Limits
from goalfsm.session.events import (
    BudgetChanged,
    ObjectiveGiven,
    PauseRequested,
    ResumeRequested,
    SteeringReceived,
)
from goalfsm.session.policy import Policy
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing.clock import GoalClock
from goalfsm.testing.simulated import SimulatedSystem
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import ErrorReported, ToolCalled, TurnEvent, UsageReported, Work

THREADS = 4
TURN_S = 20
POLICY = Policy(no_progress=0, max_continuations=0)


class Store(SqliteStore):
    """Checkpoints inside its commits: virtual time does not pass for another thread."""

    def __init__(self, *opened: Any) -> None:
        """Leave the checkpoints to the commits."""
        super().__init__(*opened)
        self.checkpointer = lambda: None


class Load:
    """Turns that use tokens and tools, fail now and then, and people who interfere."""

    def __init__(self) -> None:
        self.turns = 0
        self.asked = 0

    async def turn(self, work: Work) -> AsyncIterator[TurnEvent | str]:
        """Work for a while; each seventh turn fails in a way that is tried again."""
        self.turns += 1
        turn = self.turns
        await asyncio.sleep(TURN_S / 2)
        yield UsageReported(key=f"{work.run_id}-1", input_tokens=1_000, output_tokens=50)
        yield ToolCalled(id=1, name="get_goal", arguments={})
        await asyncio.sleep(TURN_S / 2)
        if turn % 7 == 0:
            yield ErrorReported(message="503 Service Unavailable", status=503)
            return
        yield f"the answer of turn {turn}"

    async def people(self, engine: Engine) -> None:
        """Give goals, then steer, pause, resume, change budgets and replace, for ever."""
        for number in range(THREADS):
            await engine.submit(f"t{number}", ObjectiveGiven(objective="go on"))
        while True:
            for number in range(THREADS):
                thread = f"t{number}"
                for event in self.interference():
                    await asyncio.sleep(3)
                    await engine.submit(thread, event)

    def interference(self) -> tuple[Any, ...]:
        """Return what a person does to one thread."""
        self.asked += 1
        return (
            SteeringReceived(message_id=f"m{self.asked}", text="look at the tests first"),
            PauseRequested(),
            ResumeRequested(),
            BudgetChanged(limits=Limits(tokens=10**9)),
            ObjectiveGiven(objective=f"objective {self.asked}", replace=True),
        )


def living() -> Counter[str]:
    """Return how many objects of ours, and tasks, there are, by class."""
    gc.collect()
    ours = ("goalfsm.", "recovery.", "asyncio.", "_asyncio")
    kinds = ((str(kind.__module__), kind) for kind in map(type, gc.get_objects()))
    # An extension's class may have a descriptor for its module's name, which is none of ours.
    return Counter(
        f"{module}.{kind.__qualname__}" for module, kind in kinds if module.startswith(ours)
    )


def test_an_hour_of_load_leaves_the_memory_of_its_first_minutes(tmp_path: Path) -> None:
    """Neither bytes nor objects stay behind for each run, message, goal or retry."""
    clock, load = GoalClock(), Load()
    store = Store.open(tmp_path / "goals.db")
    # What is on the disk is not measured, and hundreds of syncs would only take time.
    store._database.connection().pragma("synchronous", "off")
    system = SimulatedSystem(clock)
    system.boot()
    engine = Engine(
        store, workers=CallableWorker(load.turn), policy=POLICY, serve=False, platform=system
    )
    for row in recovery.RULES:
        # What tells failures apart is read and compiled at its first use, which may come late.
        recovery.classify(row.example)
    figures: list[tuple[int, int, Counter[str]]] = []
    clock.run(engine.__aenter__())
    people = clock.loop.create_task(load.people(engine))
    tracemalloc.start()
    try:
        for minutes in (5, 55):
            clock.advance(minutes=minutes)
            objects = living()
            figures.append((load.turns, tracemalloc.get_traced_memory()[0], objects))
    finally:
        tracemalloc.stop()
        people.cancel()
        clock.run(engine.stop(0))
        store.close()
        clock.close()
    (turns, memory, objects), (all_turns, memory_after, objects_after) = figures
    runs = all_turns - turns
    assert runs > 500
    # What is in motion at that moment differs; one object for each run would be hundreds.
    more = {kind: count for kind, count in (objects_after - objects).items() if count > THREADS}
    assert not more
    assert memory_after - memory < runs * 100, "bytes"
