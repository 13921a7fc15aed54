"""What people ask while a goal is worked on, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, play, steps, worker


def test_pause_mid_turn_lets_the_turn_end_and_starts_none() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([10, "done"]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            reply = await engine.submit(THREAD, e.PauseRequested())
            assert reply.ok
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "paused"
            await asyncio.sleep(100)
        assert len(goals.events(THREAD, e.RunDispatched)) == 1
        assert [end.outcome for end in goals.events(THREAD, e.RunFinished)] == ["finished"]

    play(scene)


def test_resume_after_a_pause_goes_on_with_one_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([10, "a"], ["b", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.PauseRequested())
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 2)

    play(scene)


def test_pause_and_resume_while_waiting_for_a_place_send_one_continuation() -> None:
    """The place is taken by another thread; the queued work must not be doubled."""

    async def scene(goals: MemoryGoals) -> None:
        slow = worker(steps([50, "slow", COMPLETE]))
        quick = worker(steps(["a"], ["b", COMPLETE]))
        async with goals.process({"slow": slow, THREAD: quick}, max_runs=1) as engine:
            await engine.submit("slow", OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.PauseRequested())
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 2)
        assert goals.open_effects() == []

    play(scene)


def test_paused_while_waiting_for_a_place_starts_nothing() -> None:
    async def scene(goals: MemoryGoals) -> None:
        slow = worker(steps([50, "slow", COMPLETE]))
        async with goals.process({"slow": slow, THREAD: slow}, max_runs=1) as engine:
            await engine.submit("slow", OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, OBJECTIVE)
            await engine.submit(THREAD, e.PauseRequested())
            await engine.settled("slow")
            await asyncio.sleep(10)
            assert goals.events(THREAD, e.RunDispatched) == []
            session = await engine.settled(THREAD)
            assert session.host.idle
        assert goals.open_effects() == []

    play(scene)


def test_replace_ends_the_running_turn_and_starts_the_new_goal() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([1000, "never"], ["new", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.ObjectiveGiven(objective="another", replace=True))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("another", "complete")
            assert goals.clock.loop.time() < 100
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1

    play(scene)


def test_clear_ends_the_running_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([1000, "never"]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.ClearRequested())
            session = await engine.settled(THREAD)
            assert (session.goal, session.run) == (None, None)

    play(scene)


@pytest.mark.parametrize("can", [(), ("steer",)])
def test_steering_reaches_the_work_once(can: tuple[str, ...]) -> None:
    """Into the running turn where the worker can take it, else into the next prompt."""

    async def scene(goals: MemoryGoals) -> None:
        heard: list[Any] = []
        prompts: list[str] = []

        async def turn(work: w.Work) -> Any:
            prompts.append(work.prompt)
            await asyncio.sleep(10)
            if heard and work.turn == 1:
                yield w.SteeringAcknowledged(id="m1")
            if work.turn == 2:
                yield COMPLETE

        async with goals.process(worker(turn, can=can, heard=heard)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.SteeringReceived(message_id="m1", text="use blue"))
            session = await engine.settled(THREAD)
            assert session.steering == ()
        told = [what for what in heard if what[1] == "m1"]
        assert len(told) == len(can)
        assert ["use blue" in prompt for prompt in prompts] == [False, not can]

    play(scene)
