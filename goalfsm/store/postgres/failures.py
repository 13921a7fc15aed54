"""What the driver raises, in the words of the store; never with a password in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors

from goalfsm.errors import Busy, Corrupt, NoDatabase, Remedy, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from goalfsm.store.address import Server

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
