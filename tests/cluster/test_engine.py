from __future__ import annotations

import asyncio
import time
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING
from unittest import mock

import psycopg
import pytest

from goalfsm.cluster import host
from goalfsm.cluster import turns as stage
from goalfsm.cluster.engine import ClusterEngine
from goalfsm.cluster.jobs import turn_job
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.daemon.flow.replay import replay
from goalfsm.goal.model import Verifier
from goalfsm.session import codec
from goalfsm.session.events import (
    ClearRequested,
    EditRequested,
    GoalQueued,
    ObjectiveGiven,
    PauseRequested,
    ResumeRequested,
    SteeringReceived,
    TimerFired,
)
from goalfsm.session.events import WaitDeclared as Waiting
from goalfsm.session.policy import Policy
from goalfsm.session.state import RULES_VERSION
from goalfsm.store.address import Server
from goalfsm.store.postgres import open_store
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import ToolCalled, WaitDeclared
from tests.cluster.conftest import Turns
from tests.daemon.faults import Fault, faulty, is_a
from tests.daemon.scenes import OBJECTIVE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from goalfsm.workers import protocol as w

pytestmark = pytest.mark.asyncio

FREE = Policy(no_progress=0)
BOUND_S = 60.0


async def test_a_goal_is_worked_on_until_it_is_complete(dsn: str, turns: Turns) -> None:
    async with ClusterEngine(dsn, workers=turns.worker(), policy=FREE) as engine:
        reply = await engine.submit("a", ObjectiveGiven(objective="do it"))
        assert reply.ok
        session = await asyncio.wait_for(engine.settled("a"), BOUND_S)
    assert session.goal is not None
    assert (session.goal.status, session.goal.tokens_used) == ("complete", 20 * 15)
    assert [turn for _, turn, _ in turns.seen] == list(range(1, 21))


async def test_it_goes_on_to_a_queued_goal_once(dsn: str, turns: Turns) -> None:
    policy = Policy(no_progress=0, advance=True)
    async with ClusterEngine(dsn, workers=turns.worker(), policy=policy) as engine:
        await engine.submit("a", GoalQueued(objective="the next"))
        await engine.submit("a", ObjectiveGiven(objective="the first"))
        session = await asyncio.wait_for(engine.settled("a"), BOUND_S)
    assert session.goal is not None
    assert (session.goal.objective, session.goal.status) == ("the next", "complete")
    assert session.queue == ()


async def test_the_fence_of_a_later_turn_is_larger(dsn: str, turns: Turns) -> None:
    async with ClusterEngine(dsn, workers=turns.worker(), policy=FREE) as engine:
        await engine.submit("a", ObjectiveGiven(objective="do it"))
        await asyncio.wait_for(engine.settled("a"), BOUND_S)
    fences = [fence for _, _, fence in turns.seen]
    assert fences == sorted(set(fences))
    assert fences[0] > 0


async def test_an_event_that_is_sent_again_is_decided_once(dsn: str) -> None:
    async with ClusterEngine(dsn) as engine:
        given = ObjectiveGiven(objective="do it")
        first = await engine.submit("a", given, "once")
        again = await engine.submit("a", given, "once")
        other = await engine.submit("a", given, "twice")
    assert first == again
    assert first.ok
    assert other.code == "goal_exists"


async def test_what_is_refused_begins_no_thread(dsn: str) -> None:
    async with ClusterEngine(dsn) as engine:
        assert not (await engine.submit("a", PauseRequested())).ok
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM goalfsm.session").fetchone() == (0,)


async def test_an_embedder_is_told_of_the_faults_that_hold_a_thread(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, Exception]] = []

    def note(thread_id: str, error: Exception) -> None:
        told.append((thread_id, error))

    async with ClusterEngine(dsn, policy=FREE, places=["elsewhere"], on_fault=note) as engine:
        await engine.submit("a", OBJECTIVE)
        with faulty(monkeypatch, is_a(EditRequested, PauseRequested)):
            for event in (EditRequested(objective="x"), PauseRequested()):
                with pytest.raises(Fault):
                    await engine.submit("a", event)
        assert [(thread_id, type(error)) for thread_id, error in told] == [("a", Fault)]


async def test_a_paused_goal_goes_on_at_another_node(dsn: str, turns: Turns) -> None:
    """Nobody serves its place while it is resumed: the next node takes the turn that waits."""
    async with ClusterEngine(dsn, policy=FREE, places=["elsewhere"]) as engine:
        await engine.submit("a", ObjectiveGiven(objective="do it"))
        await engine.submit("a", PauseRequested())
        await engine.submit("a", ResumeRequested())
    async with ClusterEngine(dsn, workers=turns.worker(), policy=FREE) as engine:
        session = await asyncio.wait_for(engine.settled("a"), BOUND_S)
    assert session.goal is not None
    assert session.goal.status == "complete"


async def test_the_journal_decided_again_gives_the_snapshot(dsn: str, turns: Turns) -> None:
    async with ClusterEngine(dsn, workers=turns.worker(), policy=FREE) as engine:
        await engine.submit("a", ObjectiveGiven(objective="do it"))
        await asyncio.wait_for(engine.settled("a"), BOUND_S)
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT s.state, j.digest, s.revision, j.revision FROM goalfsm.session s"
            " JOIN goalfsm.journal j USING (thread_id) ORDER BY j.revision DESC LIMIT 1"
        ).fetchone()
    assert row is not None
    state, digest, revision, newest = row
    assert codec.digest(state) == digest
    assert revision == newest


async def test_a_node_of_new_rules_says_once_from_where_they_decide(dsn: str) -> None:
    """Of what an earlier version has decided nothing can be said, of all that follows it can."""
    async with ClusterEngine(dsn, policy=FREE, places=["elsewhere"]) as engine:
        await engine.submit("a", ObjectiveGiven(objective="do it"))
    with psycopg.connect(dsn) as connection:
        older = (RULES_VERSION - 1,)
        connection.execute("UPDATE goalfsm.journal SET rules_version = %s, digest = '0'", older)
        connection.execute("UPDATE goalfsm.session SET rules_version = %s", older)
    async with ClusterEngine(dsn, policy=FREE, places=["elsewhere"]) as engine:
        await engine.submit("a", PauseRequested())
        await engine.submit("a", ResumeRequested())
    with closing(open_store(Server(dsn))) as store:
        rows = [row for row in store.journal.read("a") if row.rules_version == RULES_VERSION]
        found = replay(store, "a")
    told = [type(codec.decode_event(row.event)).__name__ for row in rows]
    assert told.count("RulesChanged") == 1
    assert told[0] == "RulesChanged"
    assert (found.rows, found.ok, found.skipped) == (len(rows), True, False)


async def test_a_thread_is_settled_as_it_stands_when_nothing_is_open(
    dsn: str, turns: Turns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not as it stood before its verifier's verdict, which came between the two looks."""
    looked = asyncio.Event()

    async def check(*_: object) -> bool:
        await looked.wait()
        return True

    turns.last = 1
    async with ClusterEngine(
        dsn, workers=turns.worker(), verifiers={"check": check}, policy=FREE
    ) as engine:
        is_open = engine._is_open

        async def later(thread_id: str) -> bool:
            looked.set()
            while (session := await engine.session(thread_id)).goal is not None:
                if session.goal.status == "complete":
                    break
            return await is_open(thread_id)

        monkeypatch.setattr(engine, "_is_open", later)
        verifier = Verifier(kind="callable", name="check")
        await engine.submit("a", ObjectiveGiven(objective="do it", verifiers=(verifier,)))
        session = await asyncio.wait_for(engine.settled("a"), BOUND_S)
    assert session.goal is not None
    assert session.goal.status == "complete"


async def test_a_turn_that_is_wished_for_while_another_ends_begins(dsn: str) -> None:
    """The job may come before the turn that it follows is over here; there is no other job."""
    gate, began, turns = asyncio.Event(), asyncio.Event(), Turns(2)

    async def turn(work: w.Work) -> AsyncIterator[w.TurnEvent | str]:
        began.set()
        await gate.wait()
        async for event in turns.turn(work):
            yield event

    async def lost(*_: object) -> None:
        return None

    with mock.patch.object(stage, "IN_A_ROW", 0):
        async with ClusterEngine(dsn, workers=CallableWorker(turn), policy=FREE) as engine:
            await engine.submit("a", ObjectiveGiven(objective="do it"))
            await asyncio.wait_for(began.wait(), BOUND_S)
            with mock.patch.object(ProcrastinateJobs, "enqueue", lost):
                await engine._node.turns.do(turn_job("a", "any"))
                gate.set()
                session = await asyncio.wait_for(engine.settled("a"), BOUND_S)
    assert session.goal is not None
    assert session.goal.status == "complete"


class Listening:
    """A worker whose turn goes on until it is ended, and that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.ended = asyncio.Event()

    async def turn(self, work: w.Work) -> AsyncIterator[str]:
        try:
            yield work.run_id
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        del run_id, text
        self.told.append(message_id)
        return True

    def worker(self) -> CallableWorker:
        return CallableWorker(self.turn, steer=self.steer)


async def running(engine: ClusterEngine) -> None:
    """Wait for a turn to begin; the node tells nobody."""
    async with asyncio.timeout(BOUND_S):
        while (await engine.session("a")).run is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_every_message_at_one_node_reaches_the_turn_at_another(dsn: str) -> None:
    """The node that has no run leaves what is to be done to it to the one that has."""
    listening = Listening()
    async with ClusterEngine(dsn, workers=listening.worker(), policy=FREE, grace_s=0) as one:
        await one.submit("a", ObjectiveGiven(objective="do it"))
        await running(one)
        async with ClusterEngine(dsn, places=["none"], name="two") as two:
            for number in range(8):
                told = SteeringReceived(message_id=f"m{number}", text="be quick")
                assert (await two.submit("a", told)).ok
                async with asyncio.timeout(BOUND_S):
                    while len(listening.told) <= number:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
    assert listening.told == [f"m{number}" for number in range(8)]


async def test_what_is_cleared_at_one_node_ends_at_another(dsn: str) -> None:
    listening = Listening()
    async with ClusterEngine(dsn, workers=listening.worker(), policy=FREE, grace_s=0) as one:
        await one.submit("a", ObjectiveGiven(objective="do it"))
        await running(one)
        async with ClusterEngine(dsn, places=["none"], name="two") as two:
            assert (await two.submit("a", ClearRequested())).ok
            await asyncio.wait_for(listening.ended.wait(), BOUND_S)
            session = await asyncio.wait_for(two.settled("a"), BOUND_S)
    assert session.goal is None
    assert session.run is None


async def test_a_verifier_that_a_node_leaves_when_it_stops_is_run_by_the_next(dsn: str) -> None:
    begun = asyncio.Event()
    check = Verifier(kind="callable", name="check")

    async def stands_still(*_: object) -> bool:
        begun.set()
        await asyncio.Event().wait()
        return True

    async def turn(work: w.Work) -> AsyncIterator[w.TurnEvent]:
        arguments = {"status": "complete", "evidence": [{"text": work.run_id}]}
        yield ToolCalled(id=1, name="update_goal", arguments=arguments)

    worker = CallableWorker(turn)
    async with ClusterEngine(dsn, workers=worker, verifiers={"check": stands_still}) as one:
        await one.submit("a", ObjectiveGiven(objective="do it", verifiers=(check,)))
        await asyncio.wait_for(begun.wait(), BOUND_S)
        await one.stop(0)
    async with ClusterEngine(dsn, workers=worker, verifiers={"check": lambda *_: True}) as two:
        session = await asyncio.wait_for(two.settled("a"), BOUND_S)
    assert session.goal is not None
    assert session.goal.status == "complete"


async def test_times_are_the_databases_whatever_the_clock_of_a_node_shows(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour_ns = 3_600 * 10**9
    wrong = SimpleNamespace(time_ns=lambda: time.time_ns() + hour_ns, time=time.time)
    monkeypatch.setattr(host, "time", wrong)

    async def turn(work: w.Work) -> AsyncIterator[w.TurnEvent]:
        arguments = {"status": "complete", "evidence": [{"text": work.run_id}]}
        claim = ToolCalled(id=1, name="update_goal", arguments=arguments)
        yield WaitDeclared(for_="timer", seconds=1.5) if work.turn == 1 else claim

    began_ms = time.time_ns() // 1_000_000
    async with ClusterEngine(dsn, workers=CallableWorker(turn), policy=FREE) as engine:
        await engine.submit("a", ObjectiveGiven(objective="do it"))
        session = await asyncio.wait_for(engine.settled("a"), BOUND_S)
    assert session.goal is not None
    assert session.goal.status == "complete"
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT at_ms, event FROM goalfsm.journal ORDER BY revision")
        found = [(at_ms, codec.decode_event(event)) for at_ms, event in rows]
    assert all(began_ms - 1 <= at_ms <= time.time_ns() // 1_000_000 for at_ms, _ in found)
    (asked,) = [event.until_ms for _, event in found if isinstance(event, Waiting)]
    (fired,) = [at_ms for at_ms, event in found if isinstance(event, TimerFired)]
    assert asked is not None
    assert asked <= fired


async def test_a_turn_whose_lease_is_lost_goes_on_at_the_next_node(dsn: str, turns: Turns) -> None:
    """Its node may not have known: the run is recorded as interrupted, and nothing twice."""
    listening = Listening()
    one = ClusterEngine(dsn, workers=listening.worker(), policy=FREE, grace_s=0)
    async with one:
        await one.submit("a", ObjectiveGiven(objective="do it"))
        await running(one)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("UPDATE goalfsm.node SET seen_ms = 0")
        await asyncio.wait_for(listening.ended.wait(), BOUND_S)
        await one.stop(0)
    async with ClusterEngine(dsn, workers=turns.worker(), policy=FREE) as two:
        session = await asyncio.wait_for(two.settled("a"), BOUND_S)
    assert session.goal is not None
    assert session.goal.status == "complete"
    assert [turn for _, turn, _ in turns.seen] == list(range(turns.seen[0][1], 21))


async def test_a_node_listens_again_where_its_socket_was_taken_away(dsn: str) -> None:
    """What a turn claims by it would reach nobody, and the turns would go on."""
    async with ClusterEngine(dsn) as engine:
        server = engine._node.server
        assert server is not None
        server.place.unlink()
        async with asyncio.timeout(BOUND_S):
            while not server.place.exists():  # noqa: ASYNC110  a look comes with each renewal
                await asyncio.sleep(0.01)
    assert not server.place.exists()
