"""One thread's events: in order, in one piece, each once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Generator
from typing import Any

import pytest

from goalfsm.daemon.flow.threads import KEEP_QUIET
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Session
from goalfsm.testing import MemoryGoals
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import TurnEvent, UsageReported, Work
from tests.daemon.scenes import OBJECTIVE, THREAD, inside, play


def test_the_same_event_id_changes_nothing_and_gets_the_first_reply() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            first = await engine.submit(THREAD, OBJECTIVE, "one")
            again = await engine.submit(THREAD, OBJECTIVE, "one")
            assert first == again
            both = await asyncio.gather(
                *(engine.submit(THREAD, e.PauseRequested(), "two") for _ in range(3)),
                engine.submit(THREAD, e.ResumeRequested(), "three"),
            )
            assert [reply.ok for reply in both] == [True] * 4
            assert both[0] == both[1] == both[2]
        assert [type(event).__name__ for event in goals.events(THREAD)][:3] == [
            "ObjectiveGiven",
            "PauseRequested",
            "ResumeRequested",
        ]

    play(scene)


def test_an_unknown_thread_is_not_begun_by_what_is_refused() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            reply = await engine.submit("nobody", e.PauseRequested())
            assert not reply.ok
            empty = await engine.submit("nobody", e.ObjectiveGiven(objective="  "))
            assert (empty.ok, empty.code) == (False, "objective_empty")
        assert goals.disk.sessions == {}

    play(scene)


def test_a_refusal_in_a_thread_that_exists_is_recorded() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            assert not (await engine.submit(THREAD, e.ResumeRequested())).ok
        assert len(goals.events(THREAD, e.ResumeRequested)) == 1

    play(scene)


def test_a_batch_is_one_transaction_however_busy_the_store_is() -> None:
    """Its commits are never spread over two, also where a thread is alone."""

    async def scene(goals: MemoryGoals) -> None:
        store = goals.store()
        batches: list[list[str]] = []
        commit = store.commit

        def watch(batch: Any, **options: Any) -> Any:
            batches.append([one.event_id for one in batch])
            return commit(batch, **options)

        store.commit = watch  # type: ignore[method-assign]

        def batch(_: Session) -> Generator[e.Event, Any, None]:
            for _number in range(3):
                yield e.HostChanged(pending_messages=True)

        async with goals.process({}, store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            batches.clear()
            threads = inside(engine).threads
            others = [f"t{number}" for number in range(30)]
            for other in others:
                threads.send(other, e.HostChanged(idle=True))
            replies = [threads.run(thread, batch) for thread in [THREAD, *others]]
            await asyncio.gather(*replies)
            sizes = [len(batch) for batch in batches]
            assert sum(sizes) == 30 + 31 * 3
            assert max(sizes) <= 64
            for thread in [THREAD, *(f"t{number}" for number in range(30))]:
                mine = {row.event_id for row in goals.journal(thread)[-3:]}
                holding = [batch for batch in batches if mine & set(batch)]
                assert len(holding) == 1
                assert mine <= set(holding[0])

    play(scene)


def test_a_batch_that_fails_writes_nothing_and_others_go_on() -> None:
    async def scene(goals: MemoryGoals) -> None:
        def batch(_: Session) -> Generator[e.Event, Any, None]:
            yield e.HostChanged(pending_messages=True)
            raise LookupError("a bug")

        async with goals.process({}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            threads = inside(engine).threads
            before = len(goals.journal(THREAD))
            failing = threads.run(THREAD, batch)
            fine = threads.send(THREAD, e.HostChanged(pending_messages=True))
            with pytest.raises(LookupError):
                await failing
            assert (await fine).ok
            await asyncio.sleep(1)
            written = goals.events(THREAD)[before:]
            assert [type(event) for event in written] == [e.HostChanged, e.DecisionFailed]

    play(scene)


def test_what_another_wrote_behind_our_back_is_reloaded() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            mailbox = inside(engine).threads._all[THREAD]
            stale = mailbox.session, mailbox.revision
            await engine.submit(THREAD, e.EditRequested(objective="another"))
            mailbox.session, mailbox.revision = stale
            reply = await engine.submit(THREAD, e.PauseRequested())
            assert reply.ok
            goal = engine.session(THREAD).goal
            assert goal is not None
            assert (goal.status, goal.objective) == ("paused", "another")

    play(scene)


def test_a_cancelled_submit_is_still_decided() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            asking = asyncio.ensure_future(engine.submit(THREAD, OBJECTIVE))
            await asyncio.sleep(0)
            asking.cancel()
            await asyncio.sleep(1)
            assert engine.session(THREAD).goal is not None

    play(scene)


def test_quiet_threads_are_let_go_and_loaded_again() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            for number in range(KEEP_QUIET + 50):
                await engine.submit(f"t{number}", OBJECTIVE)
                await engine.submit(f"t{number}", e.ClearRequested())
            await asyncio.sleep(1)
            assert len(inside(engine).threads.ids()) <= KEEP_QUIET
            assert inside(engine).threads.known("t0") is None
            assert engine.session("t0").goal is None
            assert (await engine.submit("t0", OBJECTIVE)).ok

    play(scene)


def test_commands_that_expect_another_revision_are_refused() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process({}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            reply = await engine.submit(THREAD, e.PauseRequested(expected_revision=99))
            assert not reply.ok
            assert not inside(engine).holds.stops(THREAD)
            assert engine.session(THREAD).goal is not None

    play(scene)


def test_what_a_turn_says_at_one_go_is_one_transaction_with_its_end_and_the_next() -> None:
    """What it says before it waits for something is durable meanwhile."""

    async def scene(goals: MemoryGoals) -> None:
        store = goals.store()
        batches: list[list[str]] = []
        commit = store.commit

        def watch(batch: Any, **options: Any) -> Any:
            batches.append([type(codec.decode_event(one.event)).__name__ for one in batch])
            return commit(batch, **options)

        store.commit = watch  # type: ignore[method-assign]

        async def turn(work: Work) -> AsyncIterator[TurnEvent | str]:
            yield UsageReported(input_tokens=1)
            if work.turn > 1:
                await asyncio.sleep(5)
            yield "did it"

        async with goals.process(CallableWorker(turn), store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            assert batches == [
                ["ObjectiveGiven"],
                ["RunDispatched"],
                ["UsageReported", "RunFinished", "RunDispatched"],
                ["UsageReported"],
            ]

    play(scene)


def test_a_function_that_resists_its_end_is_cancelled_again() -> None:
    """A turn of ours cannot be killed: an engine that gives up insists until it gives in."""

    async def scene(goals: MemoryGoals) -> None:
        resisted: list[bool] = []

        async def turn(_: Work) -> str:
            while len(resisted) < 3:
                try:
                    await asyncio.sleep(3_600)
                except asyncio.CancelledError:
                    resisted.append(True)
            return "at last"

        async with goals.process(CallableWorker(turn)) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            run = inside(engine).runs.get(THREAD)
            assert run is not None
            run.end("killed")
            await run.wait()
            assert len(resisted) == 3

    play(scene)
