"""Reach PostgreSQL: the connections of a node, and all that stands on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import psycopg
from psycopg_pool import AsyncConnectionPool

from goalfsm.cluster.options import Reached
from goalfsm.cluster.postgres_nodes import PostgresNodes
from goalfsm.cluster.postgres_tx import (
    CHANNEL,
    Connection,
    PostgresTransactions,
    configure,
    pool_of,
    unavailable,
)
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECTIONS: Final = 8
"""How many connections a node opens at most, besides three that listen."""
_CLOSE_S: Final = 5.0


class Reach(NamedTuple):
    """The database as a node reaches it: jobs, nodes, connections."""

    reached: Reached
    nodes: PostgresNodes
    pool: AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]

    async def close(self) -> None:
        """Close every connection."""
        await self.pool.close(timeout=_CLOSE_S)


async def reach(dsn: str) -> Reach:
    """Open connections to ``dsn``, whose tables are there."""
    pool = pool_of(dsn, most=CONNECTIONS)
    await pool.open()
    connection = Connection(pool)
    jobs, nodes = ProcrastinateJobs(connection), PostgresNodes(connection)
    transactions = PostgresTransactions(connection, jobs)
    reached = Reached(transactions, nodes, jobs, listen=lambda: notifications(dsn))
    return Reach(reached, nodes, pool)


async def notifications(dsn: str) -> AsyncIterator[str]:
    """Yield the threads that notifications name, on a connection of their own.

    Raises `StoreUnavailable` when it is gone.
    """
    try:
        connection: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(
            dsn, autocommit=True, connect_timeout=3
        )
        async with connection:
            await configure(connection)
            await connection.execute(f"LISTEN {CHANNEL}")
            async for told in connection.notifies():
                yield told.payload
    except psycopg.Error as error:
        raise unavailable(error) from error
