"""Faults that meet: each is harmless alone, and was not where another one came with it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.daemon.flow.replay import replay
from goalfsm.errors import Busy, OutcomeUnknown, StoreUnavailable
from goalfsm.goal.model import ACTIVE, PAUSED
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.rules import runs
from goalfsm.store.port import Identity, Process
from goalfsm.testing import MemoryGoals, uses
from goalfsm.testing.loop import START_MS
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.supervisor.orphans import Orphans
from tests.daemon.failing import Failing, times
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, cannot_end, inside, play, steps, worker

OTHER = "other"


def test_work_goes_on_when_all_that_a_failing_store_was_asked_was_a_repeat() -> None:
    """The store's answer that it has the event already ends the trouble as a commit does."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        turns = steps([20.0, "a"], [5.0, COMPLETE])
        async with goals.process(worker(turns), store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            steering = e.SteeringReceived(message_id="m", text="look")
            await engine.submit(OTHER, OBJECTIVE)
            await engine.submit(OTHER, e.PauseRequested())
            await engine.submit(OTHER, steering, "said")
            await asyncio.sleep(1)
            store.failing = times(1, lambda: OutcomeUnknown("half-way"))
            assert (await engine.submit(OTHER, steering, "said")).ok
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_commit_of_unknown_outcome_outlasts_a_retry_that_fails() -> None:
    """That the second try wrote nothing does not mean that the first one did not."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        errors = [OutcomeUnknown("half-way"), Busy("locked"), StoreUnavailable("broken")]

        def failing() -> Any:
            store.commits_anyway = len(errors) == 3
            return errors.pop(0) if errors else None

        async with goals.process(worker(steps(["a", COMPLETE])), store=store) as engine:
            store.failing = failing
            asked = asyncio.ensure_future(engine.submit(THREAD, OBJECTIVE, "said"))
            await asyncio.sleep(0.01)
            assert not asked.done()
            assert (await asked).code == "created"
            assert (await engine.submit(THREAD, OBJECTIVE, "said")).code == "created"
            await engine.settled(THREAD)
            assert len(goals.events(THREAD, e.ObjectiveGiven)) == 1
        assert replay(goals.store(), THREAD).ok

    play(scene)


def test_a_timer_survives_a_store_that_cannot_be_read_when_it_is_due() -> None:
    """The thread is loaded at the next try, and wakes."""

    async def scene(goals: MemoryGoals) -> None:
        quota = w.ErrorReported(message="You have hit your usage limit", retry_after=60.0)
        store = Failing(goals)
        async with goals.process(worker(steps([quota], [COMPLETE])), store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(5)
            assert engine.session(THREAD).goal is not None
            failures = [Busy("locked"), StoreUnavailable("broken")]
            sessions = store._inner.sessions
            load = sessions.load

            def unreadable(thread_id: str) -> Any:
                if failures and goals.clock.now_ms > START_MS + 30_000:
                    raise failures.pop()
                return load(thread_id)

            sessions.load = unreadable
            inside(engine).threads._all.clear()
            await asyncio.sleep(300)
            assert not failures
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_what_is_asked_while_an_engine_starts_is_decided_after_the_open_runs() -> None:
    """A run that goes on somewhere is ended before its goal is replaced under it."""

    async def scene(goals: MemoryGoals) -> None:
        first = goals.process(worker(steps([1000.0])))
        async with first:
            await first.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await goals.kill(first)
        ended: list[str] = []

        async def probe(run_id: str) -> w.Probe:
            return w.Probe(state="gone" if run_id in ended else "running")

        async def search(*_: Any) -> Orphans:
            await asyncio.sleep(10)  # Heartbeats pass.
            return Orphans()

        class Remote(CallableWorker):
            async def abort(self, run_id: str) -> bool:
                ended.append(run_id)
                return True

        stop = codec.encode_event(e.PauseRequested())
        goals.store().inbox.put("said", THREAD, at_ms=START_MS, event=stop)
        second = goals.process(Remote(steps([COMPLETE]), probe=probe))
        second._platform.end_orphans = search  # type: ignore[method-assign]
        async with second:
            session = await second.settled(THREAD)
        assert session.goal is not None
        assert (session.goal.status, session.goal.pause_reason) == ("paused", "user")
        assert ended == [goals.events(THREAD, e.RunDispatched)[0].run_id]

    play(scene)


def test_a_stopped_thread_waits_for_its_processes_through_two_starts() -> None:
    """What the first start could not end is still there at the second: nothing runs beside it."""

    async def scene(goals: MemoryGoals) -> None:
        engine = goals.process(worker(steps(["a", 1000.0], [COMPLETE])))
        async with engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            run = engine.session(THREAD).run
            assert run is not None
            child = Identity(pid=99, start_time=1, boot_id="simulated")
            inside(engine).store.processes.put(
                Process(run_id=run.run_id, thread_id=THREAD, identity=child, pgid=99, at_ms=1)
            )
            await engine.submit(THREAD, e.PauseRequested())
            await goals.kill(engine)
        for _ in range(2):
            engine = goals.process(worker(steps([COMPLETE])))
            cannot_end(engine, 99)
            async with engine:
                await asyncio.sleep(1)
                goal = engine.session(THREAD).goal
                assert goal is not None
                assert goal.status == PAUSED
                await engine.submit(THREAD, e.ResumeRequested())
                await asyncio.sleep(60)
                goal = engine.session(THREAD).goal
                assert goal is not None
                assert goal.status == ACTIVE
                assert len(goals.events(THREAD, e.RunDispatched)) == 1
                await engine.submit(THREAD, e.PauseRequested())
                await goals.kill(engine)

    play(scene)


def test_usage_that_a_finished_run_tells_of_again_is_charged_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where the session has forgotten its key: the journal has not."""
    monkeypatch.setattr(runs, "KEYS_KEPT", 1)

    async def scene(goals: MemoryGoals) -> None:
        reported = [uses(input=1, key="a"), uses(input=2, key="b"), uses(input=4, key="c")]
        first = goals.process(worker(steps([*reported, 1000.0])))
        async with first:
            await first.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            await goals.kill(first)

        async def probe(_: str) -> w.Probe:
            events = (*reported, uses(input=8, key="d"), w.Exited(ok=True))
            return w.Probe(state="finished", events=events)

        async with goals.process(CallableWorker(steps([COMPLETE]), probe=probe)) as second:
            session = await second.settled(THREAD)
        assert session.goal is not None
        assert session.goal.tokens_used == 15
        assert session.ledger.reported.input_tokens == 15

    play(scene)


def test_a_stop_from_the_inbox_of_an_unknown_thread_is_consumed_when_the_store_fails() -> None:
    """The refusal is recorded, or its row would wait for ever."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        async with goals.process(worker(steps([COMPLETE])), store=store) as engine:
            store.failing = times(2, lambda: Busy("locked"))
            cleared = codec.encode_event(e.ClearRequested())
            goals.store().inbox.put("said", THREAD, at_ms=START_MS, event=cleared)
            await asyncio.sleep(30)
            assert inside(engine).store.inbox.pending() == ()
            assert len(goals.events(THREAD, e.ClearRequested)) == 1

    play(scene)
