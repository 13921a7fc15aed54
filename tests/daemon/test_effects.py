"""Verifiers, callbacks, compaction, places for runs: what is done beside the decisions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from goalfsm.daemon.stages.performers import CallbackCall, Verdict
from goalfsm.daemon.stages.scheduler import Slots
from goalfsm.goal.machine import goal_machine
from goalfsm.goal.model import Verifier
from goalfsm.session import events as e
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker


def given(*names: str, timeout_s: float = 600.0) -> e.ObjectiveGiven:
    verifiers = tuple(Verifier(kind="callable", name=name, timeout_s=timeout_s) for name in names)
    return e.ObjectiveGiven(objective="x", verifiers=verifiers)


async def says_yes(_goal: Any, _claim: Any) -> None:
    await asyncio.sleep(1)


@pytest.mark.parametrize(
    ("answer", "outcome", "detail"),
    [
        (True, "passed", ""),
        (None, "passed", ""),
        (False, "failed", "check says no"),
        ("two tests fail", "failed", "two tests fail"),
        (Verdict(outcome="unverifiable", detail="no network"), "unverifiable", "no network"),
        (ValueError("bug"), "unverifiable", "check raised ValueError: bug"),
    ],
)
def test_what_a_callable_answers(answer: Any, outcome: str, detail: str) -> None:
    async def scene(goals: MemoryGoals) -> None:
        def check(goal: Any, claim: Any) -> Any:
            assert goal.status == "active"
            assert claim.evidence[0].text == "it is there"
            if isinstance(answer, Exception):
                raise answer
            return answer

        turns = worker(steps(["a", COMPLETE], [100.0]))
        async with goals.process(turns, verifiers={"check": check}) as engine:
            await engine.submit(THREAD, given("check"))
            await asyncio.sleep(10)
        finished = goals.events(THREAD, e.VerificationFinished)
        assert [(event.outcome, event.detail) for event in finished] == [(outcome, detail)]

    play(scene)


def test_a_failed_verifier_sends_the_work_back_and_a_later_claim_passes() -> None:
    async def scene(goals: MemoryGoals) -> None:
        prompts: list[str] = []
        answers = iter(["the file is empty", True])

        async def turn(work: w.Work) -> Any:
            prompts.append(work.prompt)
            yield f"turn {work.turn}"
            yield COMPLETE

        check = {"check": lambda _goal, _claim: next(answers)}
        async with goals.process(worker(turn), verifiers=check) as engine:
            await engine.submit(THREAD, given("check"))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.continuations) == ("complete", 2)
        assert "the file is empty" in prompts[1]
        assert goals.open_effects() == []

    play(scene)


def test_a_verifier_that_takes_too_long_or_is_unknown_cannot_tell() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async def slow(_goal: Any, _claim: Any) -> bool:
            await asyncio.sleep(1000)
            return True

        turns = worker(steps(["a", COMPLETE]))
        async with goals.process(turns, verifiers={"slow": slow}) as engine:
            await engine.submit(THREAD, given("slow", "nobody", timeout_s=20.0))
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "verification")
        finished = {event.index: event for event in goals.events(THREAD, e.VerificationFinished)}
        assert finished[0].detail == "slow timed out after 20 s"
        assert "no verifier is registered" in finished[1].detail

    play(scene)


def test_a_claim_that_is_gone_is_not_verified() -> None:
    """The goal was replaced while its verifiers waited for a place."""

    async def scene(goals: MemoryGoals) -> None:
        ran: list[str] = []

        async def slow(goal: Any, _claim: Any) -> bool:
            ran.append(goal.objective)
            await asyncio.sleep(50)
            return True

        turns = worker(steps(["a", COMPLETE], [1000.0]))
        async with goals.process(turns, verifiers={"slow": slow}, max_runs=1) as engine:
            await engine.submit(THREAD, given("slow", "slow"))
            await asyncio.sleep(10)
            await engine.submit(THREAD, e.ObjectiveGiven(objective="other", replace=True))
            await asyncio.sleep(100)
            assert ran == ["x"]
            goal = engine.session(THREAD).goal
            assert goal is not None
            assert (goal.objective, goal.status) == ("other", "active")
            assert goals.open_effects() == []

    play(scene)


def test_a_person_accepts() -> None:
    async def scene(goals: MemoryGoals) -> None:
        person = e.ObjectiveGiven(objective="x", verifiers=(Verifier(kind="person"),))
        async with goals.process(worker(steps(["a", COMPLETE]))) as engine:
            await engine.submit(THREAD, person)
            session = await engine.settled(THREAD)
            assert session.claim is not None
            assert (await engine.submit(THREAD, e.ClaimAccepted())).ok
            assert engine.status(THREAD).activity == "complete"

    play(scene)


@pytest.mark.parametrize("fails", [False, True])
def test_callbacks_are_called_after_the_commit(fails: bool) -> None:
    async def scene(goals: MemoryGoals) -> None:
        called: list[CallbackCall] = []

        async def notify(call: CallbackCall) -> None:
            assert goals.events(THREAD, e.ToolCalled)
            called.append(call)
            if fails:
                raise RuntimeError("no mail server")

        machine = goal_machine().extended(on_enter={"complete": "notify"})
        machine = machine.extended(on_enter={"complete": "nobody"})
        engine = goals.process(
            worker(steps(["a", COMPLETE])),
            machine=machine,
            callbacks={"notify": notify},
        )
        async with engine:
            await engine.submit(THREAD, OBJECTIVE)
            await engine.settled(THREAD)
        assert [(call.name, call.status, call.thread_id) for call in called] == [
            ("notify", "complete", THREAD)
        ]
        assert goals.open_effects() == []

    play(scene)


def test_an_overflow_is_compacted_once_where_the_worker_can() -> None:
    async def scene(goals: MemoryGoals) -> None:
        compacted: list[str] = []
        overflow = w.ErrorReported(message="prompt is too long: 250000 tokens > 200000 maximum")

        async def compact(work: w.Work) -> bool:
            compacted.append(work.kind)
            return True

        turns = CallableWorker(steps(["a"], [overflow], ["c", COMPLETE]), compact=compact)
        async with goals.process(turns) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert compacted == ["compact"]
        assert [event.ok for event in goals.events(THREAD, e.CompactionEnded)] == [True]
        assert goals.open_effects() == []

    play(scene)


def test_a_compaction_that_raises_has_failed() -> None:
    async def scene(goals: MemoryGoals) -> None:
        overflow = w.ErrorReported(message="prompt is too long: 250000 tokens > 200000 maximum")

        async def compact(_: w.Work) -> bool:
            raise OSError("gone")

        turns = CallableWorker(steps([overflow]), compact=compact)
        async with goals.process(turns) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
        assert [event.ok for event in goals.events(THREAD, e.CompactionEnded)] == [False]

    play(scene)


def test_no_more_runs_at_once_than_allowed_and_everybody_gets_a_turn() -> None:
    async def scene(goals: MemoryGoals) -> None:
        running = most = 0
        order: list[str] = []

        async def turn(work: w.Work) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            order.append(work.thread_id)
            await asyncio.sleep(1)
            running -= 1
            yield f"{work.thread_id} {work.turn}"
            if work.turn == 3:
                yield COMPLETE

        threads = [f"t{number}" for number in range(6)]
        async with goals.process(worker(turn), max_runs=2) as engine:
            for thread in threads:
                await engine.submit(thread, OBJECTIVE)
            for thread in threads:
                await engine.settled(thread)
        assert most == 2
        # Nobody has a second turn before everybody has had a first.
        assert sorted(order[:6]) == threads
        assert sorted(order[6:12]) == threads

    play(scene)


def test_slots_are_given_in_the_order_of_asking_and_not_twice() -> None:
    given_: list[str] = []
    slots = Slots(2, given_.append)
    for thread in ("a", "b", "c", "d", "c"):
        slots.ask(thread)
    slots.ask("a")
    assert given_ == ["a", "b"]
    assert slots.waiting == 2
    slots.withdraw("c")
    slots.release("b")
    slots.release("unknown")
    assert given_ == ["a", "b", "d"]


def test_a_slot_that_is_given_back_at_once_goes_to_the_next() -> None:
    given_: list[str] = []

    def grant(thread: str) -> None:
        given_.append(thread)
        if thread == "a":
            slots.release("a")

    slots = Slots(1, grant)
    slots.ask("a")
    slots.ask("b")
    assert given_ == ["a", "b"]
    slots.ask("c")
    assert slots.waiting == 1


def test_a_tool_call_from_an_old_run_is_refused_and_recorded() -> None:
    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([100.0]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            call = e.ToolCalled(
                name="update_goal",
                arguments={"status": "complete", "evidence": ["x"]},
                run_token="secret-of-an-old-run",
            )
            reply = await engine.submit(THREAD, call)
            assert (reply.ok, reply.code) == (False, "stale_run")
        assert len(goals.events(THREAD, e.ToolCalled)) == 1

    play(scene)


def test_a_worker_config_that_cannot_be_read_is_told_once() -> None:
    async def scene(goals: MemoryGoals) -> None:
        store = goals.store()
        store.workers.put(THREAD, b"not json")
        async with goals.process({}, store=store) as engine:
            follower = inside(engine).subscriptions.follow(THREAD)
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(20)
            inside(engine).subscriptions.leave(follower)
            told = [type(notice).__name__ async for notice in follower]
            assert told.count("Problem") == 1

    play(scene)
