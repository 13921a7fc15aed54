"""An engine with nothing under way writes nothing; one that works says that it lives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from goalfsm.session import events as e
from goalfsm.store.port import Store
from goalfsm.testing import MemoryGoals
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker


def test_an_idle_engine_writes_nothing(stores: Callable[[MemoryGoals], Store]) -> None:
    """Not a byte in ten minutes, with a goal that waits for a person."""

    async def scene(goals: MemoryGoals) -> None:
        store: Any = stores(goals)
        async with goals.process(worker(steps(["a"])), store=store, serve=False) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.PauseRequested())
            await engine.settled(THREAD)
            await asyncio.sleep(10)
            written = _written(store)
            await asyncio.sleep(600)
            assert _written(store) == written
            assert (await engine.submit(THREAD, e.ResumeRequested())).ok
            assert _written(store) != written
        store.close()

    play(scene)


def _written(store: Any) -> Any:
    """Return what changes with every write."""
    path = getattr(store, "path", None)
    if path is None:
        owner = store.owner.current()
        return owner, len(store.disk.journal[THREAD])
    return [file.read_bytes() for file in sorted(path.parent.glob(path.name + "*"))]


def test_an_engine_with_a_run_says_that_it_lives(stores: Callable[[MemoryGoals], Store]) -> None:
    """Within the time after which another one may take its place."""

    async def scene(goals: MemoryGoals) -> None:
        store: Any = stores(goals)
        turns = worker(steps([30.0, COMPLETE]))
        async with goals.process(turns, store=store, serve=False) as engine:
            await asyncio.sleep(60)
            owner = store.owner.current()
            assert owner is not None
            assert owner.resting
            await engine.submit(THREAD, OBJECTIVE)
            for _ in range(6):
                await asyncio.sleep(4)
                owner = store.owner.current()
                assert owner is not None
                assert not owner.resting
                assert goals.clock.uptime_ms() - owner.uptime_ms < 5_000
            assert THREAD in inside(engine).runs
            await engine.settled(THREAD)
            await asyncio.sleep(5)
            assert store.owner.current().resting
        store.close()

    play(scene)
