"""Reach PostgreSQL: the connections of a node, and all that stands on them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final, NamedTuple

import psycopg

from goalfsm.cluster.options import Reached
from goalfsm.cluster.postgres_nodes import PostgresNodes
from goalfsm.cluster.postgres_tx import (
    CHANNEL,
    Connection,
    Pool,
    PostgresTransactions,
    configure,
    unavailable,
)
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs

CONNECTIONS: Final = 8
"""How many connections a node opens at most, besides three that listen."""


class Reach(NamedTuple):
    """The database as a node reaches it: jobs and nodes."""

    reached: Reached
    nodes: PostgresNodes


@contextlib.asynccontextmanager
async def reach(dsn: str) -> AsyncIterator[Reach]:
    """Keep connections to ``dsn``, whose tables are there, open while inside."""
    async with Pool(dsn, most=CONNECTIONS) as pool:
        connection = Connection(pool)
        jobs, nodes = ProcrastinateJobs(connection), PostgresNodes(connection)
        transactions = PostgresTransactions(connection, jobs)
        reached = Reached(transactions, nodes, jobs, listen=lambda: notifications(dsn))
        yield Reach(reached, nodes)


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
