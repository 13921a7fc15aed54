"""Make a database ready: our tables and those of the job engine, to their newest versions."""

from __future__ import annotations

import psycopg

from goalfsm.cluster.postgres_tx import unavailable
from goalfsm.cluster.procrastinate_jobs import install
from goalfsm.errors import CannotWrite
from goalfsm.store.address import Server
from goalfsm.store.postgres.link import unreachable
from goalfsm.store.postgres.schema import migrate


def prepare(dsn: str) -> None:
    """Create or migrate the tables. Raises `StoreError` where that cannot be done."""
    try:
        opened = psycopg.connect(dsn, connect_timeout=5)
    except psycopg.Error as error:
        # What the driver says of an address that it cannot read may quote a password.
        raise unreachable(Server(dsn), error) from None
    try:
        with opened as connection:
            migrate(connection)
            install(connection)
    except psycopg.errors.InsufficientPrivilege as error:
        raise CannotWrite(
            f"PostgreSQL: {error}",
            hint="the role needs CREATE on the database once, for the schema goalfsm",
        ) from error
    except psycopg.Error as error:
        raise unavailable(error) from error
