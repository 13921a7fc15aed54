"""An exception that nobody expects: its thread stops and says so, the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from goalfsm import events as e
from goalfsm.cli.health import examine
from goalfsm.daemon import actor as actors
from goalfsm.daemon import client, doing, faults, offline, replaying
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.notices import Problem
from goalfsm.daemon.replaying import replay
from goalfsm.errors import GoalError
from goalfsm.explain import explain
from goalfsm.session import codec
from goalfsm.session.handle import handle
from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers import protocol as w
from tests.daemon.stage import COMPLETE, OBJECTIVE, THREAD, Stage, play, steps, usage, worker

OTHER = "other"
LOOK = w.ToolCalled(id=1, name="get_goal")
Faulty = Callable[[Any, e.Event], bool]


class Fault(Exception):
    """What a rule with a defect raises."""


@contextmanager
def faulty(monkeypatch: pytest.MonkeyPatch, when: Faulty) -> Iterator[list[e.Event]]:
    """Have ``handle`` raise for some events of `THREAD`; yield what it was asked about."""
    met: list[e.Event] = []

    def raising(session: Any, event: e.Event, context: Any) -> Any:
        mine = session.goal is None or session.goal.objective == OBJECTIVE.objective
        if mine and when(session, event):
            met.append(event)
            raise Fault("no such rule")
        return handle(session, event, context)

    with monkeypatch.context() as patched:
        patched.setattr(actors, "handle", raising)
        patched.setattr(offline, "handle", raising)
        patched.setattr(replaying, "handle", raising)
        yield met


def is_a(*kinds: type) -> Faulty:
    return lambda _session, event: isinstance(event, kinds)


@pytest.fixture(params=["memory", "file"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Stage], Store]:
    """Return what opens one more handle on the same data."""

    def opened(stage: Stage) -> Store:
        if request.param == "memory":
            return stage.store()
        dead = stage.dead
        path = tmp_path / "goals.db"
        store = SqliteStore.open(path, is_alive=lambda who: who.pid not in dead)
        # Virtual time knows no threads: checkpoints are made between commits.
        store.checkpointer = lambda: None  # type: ignore[method-assign]
        return store

    return opened


def journal(store: Store, *kinds: type, thread_id: str = THREAD) -> list[Any]:
    rows = [codec.decode_event(row.event) for row in store.journal.read(thread_id)]
    return [event for event in rows if isinstance(event, kinds)]


INTERNAL = {
    "the end of a turn": is_a(e.TurnEnded),
    "the end of a run": is_a(e.RunFinished),
    "usage": is_a(e.UsageReported),
    "a tool call": is_a(e.ToolCalled),
    "a dispatch": is_a(e.RunDispatched),
    "idleness after a turn": lambda session, event: (
        isinstance(event, e.HostChanged) and event.idle is True and session.run is None
    ),
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
    what: str, stores: Callable[[Stage], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The goal is paused, with what happened; the turn is over; a person takes it up again."""

    async def scene(stage: Stage) -> None:
        store = stores(stage)
        turns = {
            THREAD: worker(steps([usage(3, "k"), 1.0, "a", LOOK], [COMPLETE])),
            OTHER: worker(steps([2.0, "b"], [COMPLETE])),
        }
        async with stage.engine(turns, store=store, serve=False) as engine:
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
            if what != "idleness after a turn":
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
            # Bounded: what was asked once is asked once, and never again by itself.
            assert len(met) <= 3
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
    """Nothing is tried again by itself; the next engine may do better."""

    async def scene(stage: Stage) -> None:
        every = is_a(e.TurnEnded, e.DecisionFailed, e.RunInterrupted)
        engine = await stage.engine(worker(steps(["a", COMPLETE]))).__aenter__()
        with faulty(monkeypatch, every) as met:
            told = []
            await engine.submit(THREAD, OBJECTIVE)
            async with asyncio.timeout(3_600):
                async for notice in engine.follow(THREAD):
                    told.append(notice)
                    if isinstance(notice, Problem) and "RunInterrupted" in notice.message:
                        break
            await asyncio.sleep(300)
            assert engine.actor(THREAD).halted
            assert len(met) <= 6
            dispatched = len(stage.events(e.RunDispatched))
            assert dispatched == 1
        await stage.crash(engine)
        async with stage.engine(worker(steps([COMPLETE]))) as second:
            session = await second.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert len(stage.events(e.RunInterrupted)) == 1

    play(scene)


def test_two_faults_in_a_row_leave_no_run_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of the turn meets one, and what is recorded in its place another."""

    async def scene(stage: Stage) -> None:
        kinds: list[type] = [e.TurnEnded, e.RunInterrupted]

        def when(_session: Any, event: e.Event) -> bool:
            return bool(kinds) and isinstance(event, kinds[0]) and bool(kinds.pop(0))

        async with stage.engine(worker(steps(["a"], [COMPLETE]))) as engine:
            with faulty(monkeypatch, when) as met:
                await engine.submit(THREAD, OBJECTIVE)
                await asyncio.sleep(10)
            assert [type(event) for event in met] == [e.TurnEnded, e.RunInterrupted]
            session = engine.session(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.run, session.host.idle) == ("paused", None, True)
            assert len(stage.events(e.DecisionFailed)) == 2

    play(scene, within=600)


def test_one_thread_that_meets_a_fault_at_a_start_does_not_keep_the_others(
    stores: Callable[[Stage], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stops with its run closed; all others are taken over."""

    async def scene(stage: Stage) -> None:
        first_store = stores(stage)
        first = await stage.engine(
            worker(steps([500.0])), store=first_store, serve=False
        ).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.submit(OTHER, e.ObjectiveGiven(objective="something else"))
        await asyncio.sleep(1)
        await stage.crash(first)
        first_store.close()
        store = stores(stage)
        with faulty(monkeypatch, is_a(e.EngineStarted)) as met:
            async with stage.engine(worker(steps([COMPLETE])), store=store, serve=False) as second:
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


def test_who_asks_is_told_of_a_fault_and_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was written: it was a wish, and nobody waits for it but the asker."""

    async def scene(stage: Stage) -> None:
        async with stage.engine(worker(steps([5.0, COMPLETE]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            with faulty(monkeypatch, is_a(e.EditRequested)):
                with pytest.raises(Fault):
                    await engine.submit(THREAD, e.EditRequested(objective="x"))
                session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"
        assert stage.events(e.DecisionFailed) == []

    play(scene)


@pytest.mark.parametrize("stop", [e.PauseRequested(), e.ClearRequested()])
def test_a_stop_that_meets_a_fault_stops_all_the_same(
    stop: e.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running turn ends and none follows until a person says so."""

    async def scene(stage: Stage) -> None:
        async with stage.engine(worker(steps([50.0, "a"]))) as engine:
            await engine.submit(THREAD, OBJECTIVE)
            await asyncio.sleep(1)
            with faulty(monkeypatch, is_a(type(stop))):
                reply = await engine.submit(THREAD, stop)
                assert (reply.ok, reply.code) == (True, "suspended")
                await asyncio.sleep(300)
            assert len(stage.events(e.RunDispatched)) == 1
            assert engine.live(THREAD) is None
            session = engine.session(THREAD)
            assert session.goal is not None
            assert session.goal.status == "paused"
            assert len(stage.events(e.DecisionFailed)) == 1
            await engine.submit(THREAD, e.ResumeRequested())
            await asyncio.sleep(1)
            assert len(stage.events(e.RunDispatched)) == 2

    play(scene)


def test_an_inbox_row_that_meets_a_fault_is_consumed_once_with_an_answer(
    stores: Callable[[Stage], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was recorded for its sender, so it is kept in the journal, and its sender is told."""

    async def scene(stage: Stage) -> None:
        store = stores(stage)
        event = codec.encode_event(e.EditRequested(objective="other words"))
        async with stage.engine(worker(steps([5.0, "a"])), store=store, serve=False) as engine:
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


def test_a_prompt_that_cannot_be_made_starts_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dispatch was committed, so its run is closed; the thread does not hang in it."""

    async def scene(stage: Stage) -> None:
        def broken(*_: Any) -> str:
            raise Fault("no template")

        async with stage.engine(worker(steps([COMPLETE]))) as engine:
            with monkeypatch.context() as patched:
                patched.setattr(doing, "render_turn", broken)
                await engine.submit(THREAD, OBJECTIVE)
                session = await engine.settled(THREAD)
                assert session.goal is not None
                assert (session.goal.status, session.run) == ("paused", None)
                assert engine.live_runs() == []
            await engine.submit(THREAD, e.ResumeRequested())
            session = await engine.settled(THREAD)
            assert session.goal is not None
            assert session.goal.status == "complete"

    play(scene)


def test_a_tool_call_that_meets_a_fault_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Stage) -> None:
        heard: list[Any] = []
        turn = worker(steps([COMPLETE, 5.0]), heard=heard)
        async with stage.engine(turn) as engine:
            with faulty(monkeypatch, is_a(e.ToolCalled)):
                await engine.submit(THREAD, OBJECTIVE)
                await engine.settled(THREAD)
            results = [what[2] for what in heard if isinstance(what[-1], w.ToolResult)]
            assert [(r.ok, r.code) for r in results] == [(False, "internal_error")]

    play(scene)


def test_an_engine_stops_although_it_cannot_tell_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(stage: Stage) -> None:
        engine = await stage.engine(worker(steps([500.0]))).__aenter__()
        await engine.submit(THREAD, OBJECTIVE)
        with faulty(monkeypatch, is_a(e.ShutdownStarted)):
            await engine.stop(1.0)
        assert engine.over.is_set()
        assert stage.disk.owner is None

    play(scene)


@pytest.mark.parametrize("status", ["active", "paused"])
def test_a_thread_that_cannot_be_read_is_left_alone(status: str) -> None:
    """Others are worked on, its timers wake nobody up, and whoever asks for it is told."""

    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await first.submit(OTHER, e.ObjectiveGiven(objective="something else"))
        await stage.crash(first)
        stage.disk.sessions[THREAD] = msgspec.structs.replace(
            stage.disk.sessions[THREAD],
            state=b"{",
            status=status,
            wake_at_ms=stage.clock.wall_ms() + 5_000,
        )
        with capture_logs() as logs:
            async with stage.engine(worker(steps([20.0, COMPLETE]))) as second:
                session = await second.settled(OTHER)
                assert session.goal is not None
                assert session.goal.status == "complete"
                stage.clock.skew_ms += 3_600_000
                await asyncio.sleep(10)
                with pytest.raises(codec.CodecError):
                    await second.submit(THREAD, e.PauseRequested())
        assert [line["event"] for line in logs].count("thread cannot be read") == 1

    play(scene)


def test_an_effect_that_cannot_be_read_stops_its_thread() -> None:
    async def scene(stage: Stage) -> None:
        first = await stage.engine({}).__aenter__()
        await first.submit(THREAD, OBJECTIVE)
        await stage.crash(first)
        for key, row in list(stage.disk.open_effects.items()):
            stage.disk.open_effects[key] = msgspec.structs.replace(row, payload=b"{")
        async with stage.engine(worker(steps([COMPLETE]))) as second:
            await asyncio.sleep(10)
            session = second.session(THREAD)
            assert session.goal is not None
            assert (session.goal.status, session.goal.pause_reason) == ("paused", "recovery")
        assert stage.events(e.RunDispatched) == []

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

    async def scene(stage: Stage) -> None:
        store = stage.store()
        async with stage.engine(worker(steps(["a"], [COMPLETE])), store=store) as engine:
            with faulty(monkeypatch, is_a(e.TurnEnded)):
                await engine.submit(THREAD, OBJECTIVE)
                await engine.settled(THREAD)
            why = f"thread {THREAD}: TurnEnded could not be decided: Fault: no such rule"
            assert findings(store) == [(False, why)]
            await engine.submit(THREAD, e.ResumeRequested())
            await engine.settled(THREAD)
            assert findings(store) == [(True, "every event could be decided")]

    play(scene, within=600)


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
