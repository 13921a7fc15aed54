"""Wall clocks that are set: durations stay, times of day are looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from goalfsm.daemon.host.platform import Clock
from goalfsm.daemon.stages.effects import Wakeups
from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.session.thread import DerivedIds, context_of
from goalfsm.testing import MemoryGoals
from goalfsm.testing.loop import START_MS
from tests.daemon.scenes import THREAD, play, steps, worker

HOUR_MS = 3_600_000


def fires(fire: Callable[[str], None]) -> Any:
    """Return an inbox that calls ``fire`` with the thread of each wake-up."""

    class Woken:
        def send(self, thread_id: str, event: e.Event) -> None:
            assert event == e.TimerFired()
            fire(thread_id)

    return Woken()


def test_a_time_budget_ends_a_goal_while_its_turn_runs() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns = worker(steps([500.0, "a"], [1.0, "b"]))
        async with goals.process(turns) as engine:
            limits = Limits(seconds=100)
            await engine.submit(THREAD, e.ObjectiveGiven(objective="x", limits=limits))
            await asyncio.sleep(105)
            goal = engine.session(THREAD).goal
            assert goal is not None
            assert (goal.status, goal.limited_by) == ("budgetLimited", "time")
            session = await engine.settled(THREAD)
            assert session.wind_down == "done"
        assert len(goals.events(THREAD, e.RunDispatched)) == 2

    play(scene)


def test_the_clock_follows_a_little_drift_without_a_step() -> None:
    async def scene(goals: MemoryGoals) -> None:
        clock = Clock(goals.clock)
        before = clock.now_ms()
        goals.clock.jump(0.9)
        assert clock.step_ms() == 0
        assert clock.now_ms() == before + 900
        goals.clock.jump(-0.8)
        assert clock.step_ms() == 0
        assert clock.now_ms() == before + 900
        await asyncio.sleep(2)
        assert clock.now_ms() == before + 2_100

    play(scene)


def test_the_clock_goes_back_only_by_adopting_a_step() -> None:
    async def scene(goals: MemoryGoals) -> None:
        clock = Clock(goals.clock)
        before = clock.now_ms()
        goals.clock.jump(-HOUR_MS / 1000)
        assert clock.step_ms() == -HOUR_MS
        assert clock.now_ms() == before
        clock.adopt(-HOUR_MS)
        assert clock.now_ms() == before - HOUR_MS
        assert clock.step_ms() == 0

    play(scene)


def test_timers_fire_once_for_each_time_and_in_order() -> None:
    async def scene(goals: MemoryGoals) -> None:
        fired: list[tuple[str, int]] = []
        clock = Clock(goals.clock)
        timers = Wakeups(
            clock, fires(lambda thread: fired.append((thread, clock.now_ms() - START_MS)))
        )
        for thread, at in (("c", 300), ("a", 100), ("b", 200), ("x", 150)):
            timers.set(thread, START_MS + at)
        timers.set("x", None)
        timers.set("a", START_MS + 250)
        assert sorted(timers.threads()) == ["a", "b", "c"]
        await asyncio.sleep(1)
        assert [thread for thread, _ in fired] == ["b", "a", "c"]
        assert all(
            due <= at <= due + 2 for (_, at), due in zip(fired, (200, 250, 300), strict=True)
        )

    play(scene)


def test_a_time_in_the_past_that_is_asked_for_again_does_not_spin() -> None:
    async def scene(goals: MemoryGoals) -> None:
        fired: list[float] = []
        clock = Clock(goals.clock)

        def fire(thread: str) -> None:
            fired.append(goals.clock.loop.time())
            timers.set(thread, START_MS - 1)

        timers = Wakeups(clock, fires(fire))
        timers.set("a", START_MS - 1)
        await asyncio.sleep(5)
        timers.close()
        assert 4 <= len(fired) <= 6

    play(scene)


def test_timers_far_away_are_looked_at_again_after_a_jump() -> None:
    async def scene(goals: MemoryGoals) -> None:
        fired: list[float] = []
        clock = Clock(goals.clock)
        timers = Wakeups(clock, fires(lambda _: fired.append(goals.clock.loop.time())))
        timers.set("a", START_MS + 10 * HOUR_MS)
        await asyncio.sleep(1)
        clock.adopt(10 * HOUR_MS)
        timers.again()
        await asyncio.sleep(1)
        assert len(fired) == 1

    play(scene)


def test_what_a_decision_gets_follows_from_its_journal_row() -> None:
    one = context_of("t", "event", 5)
    same = context_of("t", "event", 5)
    other = context_of("t", "event2", 5)
    assert 0 <= one.jitter < 1
    assert one.jitter == same.jitter
    assert one.jitter != other.jitter
    ids = [one.ids("goal"), one.ids("goal"), one.ids("claim")]
    assert ids == [same.ids("goal"), same.ids("goal"), same.ids("claim")]
    assert len({*ids, other.ids("goal"), DerivedIds(b"x")("goal")}) == 5
