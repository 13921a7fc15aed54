"""What nobody wants to know any more is ended: verifiers with their claim, watches with waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from goalfsm.daemon.flow.threads import ENDING
from goalfsm.goal.model import Verifier
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from tests.daemon.scenes import COMPLETE, THREAD, inside, leave, play, steps, worker

CHECK = Verifier(kind="callable", name="check")
WITH_CHECK = e.ObjectiveGiven(objective="x", verifiers=(CHECK,))
UNTIL = e.ObjectiveGiven(objective="x", until=CHECK)


class Slow:
    """A verifier that takes its time, and some to end."""

    def __init__(self, *, ends_in: float = 5.0) -> None:
        self.ends_in = ends_in
        self.running = 0

    async def __call__(self, _goal: Any, _claim: Any) -> bool:
        self.running += 1
        try:
            await asyncio.sleep(100_000)
        except asyncio.CancelledError:
            await asyncio.sleep(self.ends_in)
            raise
        finally:
            self.running -= 1
        return True


@pytest.mark.parametrize(
    "ends",
    [
        e.SteeringReceived(message_id="m", text="wait"),
        e.EditRequested(verifiers=()),
        e.BlockRequested(),
        e.ClearRequested(),
        e.CompletionRequested(),
        e.ObjectiveGiven(objective="other", replace=True),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_verifier_ends_with_its_claim(ends: e.Event) -> None:
    async def scene(goals: MemoryGoals) -> None:
        slow = Slow()
        turns = worker(steps(["a", COMPLETE], [100_000.0]))
        async with goals.process(turns, verifiers={"check": slow}) as engine:
            await engine.submit(THREAD, WITH_CHECK)
            await asyncio.sleep(10)
            assert slow.running == 1
            await engine.submit(THREAD, ends)
            await asyncio.sleep(10)
            assert (slow.running, goals.open_effects()) == (0, [])
            assert goals.events(THREAD, e.VerificationFinished) == []

    play(scene)


def test_no_turn_starts_beside_a_verifier_that_is_being_ended() -> None:
    async def scene(goals: MemoryGoals) -> None:
        slow, beside = Slow(), []

        async def turn(work: w.Work) -> AsyncIterator[Any]:
            beside.append(slow.running)
            yield f"turn {work.turn}"
            if work.turn == 1:
                yield COMPLETE
            else:
                await asyncio.sleep(100_000)

        async with goals.process(worker(turn), verifiers={"check": slow}) as engine:
            given = e.ObjectiveGiven(objective="x", verifiers=(CHECK, CHECK))
            await engine.submit(THREAD, given)
            await asyncio.sleep(10)
            await engine.submit(THREAD, e.SteeringReceived(message_id="m", text="wait"))
            await asyncio.sleep(4)
            assert inside(engine).holds.of(THREAD) == {ENDING}
            assert (slow.running, len(beside)) == (2, 1)
            await asyncio.sleep(4)
            assert inside(engine).holds.of(THREAD) == set()
            assert beside == [0, 0]

    play(scene)


def test_the_place_of_an_ended_verifier_is_another_threads() -> None:
    async def scene(goals: MemoryGoals) -> None:
        slow = Slow(ends_in=0.0)

        async def check(goal: Any, claim: Any) -> bool:
            return goal.objective == "quick" or await slow(goal, claim)

        turns = worker(steps(["a", COMPLETE]))
        async with goals.process(turns, verifiers={"check": check}, max_runs=1) as engine:
            await engine.submit(THREAD, WITH_CHECK)
            await asyncio.sleep(10)
            await engine.submit("other", e.ObjectiveGiven(objective="quick", verifiers=(CHECK,)))
            await asyncio.sleep(10)
            assert engine.status("other").activity == "verifying"
            await engine.submit(THREAD, e.ClearRequested())
            session = await engine.settled("other")
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_what_an_earlier_engine_left_is_done_only_where_it_is_still_wanted() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([100_000.0]))) as engine:
            await engine.submit(THREAD, UNTIL)
        leave(goals, f.RunVerifier(claim_id="gone", index=0))
        leave(goals, f.RunUntil(check_id="gone"))
        leave(goals, f.WatchProcess(pid=77))
        slow = Slow()
        async with goals.process(worker(steps([100_000.0])), verifiers={"check": slow}):
            await asyncio.sleep(10)
            assert (goals.open_effects(), slow.running, goals.system._ended) == ([], 0, {})

    play(scene)


SERVER = w.WaitDeclared(for_="process", pid=77, note="the server")


@pytest.mark.parametrize("how", ["complete", "pause", "block", "clear"])
def test_a_thread_settles_although_a_process_that_it_waited_for_lives(how: str) -> None:
    async def scene(goals: MemoryGoals) -> None:
        over = {
            "complete": e.CompletionRequested(),
            "pause": e.PauseRequested(),
            "block": e.BlockRequested(),
            "clear": e.ClearRequested(),
        }[how]
        async with goals.process(worker(steps(["up", SERVER]))) as engine:
            await engine.submit(THREAD, e.ObjectiveGiven(objective="check pages"))
            await asyncio.sleep(10)
            assert engine.status(THREAD).activity == "waiting on process 77"
            assert goals.open_effects() == ["WatchProcess"]
            await engine.submit(THREAD, over)
            await asyncio.wait_for(engine.settled(THREAD), 1)
            goals.system.end_process(77)
            await asyncio.sleep(10)
            assert goals.open_effects() == []
            assert goals.events(THREAD, e.ProcessEnded) == []

    play(scene)


def test_the_next_turn_watches_what_it_waits_for_itself() -> None:
    """The watch of the turn before has ended with its wait; the same process is watched again."""

    async def scene(goals: MemoryGoals) -> None:
        turns = steps(["up", SERVER], ["still", SERVER], ["checked", COMPLETE])
        async with goals.process(worker(turns)) as engine:
            await engine.submit(THREAD, e.ObjectiveGiven(objective="check pages"))
            await asyncio.sleep(10)
            await engine.submit(THREAD, e.WakeRequested())
            await asyncio.sleep(10)
            assert engine.status(THREAD).activity == "waiting on process 77"
            goals.system.end_process(77)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 3)
            assert len(goals.events(THREAD, e.ProcessEnded)) == 1

    play(scene)


def test_a_command_that_completes_the_goal_is_run_after_each_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        turns: list[int] = []

        async def turn(work: w.Work) -> AsyncIterator[str]:
            turns.append(work.turn)
            yield f"turn {work.turn}"

        def check(_goal: Any, _claim: Any) -> str | None:
            return None if len(turns) == 3 else "not yet"

        async with goals.process(worker(turn), verifiers={"check": check}) as engine:
            await engine.submit(THREAD, UNTIL)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, turns) == ("complete", [1, 2, 3])
            checked = goals.events(THREAD, e.UntilChecked)
            assert [event.outcome for event in checked] == ["failed", "failed", "passed"]

    play(scene)


def test_such_a_command_ends_with_what_it_was_run_for() -> None:
    async def scene(goals: MemoryGoals) -> None:
        slow = Slow()
        turns = worker(steps(["a"], [100_000.0]))
        async with goals.process(turns, verifiers={"check": slow}, max_runs=1) as engine:
            await engine.submit(THREAD, UNTIL)
            await asyncio.sleep(10)
            assert (slow.running, engine.status(THREAD).activity) == (1, "verifying")
            await engine.submit(THREAD, e.EditRequested(no_until=True))
            await asyncio.sleep(10)
            assert (slow.running, goals.open_effects()) == (0, [])
            assert engine.status(THREAD).activity == "running a turn"

    play(scene)
