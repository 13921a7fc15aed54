"""A goal from objective to its end, on virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from goalfsm.daemon.config import WorkerConfig
from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.session.policy import Policy
from goalfsm.testing import MemoryGoals, uses
from goalfsm.workers import protocol as w
from tests.daemon.scenes import BLOCKED, COMPLETE, OBJECTIVE, PATIENT, THREAD, play, steps, worker


def test_turns_follow_one_another_until_the_claim() -> None:
    """Two turns of work, a third that claims; nothing is left to do."""

    async def scene(goals: MemoryGoals) -> None:
        turns = worker(steps(["one", uses(input=3)], ["two", uses(input=4)], ["three", COMPLETE]))
        async with goals.process(turns) as engine:
            reply = await engine.submit(THREAD, OBJECTIVE)
            assert (reply.ok, reply.code) == (True, "created")
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
            assert session.goal.tokens_used == 7
            assert session.goal.continuations == 3
            assert session.run is None
        assert [run.run_id for run in goals.events(THREAD, e.RunDispatched)] == [
            run.run_id for run in goals.events(THREAD, e.RunFinished)
        ]
        assert goals.open_effects() == []

    play(scene)


def test_a_turn_is_dispatched_and_finished_by_one_event_each() -> None:

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["done", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        assert [type(event).__name__ for event in goals.events(THREAD)] == [
            "ObjectiveGiven",
            "RunDispatched",
            "ToolCalled",
            "RunFinished",
        ]

    play(scene)


def test_blocked_after_three_claims_in_a_row() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["no", BLOCKED]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("blocked", 3)

    play(scene)


def test_continuation_limit_stops_without_a_further_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["a"], ["b"], ["c"])), policy=PATIENT) as engine:
            await engine.submit(
                THREAD, e.ObjectiveGiven(objective="x", limits=Limits(continuations=2))
            )
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.limited_by) == (
                "budgetLimited",
                "continuations",
            )
        assert len(goals.events(THREAD, e.RunDispatched)) == 2

    play(scene)


def test_a_used_up_token_budget_gets_one_turn_to_wind_down() -> None:
    """The crossing turn ends, one wind-down turn follows, then nothing."""

    async def scene(goals: MemoryGoals) -> None:
        seen: list[w.Work] = []

        async def turn(work: w.Work) -> Any:
            seen.append(work)
            yield uses(input=60)

        async with goals.process(worker(turn), policy=PATIENT) as engine:
            await engine.submit(THREAD, e.ObjectiveGiven(objective="x", limits=Limits(tokens=100)))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.tokens_used) == ("budgetLimited", 180)
            assert session.wind_down == "done"
        assert [work.kind for work in seen] == ["continuation", "continuation", "wind_down"]
        assert [run.wind_down for run in goals.events(THREAD, e.RunDispatched)] == [
            False,
            False,
            True,
        ]
        assert goals.open_effects() == []

    play(scene)


def test_a_running_turn_that_can_be_steered_winds_down_itself() -> None:
    """The prompt goes into the running turn; no further turn is dispatched."""

    async def scene(goals: MemoryGoals) -> None:
        heard: list[Any] = []
        turns = worker(steps([uses(input=100), 5, uses(input=1)]), can=("steer",), heard=heard)
        async with goals.process(turns) as engine:
            await engine.submit(THREAD, e.ObjectiveGiven(objective="x", limits=Limits(tokens=100)))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.wind_down) == ("budgetLimited", "done")
            assert session.goal.tokens_used == 101
        assert len(heard) == 1
        assert "wind-down" in heard[0][1]
        assert len(goals.events(THREAD, e.RunDispatched)) == 1
        assert goals.open_effects() == []

    play(scene)


def test_a_callable_that_raises_is_an_error_of_the_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async def turn(_: w.Work) -> str:
            raise ValueError("broken")

        async with goals.process(worker(turn)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
        assert [end.outcome for end in goals.events(THREAD, e.RunFinished)] == ["failed"]

    play(scene)


def test_a_transient_error_is_tried_again_when_its_time_has_come() -> None:
    async def scene(goals: MemoryGoals) -> None:
        fails = w.ErrorReported(message="overloaded", status=529, retry_after=30.0)
        async with goals.process(worker(steps([fails], ["b", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(29)
            assert len(goals.events(THREAD, e.RunDispatched)) == 1
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
            assert 30 <= goals.clock.loop.time() < 60

    play(scene)


def test_a_silent_turn_times_out_and_is_tried_again() -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = goals.store()
        store.workers.put(THREAD, WorkerConfig(argv=("x",), silence_timeout_s=20.0).encode())
        turns = worker(steps([10_000.0], ["b", COMPLETE]))
        async with goals.process(turns, store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert [end.outcome for end in goals.events(THREAD, e.RunFinished)] == [
            "timed_out",
            "finished",
        ]

    play(scene)


def test_a_declared_timer_is_waited_for() -> None:
    async def scene(goals: MemoryGoals) -> None:
        wait = w.WaitDeclared(for_="timer", seconds=600.0, note="the build")
        async with goals.process(worker(steps(["a", wait], ["b", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(599)
            assert len(goals.events(THREAD, e.RunDispatched)) == 1
            await engine.settled(THREAD)
            assert 600 <= goals.clock.loop.time() < 602

    play(scene)


def test_a_declared_process_is_waited_for() -> None:
    async def scene(goals: MemoryGoals) -> None:
        wait = w.WaitDeclared(for_="process", pid=4711, start_time="boot/1")
        async with goals.process(worker(steps(["a", wait], ["b", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(100)
            assert len(goals.events(THREAD, e.RunDispatched)) == 1
            goals.system.end_process(4711)
            await engine.settled(THREAD)
        assert [event.pid for event in goals.events(THREAD, e.ProcessEnded)] == [4711]
        assert goals.open_effects() == []

    play(scene)


def test_waiting_for_a_person_settles_and_goes_on_when_woken() -> None:
    async def scene(goals: MemoryGoals) -> None:
        wait = w.WaitDeclared(for_="person", note="which colour?")
        async with goals.process(worker(steps(["a", wait], ["b", COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "active"
            await engine.submit(THREAD, e.WakeRequested(note="blue"))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_thread_without_a_worker_waits_for_one() -> None:
    """It settles; when somebody stores or gives a worker it goes on."""

    async def scene(goals: MemoryGoals) -> None:
        workers: dict[str, Any] = {}
        async with goals.process(workers) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "active"
            workers[THREAD] = worker(steps(["b", COMPLETE]))
            await asyncio.sleep(3)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_several_model_calls_are_one_turn_of_the_goal() -> None:
    async def scene(goals: MemoryGoals) -> None:
        calls: list[w.TurnEvent] = [
            w.ModelTurnStarted(),
            w.ToolEnded(name="read"),
            w.ModelTurnEnded(stop_reason="toolUse"),
            w.ModelTurnStarted(),
            w.ModelTurnEnded(),
            COMPLETE,
        ]
        async with goals.process(worker(steps(calls))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        finished = goals.events(THREAD, e.RunFinished)
        assert [(end.tools_ok, end.tools_failed) for end in finished] == [(1, 0)]

    play(scene)


def test_usage_under_one_key_is_charged_once() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns = worker(
            steps(
                [uses(input=5, key="k"), uses(input=5, key="k"), uses(input=2, key="l"), COMPLETE]
            )
        )
        async with goals.process(turns) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.ledger.reported.input_tokens == 7
            assert session.goal is not None
            assert session.goal.tokens_used == 7

    play(scene)


def test_the_token_of_a_run_is_never_recorded_in_words() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async def turn(work: w.Work) -> Any:
            yield w.ErrorReported(message=f"bad env {work.run_token}")

        async with goals.process(worker(turn), policy=Policy(retries="host")) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        ended = goals.events(THREAD, e.RunFinished)[0]
        assert ended.message is not None
        assert ended.message.error == "bad env [token]"

    play(scene)
