"""Workers that are odd: they cannot be ended, die, leave processes, remember, or say too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from goalfsm.daemon.flow.notices import Problem
from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from tests.daemon.stage import (
    COMPLETE,
    OBJECTIVE,
    PATIENT,
    THREAD,
    Stage,
    inside,
    play,
    steps,
    usage,
    worker,
)


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
    async def scene(stage: Stage) -> None:
        turns = Scripted([w.Text(text="a"), 500, OK], DONE)
        async with stage.engine(turns) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("other", "complete")
        assert len(turns.closed) == 2
        assert len(stage.events(e.RunInterrupted)) == 1

    play(scene)


def test_a_run_replaced_before_its_worker_began_never_begins() -> None:
    async def scene(stage: Stage) -> None:
        turns = Scripted(DONE)
        async with stage.engine(turns) as engine:
            first = asyncio.ensure_future(engine.submit(THREAD, OBJECTIVE))
            second = engine.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
            await second
            await first
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("other", "complete")
        assert {work.objective for work in turns.begun} <= {"do the work", "other"}
        ends = stage.events(e.RunFinished, e.RunInterrupted)
        assert [end.run_id for end in ends] == [r.run_id for r in stage.events(e.RunDispatched)]

    play(scene)


def test_processes_that_stay_hold_the_thread_until_they_are_gone() -> None:
    async def scene(stage: Stage) -> None:
        stays = w.Exited(ok=True, left=(77,))
        async with stage.engine(Scripted([w.Text(text="a"), stays], DONE)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(100)
            assert len(stage.events(e.RunDispatched)) == 1
            assert not engine.session(THREAD).host.idle
            stage.process(77).set_result(None)
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
    async def scene(stage: Stage) -> None:
        async with stage.engine(Scripted(said, DONE)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 2)
        interrupted = stage.events(e.RunInterrupted)
        assert len(interrupted) == 1
        assert detail in interrupted[0].detail

    play(scene)


def test_a_worker_that_breaks_its_protocol_fails_the_turn() -> None:
    async def scene(stage: Stage) -> None:
        async with stage.engine(Scripted([RuntimeError("the plugin is missing")])) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        ended = stage.events(e.RunFinished)[0]
        assert ended.message is not None
        assert ended.message.error == "RuntimeError: the plugin is missing"

    play(scene)


def test_skipped_output_is_told_and_harmless() -> None:
    async def scene(stage: Stage) -> None:
        skipped = [
            w.Skipped(reason="not JSON", excerpt="{oops"),
            w.Skipped(reason="too long", count=3),
        ]
        async with stage.engine(Scripted([*skipped, *DONE])) as engine:
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
    async def scene(stage: Stage) -> None:
        retries = [
            w.RetryReported(message="529 overloaded", seconds=90.0, attempt=2),
            w.RetryReported(message="again"),
        ]
        async with stage.engine(Scripted([*retries, *DONE])) as engine:
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
    async def scene(stage: Stage) -> None:
        async with stage.engine(
            Scripted([*[w.Text(text="x" * 200_000)] * 3, w.Text(text="end"), COMPLETE, OK])
        ) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        assert stage.events(e.RunFinished)[0].answer_length == 600_003
        assert all(len(row.event) < 10_000 for row in stage.journal())

    play(scene)


def test_a_flood_of_events_makes_the_worker_wait_and_loses_nothing() -> None:
    async def scene(stage: Stage) -> None:
        flood = [usage(1) for _ in range(1_000)]
        async with stage.engine(Scripted([*flood, *DONE])) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.tokens_used == 1_000
        assert len(stage.events(e.UsageReported)) == 1_000

    play(scene)


def test_steering_that_comes_too_late_for_the_turn_goes_into_the_next_prompt() -> None:
    """The worker can be steered and says that it could not take it."""

    async def scene(stage: Stage) -> None:
        async def no(*_: str) -> bool:
            return False

        prompts: list[str] = []

        async def turn(work: w.Work) -> Any:
            prompts.append(work.prompt)
            yield "working"
            await asyncio.sleep(10)
            if work.turn == 2:
                yield COMPLETE

        async with stage.engine(CallableWorker(turn, steer=no)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await engine.submit(THREAD, e.SteeringReceived(message_id="m", text="use blue"))
            session = await engine.settled(THREAD)
            assert session.steering == ()
        assert ["use blue" in prompt for prompt in prompts] == [False, True]

    play(scene)


def test_a_wind_down_that_could_not_be_steered_gets_a_turn_of_its_own() -> None:
    async def scene(stage: Stage) -> None:
        async def no(*_: str) -> bool:
            return False

        async def turn(_: w.Work) -> Any:
            yield usage(100)
            await asyncio.sleep(10)
            yield "end"

        async with stage.engine(CallableWorker(turn, steer=no), policy=PATIENT) as engine:
            limited = e.ObjectiveGiven(objective="x", limits=Limits(tokens=100))
            await engine.submit(THREAD, limited)
            session = await engine.settled(THREAD)
            assert session.wind_down == "done"
        assert [run.wind_down for run in stage.events(e.RunDispatched)] == [False, True]

    play(scene)


@pytest.mark.parametrize("states", [["unknown"], ["gone"], ["running", "running", "gone"], []])
def test_a_probe_that_cannot_tell_is_an_interruption(states: list[Any]) -> None:
    """What goes on somewhere is ended first; a probe that raises cannot tell either."""

    async def scene(stage: Stage) -> None:
        first = await stage.engine(worker(steps([500.0]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await stage.crash(first)
        left = list(states)

        async def probe(_: str) -> w.Probe:
            if not left:
                raise OSError("no answer")
            return w.Probe(state=left.pop(0))

        remembering = CallableWorker(steps(["b", COMPLETE]), probe=probe)
        async with stage.engine(remembering) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert left == []
        assert len(stage.events(e.RunInterrupted)) == 1

    play(scene)


def test_a_remembered_run_brings_its_failure() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine(worker(steps([500.0]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await stage.crash(first)

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
        async with stage.engine(remembering) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
        finished = stage.events(e.RunFinished)
        assert [(end.outcome, end.tools_failed) for end in finished] == [("failed", 1)]

    play(scene)
