"""Threads that nothing goes on in are let go of, and read again when they come back."""

from __future__ import annotations

import asyncio
import gc
import weakref

from goalfsm.daemon.flow.threads import KEEP_QUIET
from goalfsm.session.events import ClearRequested
from goalfsm.testing import MemoryGoals
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker

OTHERS = [f"other {number}" for number in range(KEEP_QUIET + 1)]


def test_a_thread_that_was_let_go_works_on_when_it_is_told_something() -> None:
    """What it commits is done, and it stays for as long as it has something to do."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([COMPLETE]))) as engine:
            threads = inside(engine).threads
            for thread in (THREAD, *OTHERS):
                await engine.submit(thread, ClearRequested())
                await asyncio.sleep(0)
            assert THREAD not in threads.ids()
            await threads.send(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_thread_that_has_nothing_to_do_leaves_memory() -> None:
    """It is loaded again from what is stored."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            goal = (await engine.settled(THREAD)).goal
            # Until its last effect is marked there is something left to do.
            await asyncio.sleep(1)
            held = weakref.ref(inside(engine).threads._all[THREAD])
            for thread in (THREAD, *OTHERS):
                await engine.submit(thread, ClearRequested(expected_goal_id="none"))
                await asyncio.sleep(0)
            gc.collect()
            assert held() is None
            assert engine.session(THREAD).goal == goal

    play(scene)
