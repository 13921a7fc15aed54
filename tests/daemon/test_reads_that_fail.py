"""A store that cannot be read for a moment: trouble that passes, never a fault of a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from goalfsm.errors import StoreError, StoreUnavailable
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from tests.daemon.failing import Failing
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker


def unreadable(times: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what makes a read fail so many times."""
    left = times

    def wrap(read: Callable[..., Any]) -> Callable[..., Any]:
        def reading(*asked: Any, **more: Any) -> Any:
            nonlocal left
            if left:
                left -= 1
                raise StoreUnavailable("input/output error while reading")
            return read(*asked, **more)

        return reading

    return wrap


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_read_that_fails_between_two_turns_holds_nobody_for_good(times: int) -> None:
    """The next turn looks for its worker: what cannot be read now is read a moment later."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        configs = store._inner.workers

        async def turn(work: w.Work) -> Any:
            yield f"turn {work.turn}"
            if work.turn == 2:
                configs.get = unreadable(times)(configs.get)
            if work.turn == 4:
                yield COMPLETE

        async with goals.process(worker(turn), store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 4)
            assert inside(engine).outage.present is None
        assert goals.events(THREAD, e.DecisionFailed) == []

    play(scene)


def test_a_read_that_fails_while_an_engine_stops_does_not_keep_it_alive() -> None:
    """Threads that wait for a time are read to be told; one that cannot be read stays as it is."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        quota = w.ErrorReported(message="You have hit your usage limit", retry_after=600.0)
        engine = await goals.process(worker(steps([quota])), store=store).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        await asyncio.sleep(5)
        inside(engine).threads._all.clear()
        sessions = store._inner.sessions
        sessions.load = unreadable(1_000)(sessions.load)
        async with asyncio.timeout(60):
            await engine.stop(0)
        assert inside(engine).over.is_set()
        assert store._inner.owner.current() is None

    play(scene)


def test_what_is_asked_of_a_thread_that_cannot_be_read_says_so_at_once() -> None:
    """Nothing is written; asked again a little later it is decided."""

    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        async with goals.process({}, store=store) as engine:
            sessions = store._inner.sessions
            sessions.load = unreadable(1)(sessions.load)
            with pytest.raises(StoreError):
                await engine.submit(THREAD, OBJECTIVE)
            assert goals.journal(THREAD) == ()
            await asyncio.sleep(10)
            assert (await engine.submit(THREAD, OBJECTIVE)).ok

    play(scene)


def test_what_the_engine_has_to_say_waits_until_a_thread_can_be_read() -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = Failing(goals)
        async with goals.process({}, store=store) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            inside(engine).threads._all.clear()
            sessions = store._inner.sessions
            sessions.load = unreadable(3)(sessions.load)
            sent = inside(engine).threads.send(THREAD, e.HostChanged(pending_messages=True))
            assert (await sent).ok
            assert engine.session(THREAD).host.pending_messages

    play(scene)
