"""What a transaction reads under the lock of its thread."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from goalfsm.cluster.postgres_tx import Connection, PostgresTransactions, pool_of
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.cluster.tx import Loaded

pytestmark = pytest.mark.asyncio
BOUND_S = 30.0
NODE = (
    "INSERT INTO goalfsm.node (node_id, name, host, pid, address, since_ms, seen_ms, places,"
    " max_runs, rules_version, version) SELECT 'two', 'two', 'h', 1, '', now, now, '{any}', 1, 1,"
    " '' FROM (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now) t"
)
SESSION = (
    "INSERT INTO goalfsm.session (thread_id, revision, status, updated_at_ms, rules_version, turn,"
    " state) VALUES ('a', 1, 'active', 1, 1, true, 'one')"
)
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


async def test_who_waited_for_the_lock_sees_all_that_was_committed_meanwhile(dsn: str) -> None:
    """The row, and the node and the program that belong to it: none of them as it was before."""
    async with pool_of(dsn, most=2) as pool:
        connection = Connection(pool)
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))

        async def load() -> Loaded:
            async with transactions.begin() as tx:
                return await tx.load("a")

        with psycopg.connect(dsn) as other, psycopg.connect(dsn, autocommit=True) as looking:
            looking.execute(SESSION)
            looking.execute("INSERT INTO goalfsm.worker VALUES ('a', 'any', '')")
            before = await load()
            other.execute("SELECT 1 FROM goalfsm.session WHERE thread_id = 'a' FOR UPDATE")
            loading = asyncio.ensure_future(load())
            async with asyncio.timeout(BOUND_S):
                while looking.execute(WAITS).fetchone() == (0,):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            other.execute(NODE)
            other.execute("UPDATE goalfsm.worker SET place = 'hill'")
            other.execute(
                "UPDATE goalfsm.session SET revision = 2, run_id = 'r', node_id = 'two',"
                " state = 'two', turn = false"
            )
            other.commit()
            after = await asyncio.wait_for(loading, BOUND_S)
    assert (before.revision, before.state, before.holder) == (1, b"one", None)
    assert (after.revision, after.state) == (2, b"two")
    assert after.holder is not None
    assert (after.holder.node_id, after.holder.alive) == ("two", True)
    assert before.program is not None
    assert after.program is not None
    assert (before.program.place, after.program.place) == ("any", "hill")


async def test_a_thread_is_nothing_before_it_has_begun(dsn: str) -> None:
    async with pool_of(dsn, most=2) as pool:
        connection = Connection(pool)
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))
        async with transactions.begin() as tx:
            assert (await tx.load("a")).revision == 0
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(SESSION)
        async with transactions.begin() as tx:
            loaded = await tx.load("a")
    assert (loaded.revision, loaded.holder, loaded.program) == (1, None, None)
    assert loaded.now_ms > 1
