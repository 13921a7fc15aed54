from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from goalfsm.cluster.engine import ClusterEngine
from goalfsm.session import codec
from goalfsm.session.events import GoalQueued, ObjectiveGiven, PauseRequested, ResumeRequested
from goalfsm.session.policy import Policy

if TYPE_CHECKING:
    from tests.cluster.conftest import Turns

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
