"""Threads that nothing goes on in are let go of, and are one and the same when they come back."""

from __future__ import annotations

import asyncio
import gc
import weakref

from goalfsm.daemon.flow.threads import KEEP_QUIET
from goalfsm.session.events import ClearRequested
from tests.daemon.stage import COMPLETE, OBJECTIVE, THREAD, Stage, play, steps, worker

OTHERS = [f"other {number}" for number in range(KEEP_QUIET + 1)]


def test_whoever_holds_a_thread_that_was_let_go_holds_the_one_that_comes_back() -> None:
    """Two of one thread would decide on two states, of which only one is stored."""

    async def scene(stage: Stage) -> None:
        async with stage.engine(worker(steps([COMPLETE]))) as engine:
            held = engine.actor(THREAD)
            for thread in (THREAD, *OTHERS):
                await engine.submit(thread, ClearRequested(), inbox=True)
            assert engine.known(THREAD) is None
            assert engine.actor(THREAD) is held

    play(scene)


def test_a_thread_that_was_let_go_works_on_for_its_holder() -> None:
    """What it commits is done, and it stays for as long as it has something to do."""

    async def scene(stage: Stage) -> None:
        async with stage.engine(worker(steps([COMPLETE]))) as engine:
            held = engine.actor(THREAD)
            for thread in (THREAD, *OTHERS):
                await engine.submit(thread, ClearRequested(), inbox=True)
            assert engine.known(THREAD) is None
            await held.tell(OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_thread_that_nobody_holds_leaves_memory() -> None:
    """It is loaded again from what is stored."""

    async def scene(stage: Stage) -> None:
        async with stage.engine(worker(steps([COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            goal = (await engine.settled(THREAD)).goal
            # Until its last effect is marked there is something left to do.
            await asyncio.sleep(1)
            held = weakref.ref(engine.actor(THREAD))
            for thread in (THREAD, *OTHERS):
                await engine.submit(thread, ClearRequested(expected_goal_id="none"), inbox=True)
            gc.collect()
            assert held() is None
            assert engine.actor(THREAD).session.goal == goal

    play(scene)
