"""All rows of a database on a server, read or written within one transaction of its own."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg import sql

from goalfsm.errors import NewerDatabase
from goalfsm.store.contents import TABLES
from goalfsm.store.postgres.link import connect, translated
from goalfsm.store.postgres.schema import NEWEST, version_of
from goalfsm.store.postgres.tables import NODES, SILENT_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from goalfsm.store.address import Server
    from goalfsm.store.contents import Contents, Row

_ORDER: Final = {
    "session": 'thread_id COLLATE "C"',
    "journal": "seq",
    "outbox": "seq",
    "history": "seq",
    "answer": 'inbox_id COLLATE "C"',
    "worker": 'thread_id COLLATE "C"',
    "transcript": "seq",
}
_AT_ONCE: Final = 500
_WAIT_MS: Final = 10_000
_LOCK: Final = "LOCK TABLE goalfsm.node, goalfsm.session, goalfsm.worker IN ACCESS EXCLUSIVE MODE"
_OPEN_RUNS: Final = (
    'SELECT thread_id FROM goalfsm.session WHERE run_id IS NOT NULL ORDER BY thread_id COLLATE "C"'
)


class PostgresContents:
    """`goalfsm.store.contents.Contents` of a database that nobody else changes meanwhile."""

    def __init__(self, server: Server, connection: psycopg.Connection[Row]) -> None:
        """Write by a connection that `locked` has locked."""
        self._server = server
        self._connection = connection

    def nodes(self) -> tuple[str, ...]:
        """Return the nodes that live, with their hosts."""
        rows = self._connection.execute(NODES, (SILENT_MS,)).fetchall()
        return tuple(f"{row[1]} on {row[2]}" for row in rows if row[9])

    def open_runs(self) -> tuple[str, ...]:
        """Return the threads of which a turn is open."""
        return tuple(row[0] for row in self._connection.execute(_OPEN_RUNS))

    def rows(self, table: str) -> Iterator[Row]:
        """Yield the rows of a table, in the order in which they were written."""
        names = sql.SQL(", ").join(map(sql.Identifier, TABLES[table]))
        query = sql.SQL("SELECT {} FROM {} ORDER BY ").format(
            names, sql.Identifier("goalfsm", table)
        )
        with self._connection.cursor(f"all_{table}", binary=True) as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(query + sql.SQL(_ORDER[table]))
            yield from cursor

    def fill(self, contents: Contents, beside: Callable[[str, Row], dict[str, Any]]) -> None:
        """Write all of ``contents``; ``beside`` says what a row has more here than elsewhere."""
        with self._connection.cursor() as cursor:
            for table in TABLES:
                self._copy(cursor, table, contents, beside)

    def _copy(
        self,
        cursor: psycopg.Cursor[Row],
        table: str,
        contents: Contents,
        beside: Callable[[str, Row], dict[str, Any]],
    ) -> None:
        rows = iter(contents.rows(table))
        first = next(rows, None)
        if first is None:
            return
        names = (*TABLES[table], *beside(table, first))
        query = sql.SQL("COPY {} ({}) FROM STDIN").format(
            sql.Identifier("goalfsm", table), sql.SQL(", ").join(map(sql.Identifier, names))
        )
        with cursor.copy(query) as copy:
            copy.write_row((*first, *beside(table, first).values()))
            for row in rows:
                copy.write_row((*row, *beside(table, row).values()))

    def set_aside(self) -> str:
        """Rename the schema, so that nobody finds the threads; return its new name."""
        name = f"goalfsm_moved_{time.time_ns() // 1_000_000}"
        self._connection.execute(
            sql.SQL("ALTER SCHEMA goalfsm RENAME TO {}").format(sql.Identifier(name))
        )
        return name


@contextlib.contextmanager
def locked(server: Server, *, wait_ms: int = _WAIT_MS) -> Iterator[PostgresContents]:
    """Keep everybody else off a database for the block, which is one transaction.

    Who is at it is waited for ``wait_ms`` milliseconds. Raises `Busy`, `NewerDatabase` and what
    else the server says.
    """
    connection = connect(server)
    try:
        version = version_of(connection)
        if version > NEWEST:
            told = f"{server} has version {version} of the tables, this program knows {NEWEST}"
            raise NewerDatabase(told)
        with connection.transaction():
            connection.execute("SELECT set_config('lock_timeout', %s, true)", (str(wait_ms),))
            connection.execute(_LOCK)
            yield PostgresContents(server, connection)
    except psycopg.Error as error:
        raise translated(server, error, "moving") from error
    finally:
        connection.close()
