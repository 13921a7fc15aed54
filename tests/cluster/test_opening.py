from __future__ import annotations

import asyncio
import contextlib
import gc
import os
from typing import Any

import psutil
import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from goalfsm.cluster import engine as entered
from goalfsm.cluster.engine import ClusterEngine
from goalfsm.cluster.marks import Marks
from goalfsm.cluster.tenure import Tenure
from goalfsm.daemon.config import Processes
from goalfsm.daemon.remote.listener import Listener
from goalfsm.daemon.remote.socket_path import listening
from goalfsm.errors import StoreClosed
from tests.daemon.breaking import Breaks, BrokenError, after, before

pytestmark = pytest.mark.asyncio

BOUND_S = 60.0

STEPS: dict[str, Breaks] = {
    "its address": before(entered, "socket_for"),
    "its parts": before(entered, "Node"),
    "its lease": after(Tenure, "begin"),
    "its supervisor": after(Processes, "supervisor"),
    "its socket": before(Listener, "start"),
    "all of it": after(Listener, "start"),
}
ENDS: dict[str, Breaks] = {
    "its marks": before(Marks, "flush"),
    "its lease": after(Tenure, "release"),
    "its socket": after(Listener, "close"),
    "its supervisor": after(Processes, "close"),
}


@pytest.mark.parametrize("error", [BrokenError, asyncio.CancelledError])
@pytest.mark.parametrize("step", STEPS)
async def test_a_node_that_cannot_begin_leaves_nothing_open(
    dsn: str, step: str, error: type[BaseException]
) -> None:
    engine, before = ClusterEngine(dsn), _open_here(dsn)
    with STEPS[step](error()), pytest.raises(error):
        await asyncio.wait_for(engine.__aenter__(), BOUND_S)
    assert _open_here(dsn) == before
    assert await _open_there(dsn) == (0, 0)
    with pytest.raises(StoreClosed):
        engine.follow("a")
    await asyncio.wait_for(engine.stop(), BOUND_S)


@pytest.mark.parametrize("step", ENDS)
async def test_a_node_closes_all_whatever_a_part_of_it_meets_at_the_end(
    dsn: str, step: str
) -> None:
    engine, before = ClusterEngine(dsn), _open_here(dsn)
    with ENDS[step](BrokenError()), pytest.raises(BrokenError):
        async with engine:
            pass
    await asyncio.wait_for(engine.wait(), BOUND_S)
    assert _open_here(dsn) == before
    connections, _ = await _open_there(dsn)
    assert connections == 0


async def test_a_node_ends_all_that_misses_its_word_while_it_waits_for_a_connection(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12 the pool may return a connection in place of being cancelled."""
    gate, engine, before = asyncio.Event(), ClusterEngine(dsn), _open_here(dsn)
    waiting: list[object] = []
    getconn = AsyncConnectionPool.getconn

    async def deaf(pool: AsyncConnectionPool[Any], timeout: float | None = None) -> object:  # noqa: ASYNC109  the pool's own
        waiting.append(pool)
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()
        return await getconn(pool, timeout)

    async with engine:
        monkeypatch.setattr(AsyncConnectionPool, "getconn", deaf)
        duty = engine._node.duty
        while len(waiting) < 3:  # noqa: ASYNC110  two that take jobs, and the sweep
            await asyncio.sleep(0)
        ending = asyncio.ensure_future(engine.stop(0))
        while not all(task.cancelling() for task in duty.serving):  # noqa: ASYNC110
            await asyncio.sleep(0)
        gate.set()
        await asyncio.wait_for(ending, BOUND_S)
    assert _open_here(dsn) == before
    assert await _open_there(dsn) == (0, 0)


def _open_here(dsn: str) -> tuple[set[Any], set[int], list[Any]]:
    """Return the tasks, the child processes and the sockets of this process."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    children = {child.pid for child in psutil.Process().children()}
    return tasks, children, listening(f"{dsn}#{os.getpid()}")


async def _open_there(dsn: str) -> tuple[int, int]:
    """Return how many connections and nodes the server knows, when those have gone that are."""
    sql = """SELECT (SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'), (SELECT count(*) FROM goalfsm.node)"""
    with psycopg.connect(dsn, autocommit=True) as connection:
        async with asyncio.timeout(BOUND_S):
            while True:
                # The driver leaves a connection that was being made to the collector.
                gc.collect()
                row = connection.execute(sql).fetchone()
                assert row is not None
                if row[0] == 0:
                    return row
                await asyncio.sleep(0.01)
