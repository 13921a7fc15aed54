"""What an engine takes over from one that was killed, stopped or fenced."""

from __future__ import annotations

import asyncio

import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.errors import Fenced
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.effects import SendWork
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Identity
from goalfsm.testing import MemoryGoals, uses
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from tests.daemon.faults import faulty, is_a
from tests.daemon.scenes import (
    BLOCKED,
    COMPLETE,
    OBJECTIVE,
    PATIENT,
    THREAD,
    cannot_end,
    inside,
    leave,
    play,
    steps,
    worker,
)


def test_work_that_was_queued_when_the_engine_died_is_dispatched_by_the_next() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await goals.kill(first)
        async with goals.process(worker(steps(["a", COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert len(goals.events(THREAD, e.RunDispatched)) == 1

    play(scene)


def test_stop_lets_a_turn_finish_within_its_grace() -> None:
    async def scene(goals: MemoryGoals) -> None:
        engine = await goals.process(worker(steps([5, "a"]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await engine.stop(10)
        assert goals.clock.loop.time() < 7
        assert [end.outcome for end in goals.events(THREAD, e.RunFinished)] == ["finished"]
        assert len(goals.events(THREAD, e.RunDispatched)) == 1
        assert goals.disk.owner is None

    play(scene)


def test_stop_interrupts_a_turn_that_takes_longer() -> None:
    async def scene(goals: MemoryGoals) -> None:
        engine = await goals.process(worker(steps([500, "a"]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await engine.stop(10)
        assert goals.clock.loop.time() < 15
        assert [end.detail for end in goals.events(THREAD, e.RunInterrupted)] == [
            "the engine shut down"
        ]

    play(scene)


def test_a_second_stop_does_not_wait_for_the_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        engine = await goals.process(worker(steps([500, "a"]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        engine.stop_soon(300)
        await asyncio.sleep(1)
        await engine.stop(0)
        assert goals.clock.loop.time() < 10
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1

    play(scene)


def test_a_second_engine_is_refused_while_the_first_lives() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}):
            with pytest.raises(Owned, match="process 1 owns"):
                await goals.process({}).__aenter__()

    play(scene)


def command_at(goals: MemoryGoals) -> MemoryStore:
    """Return the handle of a command that owns the database and lives."""
    command = MemoryStore(goals.disk, is_alive=lambda _: True)
    who = Identity(pid=77, start_time=1, boot_id="simulated")
    command.owner.acquire(who, socket="", uptime_ms=goals.system.clock.uptime_ms())
    return command


def engine_beside_commands(goals: MemoryGoals) -> Engine:
    """Return an engine to which whoever owns the database lives."""
    return Engine(
        MemoryStore(goals.disk, is_alive=lambda _: True),
        workers={},
        platform=goals.system,
        serve=False,
    )


def test_an_engine_waits_for_a_command_that_is_at_the_database() -> None:
    async def scene(goals: MemoryGoals) -> None:
        asyncio.get_running_loop().call_later(3, command_at(goals).owner.release)
        async with engine_beside_commands(goals):
            assert 3 <= goals.clock.loop.time() < 4

    play(scene)


def test_a_second_engine_waits_as_long_as_it_is_told() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()
        second = asyncio.ensure_future(goals.process({}, wait_s=30).__aenter__())
        await asyncio.sleep(5)
        assert not second.done()
        await first.stop(0)
        await (await second).stop(0)
        assert goals.clock.loop.time() < 6

    play(scene)


def test_a_silent_owner_is_replaced_and_gives_up_when_it_stirs() -> None:
    """Its heartbeat stopped; the successor takes over at expiry; its next commit is refused."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([500, "a", COMPLETE]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(5)
        inside(first).heartbeat.stop()
        await asyncio.sleep(8)
        second = await goals.process(worker(steps(["b", COMPLETE]))).__aenter__()
        assert 14 <= goals.clock.loop.time() < 18
        notices = (
            [notice async for notice in first.follow(THREAD)] if inside(first).over.is_set() else []
        )
        assert notices == []
        with pytest.raises(Fenced):
            await first.submit(THREAD, e.PauseRequested())
        with pytest.raises(Fenced):
            await first.wait()
        assert not inside(first).runs
        session = await second.settled(THREAD)
        assert session.goal is not None
        assert session.goal.status == "complete"
        await second.stop(0)
        assert len(goals.events(THREAD, e.RunInterrupted)) == 1

    play(scene)


def test_a_fenced_engine_tells_its_followers() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()

        async def follow() -> list[str]:
            return [type(notice).__name__ async for notice in first.follow(THREAD)]

        following = asyncio.ensure_future(follow())
        await asyncio.sleep(1)
        first._platform.die()  # type: ignore[union-attr]
        second = await goals.process({}).__aenter__()
        assert await following == ["StatusChanged", "Ended"]
        await second.stop(0)

    play(scene)


def test_what_waits_in_the_inbox_is_decided_at_the_start_and_while_running() -> None:
    async def scene(goals: MemoryGoals) -> None:
        inbox = goals.store().inbox
        given = codec.encode_event(OBJECTIVE)
        inbox.put("one", THREAD, at_ms=1, event=given)
        async with goals.process(worker(steps(["a", BLOCKED])), policy=PATIENT) as engine:
            await asyncio.sleep(0.1)
            answer = inbox.answer("one")
            assert answer is not None
            assert answer.revision == 1
            inbox.put("two", THREAD, at_ms=1, event=codec.encode_event(e.PauseRequested()))
            await asyncio.sleep(3)
            assert inbox.pending() == ()
            await engine.settled(THREAD)

    play(scene)


def test_a_refused_inbox_row_is_consumed_and_answered() -> None:
    """Also where its thread does not exist: it must not come up again for ever."""

    async def scene(goals: MemoryGoals) -> None:
        inbox = goals.store().inbox
        inbox.put("one", "nobody", at_ms=1, event=codec.encode_event(e.PauseRequested()))
        async with goals.process({}):
            await asyncio.sleep(1)
            assert inbox.pending() == ()
        answer = inbox.answer("one")
        assert answer is not None
        assert answer.reply is not None
        assert not codec.decode_reply(answer.reply).ok

    play(scene)


def test_nothing_runs_before_what_could_not_be_ended_is_gone() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)
        second = goals.process(worker(steps(["b", COMPLETE])))
        looked_for = cannot_end(second, 99)
        async with second:
            await asyncio.sleep(100)
            (dispatched,) = goals.events(THREAD, e.RunDispatched)
            assert looked_for == [dispatched.run_id]
            goals.system.end_process(99)
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_thread_that_met_a_fault_is_idle_when_what_was_left_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its run was closed while processes of it lived, and nobody else says that they are gone."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)
        second = goals.process(worker(steps(["b", COMPLETE])))
        cannot_end(second, 99)
        faults = iter([True])
        once = lambda _session, event: isinstance(event, e.RunInterrupted) and next(faults, False)  # noqa: E731
        with faulty(monkeypatch, once) as met:
            async with second:
                await asyncio.sleep(100)
                assert met
                session = second.session(THREAD)
                assert session.run is None
                assert not session.host.idle
                goals.system.end_process(99)
                await asyncio.sleep(1)
                assert second.session(THREAD).host.idle

    play(scene)


def test_a_run_that_its_worker_remembers_is_taken_as_finished() -> None:
    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([uses(input=3, key="k"), 500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)

        async def probe(_: str) -> w.Probe:
            events = (
                uses(input=3, key="k"),
                uses(input=4, key="l"),
                w.Text(text="all"),
                w.Exited(ok=True),
            )
            return w.Probe(state="finished", events=events)

        remembering = CallableWorker(steps(["b", COMPLETE]), probe=probe)
        async with goals.process(remembering) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.tokens_used == 7
        assert goals.events(THREAD, e.RunInterrupted) == []
        assert [end.outcome for end in goals.events(THREAD, e.RunFinished)] == ["finished"] * 2

    play(scene)


def test_a_run_that_goes_on_somewhere_is_asked_for_before_a_fault_can_meet_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A person who resumes after the fault would have two runs otherwise."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process(worker(steps([uses(input=3, key="k"), 500, "a"]))).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(1)
        await goals.kill(first)
        asked: list[str] = []

        async def probe(run_id: str) -> w.Probe:
            asked.append(run_id)
            return w.Probe(state="unknown")

        remembering = CallableWorker(steps(["b", COMPLETE]), probe=probe)
        with faulty(monkeypatch, is_a(e.EngineLost)) as met:
            async with goals.process(remembering) as second:
                await asyncio.sleep(10)
                assert met
                assert second.session(THREAD).run is None
        (dispatched,) = goals.events(THREAD, e.RunDispatched)
        assert asked == [dispatched.run_id]

    play(scene)


def test_a_turn_that_an_earlier_version_wrote_down_to_be_sent_is_begun_once() -> None:
    """The session says which turn waits; the row is marked as done, also of an older goal."""

    async def scene(goals: MemoryGoals) -> None:
        first = await goals.process({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
        goal = first.session(THREAD).goal
        assert goal is not None
        await goals.kill(first)
        for goal_id in ("older", goal.goal_id):
            work = SendWork(kind="continuation", goal_id=goal_id, deliver_as="follow_up")
            leave(goals, work)
        async with goals.process(worker(steps(["b", COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.objective, session.goal.status) == ("other", "complete")
        assert len(goals.events(THREAD, e.RunDispatched)) == 1
        assert goals.open_effects() == []

    play(scene)
