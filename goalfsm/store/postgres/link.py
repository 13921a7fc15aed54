"""The connection of a handle that only reads, and what its driver raises in the words of the store.

One statement a question, nothing held between; no error holds a password.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString, Self

import psycopg
from psycopg import errors

from goalfsm.errors import (
    Busy,
    Corrupt,
    NewerDatabase,
    NoDatabase,
    OlderDatabase,
    Remedy,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from goalfsm.store.address import Server
from goalfsm.store.postgres.schema import NEWEST, version_of

MAKES_TABLES: Final = Remedy("node", does="makes the tables, or takes them further")
_SECRETS: Final = "PGPASSWORD, a password file or the URL gives the password"
_SERVER: Final = "see that PostgreSQL runs there and lets this machine in, then try again"


def unreachable(server: Server, error: psycopg.Error) -> StoreError:
    """Return why a connection could not be made."""
    said = _words(server, error)
    link = error.pgconn
    if isinstance(error, psycopg.ProgrammingError):
        # What the driver quotes of a URL that it cannot read may be a part of a password.
        shown = "" if server.shown != server.url else f": {said}"
        return StoreUnavailable(
            f"{server} is no URL that PostgreSQL takes{shown}",
            code="database_invalid",
            hint="name it as in postgresql://user@host:5432/name, with %40 for an @ in a password",
        )
    # The server's words come in its own language; what the connection knows does not.
    if link is not None and (link.needs_password or link.used_password):
        how = "wants a password" if link.needs_password else "does not take this password"
        return StoreUnavailable(f"{server} {how}: {said}", code="access_denied", hint=_SECRETS)
    if link is not None and 'database "' in said and "does not exist" in said:
        hint = "createdb makes a database; the URL names it behind the last /"
        return NoDatabase(f"{server} is not there: {said}", hint=hint)
    return StoreUnavailable(f"{server} cannot be reached: {said}", hint=_SERVER)


def translated(server: Server, error: psycopg.Error, doing: str) -> StoreError:
    """Return what a statement failed with, as the store's error."""
    said = f"{doing} {server}: {_words(server, error)}"
    match error:
        case errors.UndefinedTable() | errors.InvalidSchemaName() | errors.UndefinedColumn():
            return no_tables(server)
        case errors.InsufficientPrivilege():
            return StoreUnavailable(
                said, code="access_denied", hint="grant this user what it may read on the server"
            )
        case errors.LockNotAvailable() | errors.QueryCanceled():
            return Busy(said, hint="Try again; somebody holds a lock on the server.")
        case errors.DataCorrupted() | errors.IndexCorrupted():
            return Corrupt(said, hint="Stop the nodes, and restore a backup of the server.")
        case _:
            return StoreUnavailable(said, hint=_SERVER)


def no_tables(server: Server) -> NoDatabase:
    """Return the error for a database that has no tables of goals."""
    return NoDatabase(
        f"there are no goals on {server} yet",
        hint=f"goalfsm node {server.named()} makes the tables, and so does the first goal",
        remedies=(MAKES_TABLES,),
    )


def _words(server: Server, error: psycopg.Error) -> str:
    """Return the first line of what was said, without the driver's own words before it."""
    text = server.without_secrets(str(error)).strip() or type(error).__name__
    said = text.splitlines()[0]
    for prefix in ("connection failed: ", "connection is bad: "):
        said = said.removeprefix(prefix)
    return said


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
        """Connect to the database; raise a `StoreError` that says why it cannot be read."""
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
