"""Threads in PostgreSQL, to be read: the part of the port that every store has.

It may use the store's port, errors and psycopg, which the extra `cluster` brings and which is
loaded only where a server is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from goalfsm.store.address import Server
    from goalfsm.store.postgres.store import PostgresReading


def open_store(server: Server) -> PostgresReading:
    """Return a handle that reads what is on the server.

    Raises `NoDatabase` where it holds no threads yet, `NewerDatabase`, `OlderDatabase`,
    `StoreUnavailable`; ``extra_missing`` where psycopg is not installed.
    """
    try:
        from goalfsm.store.postgres.store import PostgresReading  # noqa: PLC0415  it loads psycopg
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in {"psycopg", "psycopg_binary", "psycopg_c"}:
            raise
        raise GoalError(
            "what speaks to PostgreSQL is not installed",
            code="extra_missing",
            hint="pip install 'goalfsm[cluster]'",
        ) from None
    return PostgresReading.open(server)
