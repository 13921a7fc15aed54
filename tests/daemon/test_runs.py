"""Workers that are odd: they cannot be ended, die, leave processes, remember, or say too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from goalfsm.daemon.flow.notices import Problem
from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals, uses
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from tests.daemon.scenes import COMPLETE, OBJECTIVE, PATIENT, THREAD, inside, play, steps, worker


class Scripted(w.RunOnly):
    """Says each turn's list, `Exited` included; numbers are seconds to wait."""

    def __init__(self, *turns: Sequence[Any], can: Sequence[Any] = ()) -> None:
        self.turns = list(turns)
        self.can = frozenset(can)
        self.closed: list[str] = []
        self.begun: list[w.Work] = []

    @property
    def capabilities(self) -> frozenset[Any]:
        return self.can

    async def run(self, work: w.Work) -> AsyncIterator[w.TurnEvent]:
        self.begun.append(work)
        said = self.turns.pop(0) if len(self.turns) > 1 else self.turns[0]
        try:
            for what in said:
                if isinstance(what, float | int):
                    await asyncio.sleep(what)
                elif isinstance(what, Exception):
                    raise what
                else:
                    yield what
        finally:
            self.closed.append(work.run_id)


OK = w.Exited(ok=True)
DONE: Sequence[Any] = [w.Text(text="done"), COMPLETE, OK]


def test_a_worker_that_cannot_abort_is_ended_by_not_listening() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns = Scripted([w.Text(text="a"), 500, OK], DONE)
        async with goals.process(turns) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("other", "complete")
        assert len(turns.closed) == 2
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1

    play(scene)


def test_a_run_replaced_before_its_worker_began_never_begins() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns = Scripted(DONE)
        async with goals.process(turns) as engine:
            first = asyncio.ensure_future(engine.submit(THREAD, OBJECTIVE))
            second = engine.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
            await second
            await first
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("other", "complete")
        assert {work.objective for work in turns.begun} <= {"do the work", "other"}
        ends = goals.events(THREAD, e.RunFinished, e.RunInterrupted)
        assert [end.run_id for end in ends] == [
            r.run_id for r in goals.events(THREAD, e.RunDispatched)
        ]

    play(scene)


def test_processes_that_stay_hold_the_thread_until_they_are_gone() -> None:
    async def scene(goals: MemoryGoals) -> None:
        stays = w.Exited(ok=True, left=(77,))
        async with goals.process(Scripted([w.Text(text="a"), stays], DONE)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(100)
            assert len(goals.events(THREAD, e.RunDispatched)) == 1
            assert not engine.session(THREAD).host.idle
            goals.system.end_process(77)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


@pytest.mark.parametrize(
    ("said", "detail"),
    [
        ([w.ErrorReported(message="supervisor died", kind="lost"), w.Exited(ok=False)], "died"),
        ([w.Text(text="a")], ""),
        ([w.Exited(ok=False, aborted=True)], ""),
    ],
)
def test_an_end_that_nobody_saw_is_an_interruption_and_the_goal_goes_on(
    said: Sequence[Any], detail: str
) -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(Scripted(said, DONE)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 2)
        interrupted = goals.events(THREAD, e.RunInterrupted)
        assert len(interrupted) == 1
        assert detail in interrupted[0].detail

    play(scene)


def test_a_worker_that_breaks_its_protocol_fails_the_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(Scripted([RuntimeError("the plugin is missing")])) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        ended = goals.events(THREAD, e.RunFinished)[0]
        assert ended.message is not None
        assert ended.message.error == "RuntimeError: the plugin is missing"

    play(scene)


def test_skipped_output_is_told_and_harmless() -> None:
    async def scene(goals: MemoryGoals) -> None:
        skipped = [
            w.Skipped(reason="not JSON", excerpt="{oops"),
            w.Skipped(reason="too long", count=3),
        ]
        async with goals.process(Scripted([*skipped, *DONE])) as engine:
            follower = inside(engine).subscriptions.follow(THREAD)
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
            inside(engine).subscriptions.leave(follower)
            notices = [notice async for notice in follower]
        seen = [notice.message for notice in notices if isinstance(notice, Problem)]
        assert seen == ["not JSON: {oops", "too long (3 times)"]

    play(scene)


def test_a_worker_s_own_retry_is_shown_and_no_failure() -> None:
    async def scene(goals: MemoryGoals) -> None:
        retries = [
            w.RetryReported(message="529 overloaded", seconds=90.0, attempt=2),
            w.RetryReported(message="again"),
        ]
        async with goals.process(Scripted([*retries, *DONE])) as engine:
            follower = inside(engine).subscriptions.follow(THREAD)
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
            inside(engine).subscriptions.leave(follower)
            notices = [notice async for notice in follower]
        seen = [notice.message for notice in notices if isinstance(notice, Problem)]
        assert seen == [
            "the worker tries again in 1m 30s (try 2): 529 overloaded",
            "the worker tries again: again",
        ]

    play(scene)


def test_an_answer_of_any_length_is_measured_and_not_kept_whole() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(
            Scripted([*[w.Text(text="x" * 200_000)] * 3, w.Text(text="end"), COMPLETE, OK])
        ) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        assert goals.events(THREAD, e.RunFinished)[0].answer_length == 600_003
        assert all(len(row.event) < 10_000 for row in goals.journal(THREAD))

    play(scene)


def test_a_flood_of_events_makes_the_worker_wait_and_loses_nothing() -> None:
    async def scene(goals: MemoryGoals) -> None:
        flood = [uses(input=1) for _ in range(1_000)]
        async with goals.process(Scripted([*flood, *DONE])) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.tokens_used == 1_000
        assert len(goals.events(THREAD, e.UsageReported)) == 1_000

    play(scene)


def test_steering_that_comes_too_late_for_the_turn_goes_into_the_next_prompt() -> None:
    """The worker can be steered and says that it could not take it."""

    async def scene(goals: MemoryGoals) -> None:
        async def no(*_: str) -> bool:
            return False

        prompts: list[str] = []

        async def turn(work: w.Work) -> Any:
            prompts.append(work.prompt)
            yield "working"
            await asyncio.sleep(10)
            if work.turn == 2:
                yield COMPLETE

        async with goals.process(CallableWorker(turn, steer=no)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.SteeringReceived(message_id="m", text="use blue"))
            session = await engine.settled(THREAD)
            assert session.steering == ()
        assert ["use blue" in prompt for prompt in prompts] == [False, True]

    play(scene)


def test_a_wind_down_that_could_not_be_steered_gets_a_turn_of_its_own() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async def no(*_: str) -> bool:
            return False

        async def turn(_: w.Work) -> Any:
            yield uses(input=100)
            await asyncio.sleep(10)
            yield "end"

        async with goals.process(CallableWorker(turn, steer=no), policy=PATIENT) as engine:
            limited = e.ObjectiveGiven(objective="x", limits=Limits(tokens=100))
            await engine.submit(THREAD, limited)
            session = await engine.settled(THREAD)
            assert session.wind_down == "done"
        assert [run.wind_down for run in goals.events(THREAD, e.RunDispatched)] == [False, True]

    play(scene)


@pytest.mark.parametrize("states", [["unknown"], ["gone"], ["running", "running", "gone"], []])
def test_a_probe_that_cannot_tell_is_an_interruption(states: list[Any]) -> None:
    """What goes on somewhere is ended first; a probe that raises cannot tell either."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([500.0]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)
        left = list(states)

        async def probe(_: str) -> w.Probe:
            if not left:
                raise OSError("no answer")
            return w.Probe(state=left.pop(0))

        remembering = CallableWorker(steps(["b", COMPLETE]), probe=probe)
        async with goals.process(remembering) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert left == []
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1

    play(scene)


def test_a_remembered_run_brings_its_failure() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([500.0]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)

        async def probe(_: str) -> w.Probe:
            reported = (
                w.Spawned(pid=1, pgid=1, start_time="x"),
                w.ModelTurnStarted(),
                w.ToolEnded(name="t", ok=False),
                w.ModelTurnEnded(stop_reason="stop"),
                w.ErrorReported(message="Permission denied", status=401),
                w.Exited(ok=False),
            )
            return w.Probe(state="finished", events=reported)

        remembering = CallableWorker(steps(["b", COMPLETE]), probe=probe)
        async with goals.process(remembering) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
        finished = goals.events(THREAD, e.RunFinished)
        assert [(end.outcome, end.tools_failed) for end in finished] == [("failed", 1)]

    play(scene)
