"""Transactions in PostgreSQL: two round trips, one to lock and read, one to write and commit.

The load ends with a synchronisation of its own: inside a pipeline the server would not end the
session of a process that was stopped there, and its row lock would stay.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import psycopg
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from goalfsm.cluster.postgres_writes import written
from goalfsm.cluster.tx import LEASE_MS, Ask, Holder, Known, Loaded, Program, Writes
from goalfsm.errors import OutcomeUnknown, StoreUnavailable
from goalfsm.text import line

if TYPE_CHECKING:
    from goalfsm.cluster.jobs import Jobs

CHANNEL: Final = "goalfsm"
"""The channel of notifications; their text is the thread."""
STALLED_MS: Final = 2_000
"""How long a transaction may stand still before the server ends it, with the locks that it has."""
MOST_MS: Final = 3_000
"""How long a transaction may keep its locks on threads, where the server can count that.

A process that was stopped between two statements that it sends at one go does not stand still to
the server: its locks would stay as long as it is stopped.
"""
NOW_MS: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
"""The server's clock as it is, not as it was when the transaction began."""

# What a connection meets is told by whoever uses it.
logging.getLogger("psycopg").setLevel(logging.CRITICAL)

# The row is the newest one also where its lock had to be waited for; what is joined to it is then
# what stood there before, and so is the revision that comes last: that shows it. In one order:
# two who lock several threads never wait for each other.
_LOCK: Final = f"""
SELECT s.thread_id, s.revision, s.state, s.rules_version, s.wake_at_ms, s.updated_at_ms, s.run_id,
    s.node_id, {NOW_MS}, w.place, w.config, n.seen_ms,
    (SELECT b.revision FROM goalfsm.session b WHERE b.thread_id = s.thread_id)
FROM goalfsm.session s
LEFT JOIN goalfsm.worker w ON w.thread_id = s.thread_id
LEFT JOIN goalfsm.node n ON n.node_id = s.node_id
WHERE s.thread_id = ANY(%s) ORDER BY s.thread_id FOR UPDATE OF s"""
_LOCK_FREE: Final = f"{_LOCK} SKIP LOCKED"
_BOUND: Final = f"SET LOCAL transaction_timeout = {MOST_MS}"
_BOUND_SINCE: Final = 170_000
"""The version of the server that can bound a transaction."""
_LOCK_NEW: Final = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7))"
# A statement of its own: what others committed while the lock was waited for is in its snapshot.
_BESIDE: Final = f"""
SELECT {NOW_MS}, w.place, w.config, n.seen_ms
FROM (SELECT %s::text AS thread_id) t
LEFT JOIN goalfsm.worker w ON w.thread_id = t.thread_id
LEFT JOIN goalfsm.session s ON s.thread_id = t.thread_id
LEFT JOIN goalfsm.node n ON n.node_id = s.node_id"""
_KNOWN: Final = """
SELECT j.thread_id, j.event_id, j.revision, a.reply
FROM unnest(%s::text[], %s::text[]) AS asked (thread_id, event_id)
JOIN goalfsm.journal j USING (thread_id, event_id)
LEFT JOIN goalfsm.answer a ON a.inbox_id = j.event_id"""
_OPEN: Final = "SELECT key FROM goalfsm.outbox WHERE key = ANY(%s) AND done_at_ms IS NULL"
_TELL: Final = f"SELECT pg_notify('{CHANNEL}', %s)"

_HINTS: Final = (
    (errors.ReadOnlySqlTransaction, "It takes no writes, as a standby: name the server that does."),
    (errors.InsufficientPrivilege, "Grant the role what it may not do."),
    (errors.DiskFull, "Make room on the server's disk."),
    (
        (errors.UndefinedTable, errors.UndefinedColumn, errors.InvalidSchemaName),
        "A node that is started makes the tables, or takes them further.",
    ),
)
_LOST: Final = (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout)


class Source(Protocol):
    """Where connections come from: a pool, or one connection."""

    def connection(
        self, timeout: float | None = None, /
    ) -> AbstractAsyncContextManager[psycopg.AsyncConnection[tuple[Any, ...]]]:
        """Give a connection; what was done on it is committed at the end of the block."""
        ...


class Connection(NamedTuple):
    """How the server is reached; ``timeout_s`` is how long a connection is waited for."""

    pool: Source
    timeout_s: float = 5.0


_Server = psycopg.AsyncConnection[tuple[Any, ...]]


class Pool(AsyncConnectionPool[_Server]):
    """Connections to a database, which are still to be opened; it knows why there are none."""

    def __init__(self, dsn: str, *, most: int) -> None:
        """Connect to ``dsn``, ``most`` times at once."""
        self.refused = ""
        """Why no connection could be made the last time."""
        pool = self

        class Told(_Server):
            @classmethod
            async def connect(cls, conninfo: str = "", **given: Any) -> Told:
                pool.refused = ""
                try:
                    return await super().connect(conninfo, **given)
                except psycopg.OperationalError as error:
                    pool.refused = _said(error)
                    raise

        super().__init__(
            dsn,
            connection_class=Told,
            min_size=1,
            max_size=most,
            open=False,
            configure=configure,
            # After an outage of any length the next try comes soon: back-off doubles up to this.
            reconnect_timeout=2.0,
            timeout=5.0,
            kwargs={"prepare_threshold": 3, "connect_timeout": 3},
        )


async def configure(connection: psycopg.AsyncConnection[Any]) -> None:
    """Prepare a new connection: our schema first, and an end for transactions that stand still."""
    await connection.execute("SET search_path = goalfsm")
    await connection.execute(f"SET idle_in_transaction_session_timeout = {STALLED_MS}")
    await connection.execute("SET lock_timeout = '10s'")
    await connection.execute("SET synchronous_commit = on")
    await connection.commit()


class PostgresTx:
    """One transaction on one connection."""

    def __init__(
        self, connection: psycopg.AsyncConnection[tuple[Any, ...]], jobs: Jobs[PostgresTx]
    ) -> None:
        """Work on ``connection``; enqueue by ``jobs``."""
        self.connection = connection
        self._jobs = jobs
        self._writes: list[Writes] = []

    async def load(self, ask: Ask) -> Loaded:
        """Lock the thread and return how it stands."""
        found = await self._load([ask], _LOCK)
        return found[ask.thread_id] if found else await self._load_new(ask)

    async def _load_new(self, ask: Ask) -> Loaded:
        """Lock a thread of which there was nothing to lock: whoever begins it waits here."""
        connection = self.connection
        async with connection.pipeline():
            await connection.execute(_LOCK_NEW, (ask.thread_id,))
            beside = await connection.execute(_BESIDE, (ask.thread_id,), binary=True)
            found = await self._load([ask], _LOCK)
            (row,) = await beside.fetchall()
        if found:
            return found[ask.thread_id]
        return _loaded([0, None, 0, None, 0, None, None, *row], {}, frozenset())

    async def load_free(self, asks: Sequence[Ask]) -> dict[str, Loaded]:
        """Lock those of the threads that are there and that nobody has locked; return them."""
        return await self._load(asks, _LOCK_FREE)

    async def _load(self, asks: Sequence[Ask], lock: str) -> dict[str, Loaded]:
        connection = self.connection
        events = [(ask.thread_id, each) for ask in asks for each in ask.event_ids]
        keys = [key for ask in asks for key in ask.keys]
        async with connection.pipeline():
            locked = await connection.execute(lock, ([a.thread_id for a in asks],), binary=True)
            if connection.info.server_version >= _BOUND_SINCE:
                # Not before: who waits for the lock may get it from one who comes to this bound.
                await connection.execute(_BOUND)
            known, still_open = None, None
            if events:
                columns = tuple(map(list, zip(*events, strict=True)))
                known = await connection.execute(_KNOWN, columns, binary=True)
            if keys:
                still_open = await connection.execute(_OPEN, (keys,))
        found = {}
        by_id: dict[str, dict[str, Known]] = {}
        for thread_id, event_id, *what in () if known is None else await known.fetchall():
            by_id.setdefault(thread_id, {})[event_id] = Known(*what)
        opened = frozenset(
            key for (key,) in (() if still_open is None else await still_open.fetchall())
        )
        for thread_id, *stands, then in await locked.fetchall():
            if stands[0] != then:
                stands[7:] = await self._beside(thread_id)
            found[thread_id] = _loaded(stands, by_id.get(thread_id, {}), opened)
        return found

    async def _beside(self, thread_id: str) -> tuple[Any, ...]:
        found = await self.connection.execute(_BESIDE, (thread_id,), binary=True)
        (row,) = await found.fetchall()
        return row

    async def write(self, writes: Writes) -> None:
        """Write a change, together with the commit: one round trip."""
        self._writes.append(writes)

    async def commit(self) -> None:
        """Write what is to be written, and commit."""
        connection = self.connection
        if not self._writes:
            await connection.commit()
            return
        async with connection.pipeline():
            for writes in self._writes:
                await connection.execute(*written(writes))
            # In one order, as with the locks of threads.
            jobs = sorted((j for w in self._writes for j in w.jobs), key=lambda job: job.key)
            if jobs:
                await self._jobs.enqueue(self, jobs)
            for writes in self._writes:
                if writes.told:
                    await connection.execute(_TELL, (writes.commits[-1].thread_id,))
            await connection.commit()


class PostgresTransactions:
    """Transactions on connections of a pool."""

    def __init__(self, connection: Connection, jobs: Jobs[PostgresTx]) -> None:
        """Take connections from the pool; enqueue by ``jobs``."""
        self._connection = connection
        self._jobs = jobs

    @contextlib.asynccontextmanager
    async def begin(self) -> AsyncGenerator[PostgresTx]:
        """Run the block as one transaction."""
        committing = False
        try:
            async with self._connection.pool.connection(self._connection.timeout_s) as connection:
                tx = PostgresTx(connection, self._jobs)
                yield tx
                committing = True
                await tx.commit()
        except psycopg.IntegrityError as error:
            # Somebody has written the very same event meanwhile: it is looked for again.
            raise OutcomeUnknown(_said(error)) from error
        except _LOST as error:
            if committing:
                raise OutcomeUnknown(_said(error)) from error
            raise unavailable(error, self._connection.pool) from error
        except psycopg.Error as error:
            raise unavailable(error) from error


@contextlib.asynccontextmanager
async def statements(
    connection: Connection,
) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    """Give a connection for statements that are committed at the end of the block."""
    try:
        async with connection.pool.connection(connection.timeout_s) as one:
            yield one
    except (psycopg.Error, PoolTimeout) as error:
        raise unavailable(error, connection.pool) from error


def unavailable(error: Exception, source: object = None) -> StoreUnavailable:
    """Return what a failure of the server is to everybody above; ``source`` gave no connection."""
    said, hint = _said(error), "Is the server up, and reached from here?"
    if isinstance(error, PoolTimeout) and isinstance(source, Pool) and source.refused:
        said = source.refused
    for kinds, does in _HINTS:
        if isinstance(error, kinds):
            hint = does
    return StoreUnavailable(f"PostgreSQL: {said}", hint=f"{hint} Nothing was written.")


def _said(error: Exception) -> str:
    return line(str(error)) or type(error).__name__


def _loaded(stands: Sequence[Any], known: Mapping[str, Known], opened: frozenset[str]) -> Loaded:
    revision, state, rules_version, wake_at_ms, last_ms, run_id, node_id, *beside = stands
    now_ms, place, config, seen_ms = beside
    holder = None
    if run_id is not None:
        seen_ms = seen_ms or 0
        holder = Holder(node_id or "", seen_ms, now_ms - seen_ms < LEASE_MS)
    return Loaded(
        revision=revision,
        state=state,
        rules_version=rules_version,
        wake_at_ms=wake_at_ms,
        now_ms=max(now_ms, last_ms),
        holder=holder,
        program=None if place is None else Program(place, config),
        known=known,
        open=opened,
    )
