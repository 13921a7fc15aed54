"""Whoever asks is told of a fault: by an answer, in the inbox, on the socket, by doctor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goalfsm.cli.health_of_file import examine
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.remote import client, offline
from goalfsm.errors import GoalError
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import MemoryGoals
from goalfsm.workers import protocol as w
from tests.daemon.faults import OTHER, Fault, faulty, is_a, journal
from tests.daemon.scenes import COMPLETE, OBJECTIVE, THREAD, inside, play, steps, worker


def test_who_asks_is_told_of_a_fault_and_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was written: it was a wish, and nobody waits for it but the asker."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([5.0, COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            with faulty(monkeypatch, is_a(e.EditRequested)):
                with pytest.raises(Fault):
                    await engine.submit(THREAD, e.EditRequested(objective="x"))
                session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert goals.events(THREAD, e.DecisionFailed) == []

    play(scene)


@pytest.mark.parametrize("stop", [e.PauseRequested(), e.ClearRequested()])
def test_a_stop_that_meets_a_fault_stops_all_the_same(
    stop: e.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running turn ends and none follows until a person says so."""

    async def scene(goals: MemoryGoals) -> None:
        async with goals.process(worker(steps([50.0, "a"]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            with faulty(monkeypatch, is_a(type(stop))):
                reply = await engine.submit(THREAD, stop)
                assert (reply.ok, reply.code) == (True, "suspended")
                await asyncio.sleep(300)
            assert len(goals.events(THREAD, e.RunDispatched)) == 1
            assert THREAD not in inside(engine).runs
            session = engine.session(THREAD)
            assert session.goal is not None
            assert session.goal.status == "paused"
            assert len(goals.events(THREAD, e.DecisionFailed)) == 1
            await engine.submit(THREAD, e.ResumeRequested())
            await asyncio.sleep(1)
            assert len(goals.events(THREAD, e.RunDispatched)) == 2

    play(scene)


def test_an_embedder_is_told_of_the_faults_that_hold_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a wish the asker is told, by what is raised there; a stop is answered all the same."""
    told: list[tuple[str, Exception]] = []

    async def scene(goals: MemoryGoals) -> None:
        options = {"on_fault": lambda thread, error: told.append((thread, error))}
        async with goals.process(worker(steps([50.0, "a"])), **options) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            with faulty(monkeypatch, is_a(e.EditRequested, e.PauseRequested)):
                with pytest.raises(Fault):
                    await engine.submit(THREAD, e.EditRequested(objective="x"))
                assert told == []
                await engine.submit(THREAD, e.PauseRequested())
            assert [(thread, type(error)) for thread, error in told] == [(THREAD, Fault)]

    play(scene)


def test_an_inbox_row_that_meets_a_fault_is_consumed_once_with_an_answer(
    stores: Callable[[MemoryGoals], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was recorded for its sender, so it is kept in the journal, and its sender is told."""

    async def scene(goals: MemoryGoals) -> None:
        store = stores(goals)
        event = codec.encode_event(e.EditRequested(objective="other words"))
        async with goals.process(worker(steps([5.0, "a"])), store=store, serve=False) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            with faulty(monkeypatch, is_a(e.EditRequested)) as met:
                store.inbox.put("row-1", THREAD, at_ms=1, event=event)
                await asyncio.sleep(60)
            assert len(met) == 1
            assert store.inbox.pending() == ()
            answer = store.inbox.answer("row-1")
            assert answer is not None
            assert answer.reply is not None
            reply = codec.decode_reply(answer.reply)
            assert (reply.ok, reply.code) == (False, "internal_error")
            (kept,) = journal(store, e.DecisionFailed)
            assert kept.event["objective"] == "other words"
            session = engine.session(THREAD)
            assert session.goal is not None
            assert session.goal.status == "paused"
        store.close()

    play(scene)


def test_a_tool_call_that_meets_a_fault_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(goals: MemoryGoals) -> None:
        heard: list[Any] = []
        turn = worker(steps([COMPLETE, 5.0]), heard=heard)
        async with goals.process(turn) as engine:
            with faulty(monkeypatch, is_a(e.ToolCalled)):
                await engine.submit(THREAD, OBJECTIVE)
                await engine.settled(THREAD)
            results = [what[2] for what in heard if isinstance(what[-1], w.ToolResult)]
            assert [(r.ok, r.code) for r in results] == [(False, "internal_error")]

    play(scene)


def test_without_an_engine_a_row_that_meets_a_fault_keeps_nobody_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The command that comes after it is decided; the row is consumed with its answer."""
    store = MemoryStore()
    assert not isinstance(offline.apply(store, THREAD, OBJECTIVE, "one"), GoalError)
    event = codec.encode_event(e.EditRequested(objective="other words"))
    store.inbox.put("row-1", THREAD, at_ms=1, event=event)
    store.inbox.put("row-2", THREAD, at_ms=1, event=b'{"type":"FromTheFuture"}')
    with faulty(monkeypatch, is_a(e.EditRequested)):
        said = e.SteeringReceived(message_id="m", text="and so on")
        reply: Any = offline.apply(store, THREAD, said, "two")
    assert reply.ok
    answer = store.inbox.answer("row-1")
    assert answer is not None
    assert answer.reply is not None
    assert codec.decode_reply(answer.reply).code == "internal_error"
    assert [row.inbox_id for row in store.inbox.pending()] == ["row-2"]


def test_over_the_socket_a_fault_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks must not take it for silence, and leave the same event in the inbox."""

    async def scene() -> None:
        path = tmp_path / "goals.db"
        store = SqliteStore.open(path)
        async with Engine(store, workers={}) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            with faulty(monkeypatch, is_a(e.EditRequested)), pytest.raises(GoalError) as caught:
                await asyncio.to_thread(
                    client.request, path, THREAD, e.EditRequested(objective="x"), "edit"
                )
            assert caught.value.code == "internal_error"
            assert "explain" in caught.value.hint
            assert store.inbox.pending() == ()
        store.close()

    asyncio.run(scene())


def findings(store: Store) -> list[tuple[bool, str]]:
    return [(f.ok, f.found) for f in examine(store, 1) if f.check == "faults"]


def test_doctor_tells_of_threads_that_a_fault_has_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until somebody has resumed them."""

    async def scene(goals: MemoryGoals) -> None:
        store = goals.store()
        async with goals.process(worker(steps(["a"], [COMPLETE])), store=store) as engine:
            with faulty(monkeypatch, is_a(e.RunFinished)):
                await engine.submit(THREAD, OBJECTIVE)
                await engine.settled(THREAD)
            why = f"thread {THREAD}: RunFinished could not be decided: Fault: no such rule"
            assert findings(store) == [(False, why)]
            await engine.submit(THREAD, e.ResumeRequested())
            await engine.settled(THREAD)
            assert findings(store) == [(True, "every event could be decided")]

    play(scene, within="600s")


def test_doctor_tells_of_inbox_rows_that_nobody_can_decide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One of a later version, and one that meets a fault; what can be decided is no finding."""
    store = MemoryStore()
    offline.apply(store, THREAD, OBJECTIVE, "one")
    for name, event in (
        ("fine", codec.encode_event(e.PauseRequested())),
        ("later", b'{"type":"FromTheFuture"}'),
        ("broken", codec.encode_event(e.EditRequested(objective="x"))),
    ):
        store.inbox.put(name, THREAD, at_ms=1, event=event)
    with faulty(monkeypatch, is_a(e.EditRequested)):
        found = findings(store)
    assert [ok for ok, _ in found] == [False, False]
    assert found[0][1].startswith("inbox row later: CodecError")
    assert found[1][1] == "inbox row broken: Fault: no such rule"


def test_doctor_passes_threads_that_wait_for_something_else() -> None:
    """A pause of a person's, a wait, a thread without a goal."""
    store = MemoryStore()
    offline.apply(store, THREAD, OBJECTIVE, "one")
    offline.apply(store, THREAD, e.PauseRequested(), "two")
    offline.apply(store, OTHER, OBJECTIVE, "three")
    offline.apply(store, "cleared", OBJECTIVE, "four")
    offline.apply(store, "cleared", e.ClearRequested(), "five")
    assert findings(store) == [(True, "every event could be decided")]
