"""The connection of a handle that only reads: one statement a question, nothing held between."""

from __future__ import annotations

from typing import Any, Final, LiteralString, Self

import psycopg

from goalfsm.errors import NewerDatabase, OlderDatabase, StoreClosed
from goalfsm.store.address import Server
from goalfsm.store.postgres.failures import MAKES_TABLES, no_tables, translated, unreachable
from goalfsm.store.postgres.schema import NEWEST, version_of

Row = tuple[Any, ...]

CONNECT_S: Final = 10
"""How long a server may take to let a connection in, unless its URL says otherwise."""


def connect(server: Server) -> psycopg.Connection[Row]:
    """Return a connection on which each statement is a transaction of its own."""
    options: dict[str, Any] = {"application_name": "goalfsm"}
    try:
        if len(server.url.split()) != 1:
            # Not every version of the library looks: a password would be sent in part.
            message = "unexpected spaces found"
            raise psycopg.ProgrammingError(message)
        given = psycopg.conninfo.conninfo_to_dict(server.url)
        if "connect_timeout" not in given:
            options["connect_timeout"] = CONNECT_S
        # A pooler hands each statement to another session: none may be prepared on one of them.
        return psycopg.connect(server.url, autocommit=True, prepare_threshold=None, **options)
    except psycopg.Error as error:
        raise unreachable(server, error) from None


class Link:
    """A connection to a database that has our tables in the version that this program reads."""

    def __init__(self, server: Server) -> None:
        """Connect; raise a `StoreError` that says why the database cannot be read."""
        self.server = server
        self._connection: psycopg.Connection[Row] | None = connect(server)
        try:
            self.version = version_of(self._connection)
        except psycopg.Error as error:
            self.close()
            raise translated(server, error, "reading") from None
        if self.version != NEWEST:
            self.close()
            raise self._other_version()

    def _other_version(self) -> Exception:
        found = self.version
        if not found:
            return no_tables(self.server)
        told = f"{self.server} has version {found} of the tables, this program knows {NEWEST}"
        if found > NEWEST:
            return NewerDatabase(told, hint="Upgrade goalfsm; the database was left as it is.")
        return OlderDatabase(
            told, hint="goalfsm node of this version takes them further.", remedies=(MAKES_TABLES,)
        )

    def __enter__(self) -> Self:
        """Return the link."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def rows(self, sql: LiteralString, bindings: Row = ()) -> list[Row]:
        """Return all rows of a query."""
        if self._connection is None:
            msg = "the store handle was closed"
            raise StoreClosed(msg)
        try:
            return self._connection.execute(sql, bindings, binary=True).fetchall()
        except psycopg.Error as error:
            raise translated(self.server, error, "reading") from None

    def close(self) -> None:
        """Close the connection; a second time is no error."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
