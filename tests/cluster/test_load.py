"""What a transaction reads under the lock of its thread."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from goalfsm.cluster.postgres_tx import Connection, Pool, PostgresTransactions
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.cluster.tx import Ask, Known, Loaded

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
    async with Pool(dsn, most=2) as pool:
        connection = Connection(pool)
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))

        async def load() -> Loaded:
            async with transactions.begin() as tx:
                return await tx.load(Ask("a"))

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
    async with Pool(dsn, most=2) as pool:
        connection = Connection(pool)
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))
        async with transactions.begin() as tx:
            assert (await tx.load(Ask("a"))).revision == 0
        with psycopg.connect(dsn, autocommit=True) as other:
            other.execute(SESSION)
        async with transactions.begin() as tx:
            loaded = await tx.load(Ask("a"))
    assert (loaded.revision, loaded.holder, loaded.program) == (1, None, None)
    assert loaded.now_ms > 1


async def test_of_several_threads_those_are_locked_that_nobody_has(dsn: str) -> None:
    """Nobody waits for one that is locked, and one that is still to begin is not there."""
    async with Pool(dsn, most=2) as pool:
        connection = Connection(pool)
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))
        with psycopg.connect(dsn) as other, psycopg.connect(dsn, autocommit=True) as looking:
            for thread_id in ("a", "b", "c"):
                looking.execute(SESSION.replace("'a'", f"'{thread_id}'"))
            other.execute("SELECT 1 FROM goalfsm.session WHERE thread_id = 'b' FOR UPDATE")
            async with transactions.begin() as tx, asyncio.timeout(BOUND_S):
                free = await tx.load_free([Ask(each) for each in ("c", "b", "new", "a")])
                locked = looking.execute(
                    "SELECT thread_id FROM goalfsm.session FOR UPDATE SKIP LOCKED"
                ).fetchall()
    assert {each: loaded.revision for each, loaded in free.items()} == {"a": 1, "c": 1}
    assert locked == []


async def test_of_several_threads_each_has_what_is_known_and_open_of_it(dsn: str) -> None:
    async with Pool(dsn, most=2) as pool:
        connection = Connection(pool)
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))
        with psycopg.connect(dsn, autocommit=True) as other:
            for thread_id in ("a", "b"):
                other.execute(SESSION.replace("'a'", f"'{thread_id}'"))
                other.execute(
                    "INSERT INTO goalfsm.journal"
                    " (thread_id, revision, event_id, at_ms, rules_version, digest, event)"
                    " VALUES (%s, 1, 'one', 1, 1, '', '')",
                    (thread_id,),
                )
            other.execute(
                "INSERT INTO goalfsm.answer VALUES ('one', 'a', 1, 1, 'yes');"
                "INSERT INTO goalfsm.outbox (key, thread_id, revision, at_ms, kind, payload)"
                " VALUES ('a/1/0', 'a', 1, 1, 'k', '')"
            )
        async with transactions.begin() as tx:
            free = await tx.load_free([Ask("a", ("one", "two"), ("a/1/0", "a/1/1")), Ask("b")])
    assert free["a"].known == {"one": Known(1, b"yes")}
    assert free["a"].open == {"a/1/0"}
    assert free["b"].known == {}
