"""An engine that loses the store while it starts says so, and waits for nobody."""

from __future__ import annotations

import asyncio

import pytest

from goalfsm.errors import Fenced, GoalError
from goalfsm.store.port import Identity
from goalfsm.workers.orphans import Orphans
from tests.daemon.stage import OBJECTIVE, THREAD, Stage, StageSystem, play, steps, worker


class Slow(StageSystem):
    """Another process takes the store over while this one looks for orphans."""

    async def end_orphans(self, *_asked: object, **_more: object) -> Orphans:
        self.stage.dead.add(self.pid)
        successor = Identity(pid=99, start_time=1, boot_id="boot")
        self.stage.store().owner.claim(successor, socket="", uptime_ms=self.clock.uptime_ms())
        await asyncio.sleep(10)  # A heartbeat notices.
        return Orphans()


def test_an_engine_that_is_fenced_while_it_starts_does_not_hang() -> None:
    """It ends with the error that a commit met, and everything is let go."""

    async def scene(stage: Stage) -> None:
        engine = stage.engine(worker(steps([1000.0])))
        async with engine:
            await engine.submit(THREAD, OBJECTIVE)
            await stage.crash(engine)
        late = stage.engine(worker(steps([1000.0])))
        late.system = Slow(stage, stage.pids)
        with pytest.raises(Fenced):
            async with late:
                pytest.fail("it does not own the store")
        with pytest.raises(GoalError):
            await late.submit(THREAD, OBJECTIVE)

    play(scene, within=120)
