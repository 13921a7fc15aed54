"""What is said of a server that gives no connection, or takes no writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors
from structlog.testing import capture_logs

from goalfsm.cluster.engine import ClusterEngine
from goalfsm.cluster.postgres_tx import Connection, Pool, statements, unavailable
from goalfsm.errors import StoreUnavailable
from goalfsm.session.events import ObjectiveGiven, PauseRequested

if TYPE_CHECKING:
    from tests.postgres import PostgresServer

pytestmark = pytest.mark.asyncio

BOUND_S = 60.0


async def test_whoever_gets_no_connection_is_told_why_there_are_none(
    postgres: PostgresServer,
) -> None:
    async with Pool(postgres.uri("nowhere"), most=1) as pool, asyncio.timeout(BOUND_S):
        while not pool.refused:  # noqa: ASYNC110  the pool tells nobody
            await asyncio.sleep(0.01)
        with pytest.raises(StoreUnavailable, match='database "nowhere" does not exist'):
            async with statements(Connection(pool, timeout_s=0.01)):
                pass


async def test_a_pool_that_connects_again_has_no_reason_to_tell(dsn: str) -> None:
    async with Pool(dsn, most=1) as pool:
        pool.refused = "no"
        await pool.wait(BOUND_S)
        async with statements(Connection(pool)), asyncio.timeout(BOUND_S):
            with pytest.raises(StoreUnavailable, match="couldn't get a connection"):
                async with statements(Connection(pool, timeout_s=0.01)):
                    pass


async def test_a_server_that_takes_no_writes_is_told_from_one_that_is_away(dsn: str) -> None:
    options = {"options": "-c default_transaction_read_only=on"}
    standby = psycopg.conninfo.make_conninfo(dsn, **options)
    async with Pool(standby, most=1) as pool:
        with pytest.raises(StoreUnavailable) as refused:
            async with statements(Connection(pool)) as connection:
                await connection.execute("DELETE FROM goalfsm.node")
    assert "name the server that does" in refused.value.hint


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (errors.InsufficientPrivilege, "Grant the role"),
        (errors.DiskFull, "Make room"),
        (errors.UndefinedTable, "makes the tables"),
        (errors.InvalidSchemaName, "makes the tables"),
        (psycopg.OperationalError, "Is the server up"),
    ],
)
async def test_the_hint_is_what_to_do(error: type[psycopg.Error], hint: str) -> None:
    assert hint in unavailable(error("no")).hint


async def test_a_trouble_is_told_once_until_something_lands(dsn: str) -> None:
    """Every thread of a node meets it, and again at every try."""

    def told(logs: list[Any]) -> list[Any]:
        return [row["error"] for row in logs if row["log_level"] == "warning"]

    async with ClusterEngine(dsn) as engine:
        stuck = engine._node.aftermath.stuck
        with capture_logs() as logs:
            for thread_id in ("a", "b", "a"):
                stuck(thread_id, StoreUnavailable("gone"))
            stuck("a", StoreUnavailable("gone otherwise"))
            assert told(logs) == ["gone", "gone otherwise"]
            await engine.submit("a", ObjectiveGiven(objective="do it"))
            await engine.submit("a", PauseRequested())
            stuck("a", StoreUnavailable("gone"))
            assert told(logs) == ["gone", "gone otherwise", "gone"]
