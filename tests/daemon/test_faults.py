"""An exception that nobody expects: its thread stops and says so, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from goalfsm.daemon.flow import decide as faults
from goalfsm.daemon.flow.notices import Problem
from goalfsm.daemon.flow.replay import replay
from goalfsm.daemon.guards.failures import RETRIES
from goalfsm.daemon.stages import run_control as doing
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.store.port import Store
from goalfsm.testing import MemoryGoals, uses
from goalfsm.views.explain import explain
from tests.daemon.faults import LOOK, OTHER, Fault, faulty, is_a, journal
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, leave, play, steps, worker

INTERNAL = {
    "the end of a run": is_a(e.RunFinished),
    "usage": is_a(e.UsageReported),
    "a tool call": is_a(e.ToolCalled),
    "a dispatch": is_a(e.RunDispatched),
}


def test_a_fault_that_has_no_words_is_told_by_its_class() -> None:
    """An exception of an embedder's may fail to say what it is; that is no second fault."""

    class Wordless(Exception):
        def __str__(self) -> str:
            raise ValueError("never again")

    assert faults.failure_of(None, Wordless()).error == "Wordless"
    assert faults.failure_of(None, Fault("no rule")).error == "Fault: no rule"


@pytest.mark.parametrize("what", INTERNAL)
def test_a_fault_stops_its_thread_and_no_other(
    what: str, stores: Callable[[MemoryGoals], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The goal is paused, with what happened; the turn is over; a person takes it up again."""

    async def scene(goals: MemoryGoals) -> None:
        store = stores(goals)
        turns = {
            THREAD: worker(steps([uses(input=3, key="k"), 1.0, "a", LOOK], [COMPLETE])),
            OTHER: worker(steps([2.0, "b"], [COMPLETE])),
        }
        async with goals.process(turns, store=store, serve=False) as engine:
            with faulty(monkeypatch, INTERNAL[what]) as met, capture_logs() as logs:
                await engine.submit(THREAD, OBJECTIVE)
                await engine.submit(OTHER, e.ObjectiveGiven(objective="something else"))
                other = await engine.settled(OTHER)
                await asyncio.sleep(300)
            assert other.goal is not None
            assert other.goal.status == "complete"
            assert met
            kind = type(met[0]).__name__
            why = f"{kind} could not be decided: Fault: no such rule"
            session = engine.session(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
            assert (session.run, session.host.idle) == (None, True)
            status = engine.status(THREAD)
            assert status.status_line is not None
            assert (status.status_line.label, status.status_line.reason) == ("needs_attention", why)
            assert any(why in word for word in explain(session).words)
            (first, *_) = journal(store, e.DecisionFailed)
            assert (first.kind, first.error) == (kind, "Fault: no such rule")
            assert "run_token" not in first.event
            told = [line for line in logs if line["event"] == "event failed"]
            assert told[0]["thread_id"] == THREAD
            assert isinstance(told[0]["exc_info"], Fault)
            # Bounded: only the end of an open run is tried again by itself, a few times.
            assert len(met) <= 3 + RETRIES
            assert replay(store, THREAD).ok
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        store.close()

    play(scene)


def test_a_fault_that_cannot_be_recorded_keeps_the_thread_from_being_dispatched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried again a few times; the next engine may do better."""

    async def scene(goals: MemoryGoals) -> None:
        every = is_a(e.RunFinished, e.DecisionFailed, e.RunInterrupted)
        engine = await goals.process(worker(steps(["a", COMPLETE]))).__aenter__()
        with faulty(monkeypatch, every) as met:
            told = []
            await engine.submit(THREAD, OBJECTIVE)
            async with asyncio.timeout(3_600):
                async for notice in engine.follow(THREAD):
                    told.append(notice)
                    if isinstance(notice, Problem) and "RunInterrupted" in notice.message:
                        break
            await asyncio.sleep(300)
            assert inside(engine).holds.has("halted", THREAD)
            assert len(met) <= 6 + 2 * RETRIES
            dispatched = len(goals.events(THREAD, e.RunDispatched))
            assert dispatched == 1
        await goals.kill(engine)
        async with goals.process(worker(steps([COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1

    play(scene)


def test_two_faults_in_a_row_leave_no_run_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the turn meets one, and what is recorded in its place another."""

    async def scene(goals: MemoryGoals) -> None:
        kinds: list[type] = [e.RunFinished, e.RunInterrupted]

        def when(_session: Any, event: e.Event) -> bool:
            return bool(kinds) and isinstance(event, kinds[0]) and bool(kinds.pop(0))

        async with goals.process(worker(steps(["a"], [COMPLETE]))) as engine:
            with faulty(monkeypatch, when) as met:
                await engine.submit(THREAD, OBJECTIVE)
                await asyncio.sleep(10)
            assert [type(event) for event in met] == [e.RunFinished, e.RunInterrupted]
            session = engine.session(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.run, session.host.idle) == ("paused", None, True)
            assert len(goals.events(THREAD, e.DecisionFailed)) == 2

    play(scene, within="600s")


def test_one_thread_that_meets_a_fault_at_a_start_does_not_keep_the_others(
    stores: Callable[[MemoryGoals], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops with its run closed; all others are taken over."""

    async def scene(goals: MemoryGoals) -> None:
        first_store = stores(goals)
        first = await goals.process(
            worker(steps([500.0])), store=first_store, serve=False
        ).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.submit(OTHER, e.ObjectiveGiven(objective="something else"))
        await asyncio.sleep(1)
        await goals.kill(first)
        first_store.close()
        store = stores(goals)
        with faulty(monkeypatch, is_a(e.EngineStarted)) as met:
            async with goals.process(worker(steps([COMPLETE])), store=store, serve=False) as second:
                other = await second.settled(OTHER)
                session = await second.settled(THREAD)
                assert other.goal is not None
                assert other.goal.status == "complete"
                assert session.goal is not None
                assert (session.goal.status, session.run) == ("paused", None)
        assert len(met) == 1
        assert len(journal(store, e.RunInterrupted)) == 1
        store.close()

    play(scene)


def test_a_prompt_that_cannot_be_made_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatch was committed, so its run is closed; the thread does not hang in it."""

    async def scene(goals: MemoryGoals) -> None:
        def broken(*_: Any) -> str:
            raise Fault("no template")

        async with goals.process(worker(steps([COMPLETE]))) as engine:
            with monkeypatch.context() as patched:
                patched.setattr(doing, "render_turn", broken)
                await engine.submit(THREAD, OBJECTIVE)
                session = await engine.settled(THREAD)
                assert session.goal is not None
                assert (session.goal.status, session.run) == ("paused", None)
                assert not inside(engine).runs
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_an_engine_stops_although_it_cannot_tell_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(goals: MemoryGoals) -> None:
        engine = await goals.process(worker(steps([500.0]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        with faulty(monkeypatch, is_a(e.ShutdownStarted)):
            await engine.stop(1.0)
        assert inside(engine).over.is_set()
        assert goals.disk.owner is None

    play(scene)


@pytest.mark.parametrize("status", ["active", "paused"])
def test_a_thread_that_cannot_be_read_is_left_alone(status: str) -> None:
    """Others are worked on, its timers wake nobody up, and whoever asks for it is told."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.submit(OTHER, e.ObjectiveGiven(objective="something else"))
        await goals.kill(first)
        goals.disk.sessions[THREAD] = msgspec.structs.replace(
            goals.disk.sessions[THREAD],
            state=b"{",
            status=status,
            wake_at_ms=goals.clock.now_ms + 5_000,
        )
        with capture_logs() as logs:
            async with goals.process(worker(steps([20.0, COMPLETE]))) as second:
                session = await second.settled(OTHER)
                assert session.goal is not None
                assert session.goal.status == "complete"
                goals.clock.jump("1h")
                await asyncio.sleep(10)
                with pytest.raises(codec.CodecError):
                    await second.submit(THREAD, e.PauseRequested())
        assert [line["event"] for line in logs].count("thread cannot be read") == 1

    play(scene)


def test_an_effect_that_cannot_be_read_stops_its_thread() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await goals.kill(first)
        leave(goals, None)
        async with goals.process(worker(steps([COMPLETE]))) as second:
            await asyncio.sleep(10)
            session = second.session(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
        assert goals.events(THREAD, e.RunDispatched) == []

    play(scene)
