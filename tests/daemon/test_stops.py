"""A person's stop holds for as long as it is meant to, and no longer."""

from __future__ import annotations

import asyncio

from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals, uses
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker


def test_another_pause_does_not_lift_a_halt() -> None:
    """A refused pause after the halt leaves it in force."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["a", COMPLETE]))) as engine:
            assert not (await engine.halt(THREAD)).ok
            assert not (await engine.submit(THREAD, e.PauseRequested())).ok
            assert inside(engine).holds.stops(THREAD)

    play(scene)


def test_raising_the_budget_of_a_halted_goal_lets_it_go_on() -> None:
    """A goal that a person reopens is not kept from running by a halt before that."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(
            worker(steps([uses(input=10)], ["wound down"], [COMPLETE]))
        ) as engine:
            limited = e.ObjectiveGiven(objective="do it", limits=Limits(tokens=5))
            await engine.submit(THREAD, limited)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "budgetLimited"
            assert not (await engine.halt(THREAD)).ok
            more = e.BudgetChanged(limits=Limits(tokens=500))
            assert (await engine.submit(THREAD, more)).code == "reopened"
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_who_asks_for_a_pause_and_goes_away_suspends_nothing_for_ever() -> None:
    """The pause is decided, and a later resume starts turns again."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([3.0, "a"], [COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            asked = asyncio.ensure_future(engine.submit(THREAD, e.PauseRequested()))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.sleep(10)
            assert len(goals.events(THREAD, e.PauseRequested)) == 1
            assert not inside(engine).holds.stops(THREAD)
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)
