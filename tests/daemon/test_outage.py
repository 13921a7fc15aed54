"""A store that cannot commit: nothing is lost, nothing is dispatched, and a stop still stops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.errors import (
    Busy,
    CannotWrite,
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    OutcomeUnknown,
    StoreError,
    StoreUnavailable,
)
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals, uses
from goalfsm.workers import protocol as w
from tests.daemon.failing import Failing, times
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker


@pytest.mark.parametrize(
    "error", [DiskFull, Busy, StoreUnavailable, CannotWrite], ids=lambda kind: str(kind.code)
)
def test_what_a_worker_reports_survives_a_store_that_fails_for_a_while(error: Any) -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)

        async def turn(_: w.Work) -> Any:
            yield uses(input=1)
            await asyncio.sleep(1)
            store.failing = lambda: error("for a while")
            yield uses(input=2)
            yield uses(input=4)
            await asyncio.sleep(60)
            assert inside(engine).outage.present is not None
            store.failing = lambda: None
            yield COMPLETE

        engine = goals.process(worker(turn), store=store)
        async with engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.tokens_used) == ("complete", 7)
            await asyncio.sleep(10)
            assert inside(engine).outage.present is None
            assert store.reserve
        assert goals.open_effects() == []

    play(scene)


def test_a_connection_that_refuses_everything_is_opened_again() -> None:
    """Where not even a rollback succeeds, or a setting is lost, the handle says so for ever."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        turns = worker(steps(["a", uses(input=2), COMPLETE]))
        async with goals.process(turns, store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            reopened = store.reopened
            store.failing = lambda: (
                StoreUnavailable("rolling back failed") if store.reopened == reopened else None
            )
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
            assert store.reopened == reopened + 1

    play(scene)


def test_an_engine_with_nothing_to_commit_opens_such_a_connection_again() -> None:
    """It goes on looking: nothing that it would commit meets the trouble."""

    async def scene(goals: MemoryGoals) -> None:
        store: Any = Failing(goals)
        engine = goals.process(worker(steps([COMPLETE])), store=store)
        async with engine:
            looked = 0

            def verify() -> None:
                nonlocal looked
                if store.reopened == 0:
                    raise StoreUnavailable("rolling back failed")
                looked += 1

            store.verify = verify
            await asyncio.sleep(60)
            assert (store.reopened, looked > 0) == (1, True)
            assert inside(engine).outage.present is None

    play(scene)


@pytest.mark.parametrize("landed", [False, True])
def test_an_unknown_outcome_is_settled_by_reopening(landed: bool) -> None:
    """Whether the commit is there or not, it counts once, and its sender gets the reply."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        async with goals.process(
            worker(steps(["a", uses(input=2), COMPLETE])), store=store
        ) as engine:
            store.commits_anyway = landed
            store.failing = times(1, lambda: OutcomeUnknown("who knows"))
            reply = await engine.submit(THREAD, OBJECTIVE, "given")
            assert (reply.ok, reply.code) == (True, "created")
            assert store.reopened == 1
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.tokens_used) == ("complete", 2)
        assert len(goals.events(THREAD, e.ObjectiveGiven)) == 1
        assert goals.store().integrity() == ()

    play(scene)


@pytest.mark.parametrize("landed", [False, True])
@pytest.mark.parametrize("at", range(2, 9))
def test_an_unknown_outcome_at_any_commit_changes_nothing(at: int, landed: bool) -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        count = 0

        def failing() -> StoreError | None:
            nonlocal count
            count += 1
            return OutcomeUnknown("who knows") if count == at else None

        store.failing = failing
        store.commits_anyway = landed
        turns = worker(steps(["a", uses(input=2)], ["b", uses(input=3), COMPLETE]))
        async with goals.process(turns, store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.tokens_used) == ("complete", 5)
            assert session.goal.continuations == 2
        assert len(goals.events(THREAD, e.RunDispatched)) == 2
        assert goals.open_effects() == []

    play(scene)


def test_who_asks_from_outside_is_told_that_nothing_was_written() -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        async with goals.process({}, store=store) as engine:
            store.failing = times(1, lambda: DiskFull("no room"))
            with pytest.raises(DiskFull):
                await engine.submit(THREAD, OBJECTIVE, "given")
            assert goals.journal(THREAD) == ()
            await asyncio.sleep(5)
            reply = await engine.submit(THREAD, OBJECTIVE, "given")
            assert reply.code == "created"

    play(scene)


def test_a_pause_that_cannot_be_recorded_still_stops() -> None:
    """The running turn ends, none follows; the pause is recorded when there is room again."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        async with goals.process(worker(steps([10, "a"], [10, "b"])), store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            store.failing = lambda: DiskFull("no room")
            reply = await engine.submit(THREAD, e.PauseRequested())
            assert (reply.ok, reply.code) == (True, "suspended")
            await asyncio.sleep(50)
            assert len(goals.events(THREAD, e.RunDispatched)) == 1
            store.failing = lambda: None
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "paused"
            await asyncio.sleep(50)
        assert len(goals.events(THREAD, e.RunDispatched)) == 1
        assert len(goals.events(THREAD, e.PauseRequested)) == 1

    play(scene)


def test_a_disk_with_room_for_the_least_alone_is_left_in_peace_for_longer_and_longer() -> None:
    """What fits whenever it is tried again is not the next turn: seconds lie between two tries."""

    async def scene(goals: MemoryGoals) -> None:
        store, failed = Failing(goals), 0

        def every_second() -> StoreError | None:
            nonlocal failed
            failed += 1
            return DiskFull("no room") if failed % 2 else None

        turns = worker(steps([0.1, "a"]))
        async with goals.process(turns, store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            endless = {"no_progress": 0, "max_continuations": 0}
            await engine.submit(THREAD, e.PolicyChanged(changes=endless))
            store.failing = every_second
            await asyncio.sleep(120)
            tried, store.failing = failed, lambda: None
            await asyncio.sleep(6)
            assert inside(engine).outage.present is None
            done = len(goals.events(THREAD, e.RunFinished))
            await asyncio.sleep(1)
            assert len(goals.events(THREAD, e.RunFinished)) > done
        assert 20 < tried < 120

    play(scene)


def test_halt_keeps_a_goal_from_running_even_where_the_pause_is_refused() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["a", COMPLETE]))) as engine:
            reply = await engine.halt(THREAD)
            assert not reply.ok
            inside(engine).holds.add("test")
            await engine.submit(THREAD, OBJECTIVE)
            assert (await engine.halt(THREAD)).ok
            assert (await engine.halt(THREAD)).ok
            inside(engine).holds.release("test")
            await asyncio.sleep(10)
            assert goals.events(THREAD, e.RunDispatched) == []
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_nothing_is_dispatched_while_the_store_cannot_commit() -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        started: list[str] = []

        async def turn(work: w.Work) -> Any:
            started.append(work.thread_id)
            yield COMPLETE

        async with goals.process(worker(turn), store=store) as engine:
            inside(engine).holds.add("test")
            await engine.submit(THREAD, OBJECTIVE)
            store.failing = lambda: DiskFull("no room")
            inside(engine).holds.release("test")
            await asyncio.sleep(30)
            assert started == []
            store.failing = lambda: None
            await engine.settled(THREAD)
            assert started == [THREAD]

    play(scene)


@pytest.mark.parametrize("error", [DatabaseReplaced, Corrupt], ids=lambda kind: str(kind.code))
def test_a_store_that_cannot_be_trusted_ends_the_engine(error: Any) -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        engine = goals.process(worker(steps([100, "a"])), store=store)
        async with engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            store.failing = lambda: error("gone")
            settled = asyncio.ensure_future(engine.settled(THREAD))
            with pytest.raises(error):
                await engine.submit(THREAD, e.PauseRequested())
            with pytest.raises(error):
                await settled
            with pytest.raises(error):
                await engine.wait()
            assert not inside(engine).runs

    play(scene)


def test_an_event_too_large_is_refused_and_the_thread_goes_on() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps(["a", COMPLETE]))) as engine:
            huge = e.TriggerFired(trigger="x" * (9 * 1024 * 1024))
            inside(engine).holds.add("test")
            await engine.submit(THREAD, OBJECTIVE)
            reply = await engine.submit(THREAD, huge)
            assert not reply.ok
            inside(engine).holds.release("test")
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)
