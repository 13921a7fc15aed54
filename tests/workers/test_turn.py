"""Workers written as one function of a turn, in a real engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

import goalfsm
from goalfsm import Engine
from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.session.state import Session
from goalfsm.store.memory import MemoryStore
from goalfsm.workers import protocol as w
from goalfsm.workers.turn import Turn, TurnWorker
from tests.work import make_work

THREAD = "thread-1"
DONE = {"status": "complete", "evidence": ["the file is there"]}


def play(
    worker: TurnWorker,
    during: Callable[[Engine], Awaitable[None]] | None = None,
    store: MemoryStore | None = None,
) -> tuple[Session, MemoryStore]:
    """Give the worker a goal, and return where the thread stands when it has settled."""
    store = MemoryStore() if store is None else store

    async def main() -> Session:
        async with Engine(store, workers=worker) as engine:
            await engine.submit(THREAD, e.ObjectiveGiven(objective="write the file"))
            if during is not None:
                await during(engine)
            return await engine.settled(THREAD)

    return asyncio.run(main()), store


def status_of(session: Session) -> str:
    assert session.goal is not None
    return session.goal.status


def test_a_function_of_a_turn_completes_a_goal() -> None:
    seen: list[tuple[str, bool]] = []

    @goalfsm.worker
    async def turn(t: Turn) -> None:
        seen.append((t.objective, "write the file" in t.prompt))
        t.text("looked ")
        t.usage(input_tokens=80, cached_tokens=40, output_tokens=20)
        t.tool_end("shell")
        answer = await t.tools.update_goal(**DONE)
        assert answer.ok

    session, _ = play(turn)
    assert status_of(session) == "complete"
    assert session.goal is not None
    assert session.goal.tokens_used == 100
    assert seen == [("write the file", True)]


def test_a_refused_claim_is_an_answer() -> None:
    answers: list[w.ToolResult] = []

    @goalfsm.worker
    async def turn(t: Turn) -> str:
        answers.append(await t.tools.call("update_goal", {"status": "complete"}))
        answers.append(await t.tools.update_goal(**DONE))
        return "done"

    session, _ = play(turn)
    assert status_of(session) == "complete"
    assert [answer.ok for answer in answers] == [False, True]
    assert answers[0].code


def test_what_a_turn_saves_the_next_one_gets() -> None:
    sessions: list[bytes | None] = []

    @goalfsm.worker
    async def turn(t: Turn) -> str:
        sessions.append(t.session)
        t.save(b"conversation 7")
        if t.work.turn == 2:
            await t.tools.update_goal(**DONE)
        return f"turn {t.work.turn}"

    play(turn)
    assert sessions == [None, b"conversation 7"]


def test_what_a_turn_raises_is_classified_as_it_is() -> None:
    @goalfsm.worker
    async def turn(t: Turn) -> None:
        t.text("began")
        raise KeyError("the embedder's own mistake")

    session, _ = play(turn)
    assert status_of(session) == "paused"
    assert session.goal is not None
    assert "KeyError" in session.goal.note


def test_a_message_reaches_a_turn_that_asks_for_messages() -> None:
    taken: list[str] = []
    prompts: list[str] = []
    asking = asyncio.Event()

    @goalfsm.worker
    async def turn(t: Turn) -> str:
        prompts.append(t.prompt)
        if t.work.turn > 1:
            await t.tools.update_goal(**DONE)
            return "done"
        messages = aiter(t.steering)
        asking.set()
        message = await anext(messages)
        taken.append(message.text)
        message.took()
        return "heard it"

    async def steer(engine: Engine) -> None:
        await asking.wait()
        await engine.submit(THREAD, e.SteeringReceived(message_id="m1", text="use tabs"))

    session, _ = play(turn, steer)
    assert status_of(session) == "complete"
    assert ["use tabs" in text for text in taken] == [True]
    assert "use tabs" not in prompts[1]


def test_messages_can_be_looked_at_without_waiting() -> None:
    taken: list[str] = []
    asked, sent = asyncio.Event(), asyncio.Event()

    @goalfsm.worker
    async def turn(t: Turn) -> None:
        assert t.steering.waiting() == []
        asked.set()
        await sent.wait()
        for message in t.steering.waiting():
            taken.append(message.text)
            message.took()
        if t.work.turn > 1 or taken:
            await t.tools.update_goal(**DONE)

    async def steer(engine: Engine) -> None:
        await asked.wait()
        reply = await engine.submit(THREAD, e.SteeringReceived(message_id="m1", text="use tabs"))
        assert reply.ok
        await asyncio.sleep(0)
        sent.set()

    play(turn, steer)
    assert len(taken) <= 1


def test_a_turn_that_does_not_ask_for_messages_is_offered_none() -> None:
    async def main() -> None:
        async def function(t: Turn) -> None:
            started.set()
            await leave.wait()
            t.text("bye")

        started, leave = asyncio.Event(), asyncio.Event()
        worker = TurnWorker(function)
        work = make_work(run_id="r")

        async def collect() -> list[w.TurnEvent]:
            return [event async for event in worker.run(work)]

        running = asyncio.ensure_future(collect())
        await started.wait()
        assert not await worker.steer("r", "m1", "use tabs")
        assert not await worker.steer("another run", "m1", "use tabs")
        assert not await worker.tool_result("r", 1, w.ToolResult(ok=True))
        leave.set()
        events = await running
        assert [type(event).__name__ for event in events] == ["Text", "Exited"]

    asyncio.run(main())


def test_an_aborted_turn_ends_its_function() -> None:
    async def main() -> None:
        ended: list[str] = []

        async def function(t: Turn) -> None:
            started.set()
            try:
                async for message in t.steering:
                    message.took()
            finally:
                ended.append("cleaned up")

        started = asyncio.Event()
        worker = TurnWorker(function)
        work = make_work(run_id="r")

        async def collect() -> list[w.TurnEvent]:
            return [event async for event in worker.run(work)]

        running = asyncio.ensure_future(collect())
        await started.wait()
        assert await worker.abort("r")
        assert ended == ["cleaned up"]
        last = (await running)[-1]
        assert isinstance(last, w.Exited)
        assert last.aborted

    asyncio.run(main())


def test_a_worker_has_to_be_a_function() -> None:
    with pytest.raises(GoalError) as raised:
        goalfsm.worker("turn")  # type: ignore[arg-type]
    assert raised.value.code == "worker_invalid"
