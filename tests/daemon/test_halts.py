"""A thread that is halted goes on by a person's new word, and by nothing that was said before."""

from __future__ import annotations

import asyncio

import pytest

from goalfsm.daemon.flow.threads import HALTED
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals
from tests.daemon.faults import faulty, is_a
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, leave_row, play, steps, worker


def test_a_command_that_is_sent_again_lifts_no_halt_that_came_after_it() -> None:
    """It is answered from the journal, which changes nothing."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["a", 1.0], ["b", 1.0], [COMPLETE]))) as engine:
            first = await engine.submit(THREAD, OBJECTIVE, "first")
            inside(engine).holds.add(HALTED, THREAD)
            await asyncio.sleep(10)
            turns = len(goals.events(THREAD, e.RunDispatched))
            again = await engine.submit(THREAD, OBJECTIVE, "first")
            assert again == first
            await asyncio.sleep(10)
            assert inside(engine).holds.has(HALTED, THREAD)
            assert len(goals.events(THREAD, e.RunDispatched)) == turns
            resume = e.ResumeRequested()
            await engine.submit(THREAD, e.PauseRequested())
            assert (await engine.submit(THREAD, resume, "second")).ok
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_resume_lifts_a_halt_of_a_goal_that_is_active() -> None:
    """A pause came before its goal, and what gave the goal was no person: it is as it is told."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([COMPLETE]))) as engine:
            assert not (await engine.halt(THREAD)).ok
            leave_row(goals, "asked", OBJECTIVE)
            await asyncio.sleep(30)
            assert inside(engine).holds.has(HALTED, THREAD)
            assert not goals.events(THREAD, e.RunDispatched)
            await engine.submit(THREAD, e.ResumeRequested(origin="model"))
            assert inside(engine).holds.has(HALTED, THREAD)
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_an_inbox_row_whose_fault_could_not_be_recorded_is_consumed_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its sender gets an answer from this engine, and need not wait for another."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            leave_row(goals, "asked", e.EditRequested(objective="another"))
            met = 0

            def once(_session: object, event: e.Event) -> bool:
                nonlocal met
                failing = isinstance(event, e.EditRequested | e.DecisionFailed) and met < 2
                met += failing
                return failing

            with faulty(monkeypatch, once):
                await asyncio.sleep(30)
            assert met == 2
            answer = goals.store().inbox.answer("asked")
            assert answer is not None
            assert answer.reply is not None
            assert goals.store().inbox.pending() == ()

    play(scene)


def test_a_run_whose_end_met_faults_at_a_start_is_closed_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The takeover met one, and the end that was to take its place another."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([500.0, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)
        met = 0

        def twice(_session: object, event: e.Event) -> bool:
            nonlocal met
            failing = is_a(e.EngineStarted, e.RunInterrupted)(_session, event) and met < 2
            met += failing
            return failing

        with faulty(monkeypatch, twice):
            async with goals.process(worker(steps([COMPLETE]))) as second:
                await asyncio.sleep(60)
                session = second.session(THREAD)
                assert met == 2
                assert session.run is None
                assert session.host.idle
                assert session.goal is not None
                assert session.goal.status == "paused"

    play(scene)
