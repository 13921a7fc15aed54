"""An engine that loses the store while it starts says so, and waits for nobody."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.daemon.stages import run_control as doing
from goalfsm.errors import Busy, Fenced, GoalError
from goalfsm.session import events as e
from goalfsm.store.port import Identity
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from goalfsm.workers.supervisor.orphans import Orphans
from tests.daemon.scenes import (
    COMPLETE,
    OBJECTIVE,
    THREAD,
    cannot_end,
    inside,
    play,
    steps,
    worker,
)


def test_an_engine_that_is_fenced_while_it_starts_does_not_hang() -> None:
    """It ends with the error that a commit met, and everything is let go."""

    async def scene(goals: MemoryGoals) -> None:
        engine = goals.process(worker(steps([1000.0])))
        async with engine:
            await engine.submit(THREAD, OBJECTIVE)
            await goals.kill(engine)
        late = goals.process(worker(steps([1000.0])))
        platform: Any = late._platform

        async def overtaken(*_asked: Any) -> Orphans:
            """Have another process take the store over while this one looks for orphans."""
            platform.die()
            successor = Identity(pid=99, start_time=1, boot_id="simulated")
            uptime_ms = goals.clock.uptime_ms()
            goals.store().owner.acquire(successor, socket="", uptime_ms=uptime_ms)
            await asyncio.sleep(10)  # A heartbeat notices.
            return Orphans()

        platform.end_orphans = overtaken
        with pytest.raises(Fenced):
            async with late:
                pytest.fail("it does not own the store")
        with pytest.raises(GoalError):
            await late.submit(THREAD, OBJECTIVE)

    play(scene, within="120s")


def test_an_engine_that_stood_still_asks_before_it_starts_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its dispatch was committed; by the time that it goes on, another engine has the store."""

    async def scene(goals: MemoryGoals) -> None:
        started: list[str] = []
        render = doing.render_turn

        def stand_still(*asked: Any) -> str:
            """Let twenty seconds pass in the middle of a step, and a successor come."""
            later = goals.clock.uptime_ms() + 20_000
            monkeypatch.setattr(goals.clock, "uptime_ms", lambda: later)
            successor = Identity(pid=99, start_time=1, boot_id="simulated")
            goals.store().owner.acquire(successor, socket="", uptime_ms=later)
            return render(*asked)

        async def turn(work: w.Work) -> Any:
            started.append(work.run_id)
            yield "a"

        monkeypatch.setattr(doing, "render_turn", stand_still)
        engine = await goals.process(worker(turn)).__aenter__()
        with pytest.raises(Fenced):
            await asyncio.gather(engine.submit(THREAD, OBJECTIVE), engine.wait())
        assert started == []
        assert len(goals.events(THREAD, e.RunDispatched)) == 1

    play(scene, within="120s")


def test_an_engine_that_cannot_ask_starts_nothing_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The turn is recorded as cut off, and tried again when the store answers."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([COMPLETE]))) as engine:
            beat, failures = inside(engine).store.owner.heartbeat, [Busy("locked")]

            def busy(**said: int) -> None:
                if failures:
                    raise failures.pop()
                beat(**said)

            monkeypatch.setattr(inside(engine).store.owner, "heartbeat", busy)
            inside(engine).heartbeat._beaten_ms = None
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        # Nothing is dispatched while the store cannot say, so nothing spins.
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1
        assert len(goals.events(THREAD, e.RunDispatched)) == 2

    play(scene, within="600s")


def test_an_engine_that_stood_still_ends_no_supervisor_of_its_successor() -> None:
    """It asks before it looks for what earlier engines left."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await goals.kill(first)
        late = goals.process({})
        looked_for = cannot_end(late)
        take = late._store.owner.acquire

        def claim_and_stand_still(identity: Identity, **asked: Any) -> Any:
            claimed = take(identity, **asked)
            later = goals.clock.uptime_ms() + 20_000
            goals.clock.uptime_ms = lambda: later  # type: ignore[method-assign]
            late._store.owner.acquire = take  # type: ignore[method-assign]
            successor = Identity(pid=99, start_time=1, boot_id="simulated")
            goals.store().owner.acquire(successor, socket="", uptime_ms=later)
            return claimed

        late._store.owner.acquire = claim_and_stand_still  # type: ignore[method-assign]
        with pytest.raises(Fenced):
            async with late:
                pytest.fail("it does not own the store")
        assert looked_for == []

    play(scene, within="120s")
