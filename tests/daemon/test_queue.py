"""An engine goes on to the queued goals of a thread, where its policy says so."""

from __future__ import annotations

import asyncio

from goalfsm.daemon.flow.ports import Task
from goalfsm.session import Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.testing import MemoryGoals
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, play, steps, worker

GOES_ON = Policy(advance=True)


class Slow:
    """A performer that its engine does not outlive."""

    def __init__(self, asked: asyncio.Event) -> None:
        self._asked = asked

    async def perform(self, _task: Task, _session: Session) -> None:
        """Say that it was asked, and never come to an end."""
        self._asked.set()
        await asyncio.Event().wait()


def test_it_goes_on_goal_by_goal_and_settles_at_the_end() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns = worker(steps(["one", COMPLETE], ["two"], ["three", COMPLETE], ["four", COMPLETE]))
        async with goals.process(turns, policy=GOES_ON) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.GoalQueued(objective="second"))
            await engine.submit(THREAD, e.GoalQueued(objective="third"))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("third", "complete")
            assert session.queue == ()
        assert goals.open_effects() == []
        asked = goals.events(THREAD, e.NextGoalRequested)
        assert [one.origin for one in asked] == ["system", "system"]

    play(scene)


def test_without_the_policy_it_settles_with_the_first() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["one", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.GoalQueued(objective="second"))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.objective != "second"
            assert [one.objective for one in session.queue] == ["second"]

    play(scene)


def test_what_an_engine_left_undone_leads_on_in_the_next() -> None:
    """The request for the next goal is in the outbox: it outlives the engine that owed it."""

    async def scene(goals: MemoryGoals) -> None:
        asked = asyncio.Event()
        async with goals.process(
            worker(steps(["one", COMPLETE])),
            policy=GOES_ON,
            performers={f.TakeNextGoal: Slow(asked)},
        ) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.GoalQueued(objective="second"))
            await asked.wait()
        async with goals.process(worker(steps(["two", COMPLETE])), policy=GOES_ON) as engine:
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("second", "complete")

    play(scene)
