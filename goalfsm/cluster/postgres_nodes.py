"""The table of nodes, and what a node reads and writes beside the threads, in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from goalfsm.cluster.jobs import Job, effect_job, timer_job, turn_job
from goalfsm.cluster.lease import Other, Registration, Renewed
from goalfsm.cluster.postgres_tx import NOW_MS, Connection, statements
from goalfsm.cluster.saying import SoFar
from goalfsm.cluster.tx import LEASE_MS
from goalfsm.daemon.guards.upkeep import KEEP_DONE_MS
from goalfsm.store.port import KEPT_BYTES, KEPT_TRANSCRIPTS
from goalfsm.store.rows import OpenEffect, Transcript

if TYPE_CHECKING:
    import psycopg

_REGISTER: Final = f"""
INSERT INTO goalfsm.node
    (node_id, name, host, pid, address, places, max_runs, rules_version, version, since_ms, seen_ms)
SELECT %s, %s, %s, %s, %s, %s, %s, %s, %s, now_ms, now_ms FROM (SELECT {NOW_MS} AS now_ms) t
RETURNING seen_ms"""
_RENEW: Final = f"""
WITH mine AS (
    UPDATE goalfsm.node SET seen_ms = {NOW_MS}
    WHERE node_id = %s AND seen_ms > {NOW_MS} - {LEASE_MS} RETURNING seen_ms)
SELECT mine.seen_ms, n.node_id, n.seen_ms
FROM mine LEFT JOIN goalfsm.node n ON n.node_id <> %s
    AND n.seen_ms > mine.seen_ms - {20 * LEASE_MS}"""
_REMOVE: Final = "DELETE FROM goalfsm.node WHERE node_id = %s"
_ADDRESS: Final = "SELECT address FROM goalfsm.node WHERE node_id = %s AND host = %s"
_CLAIM: Final = f"""
UPDATE goalfsm.outbox o SET node_id = %s
WHERE o.key = %s AND o.done_at_ms IS NULL AND (o.node_id IS NULL OR o.node_id = %s
    OR NOT EXISTS (SELECT 1 FROM goalfsm.node n
        WHERE n.node_id = o.node_id AND n.seen_ms > {NOW_MS} - {LEASE_MS}))
RETURNING o.seq, o.thread_id, o.revision, o.at_ms, o.key, o.kind, o.payload"""
_MAIL: Final = """
SELECT seq, thread_id, revision, at_ms, key, kind, payload FROM goalfsm.outbox
WHERE thread_id = %s AND done_at_ms IS NULL AND kind IN ('EndRun', 'DeliverSteering')
ORDER BY seq"""
_REVISIONS: Final = "SELECT thread_id, revision FROM goalfsm.session WHERE thread_id = ANY(%s)"
_MARK: Final = f"""
UPDATE goalfsm.outbox SET done_at_ms = {NOW_MS} WHERE key = ANY(%s) AND done_at_ms IS NULL"""
# The newest stays, whatever its size.
_TRIM: Final = """
DELETE FROM goalfsm.transcript WHERE seq IN (
    SELECT seq FROM (
        SELECT seq, row_number() OVER newest AS place, sum(size) OVER newest AS total
        FROM goalfsm.transcript WHERE thread_id = ANY(%s)
        WINDOW newest AS (PARTITION BY thread_id ORDER BY turn DESC, seq DESC)
    ) AS sized WHERE place > 1 AND (place > %s OR total > %s))"""
_LAST_SAID: Final = """
SELECT thread_id, run_id, turn, at_ms, answer, stderr, answer_bytes, stderr_bytes
FROM goalfsm.transcript WHERE thread_id = %s ORDER BY turn DESC, seq DESC LIMIT 1"""
_SAY: Final = """
INSERT INTO goalfsm.saying (run_id, thread_id, total, tail)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bytea[])
ON CONFLICT (run_id) DO UPDATE SET total = EXCLUDED.total, tail = EXCLUDED.tail"""
_SAID: Final = "DELETE FROM goalfsm.saying WHERE run_id = ANY(%s)"
_WORDS: Final = """
SELECT seq, run_id, answer_bytes, answer FROM goalfsm.transcript WHERE thread_id = %s AND seq > %s
UNION ALL
SELECT NULL, run_id, total, tail FROM goalfsm.saying JOIN goalfsm.session USING (thread_id, run_id)
WHERE thread_id = %s ORDER BY seq NULLS LAST"""
_NEWEST: Final = "SELECT coalesce(max(seq), 0) FROM goalfsm.transcript WHERE thread_id = %s"
_PROGRAM: Final = """
INSERT INTO goalfsm.worker (thread_id, place, config) VALUES (%s, %s, %s)
ON CONFLICT (thread_id) DO UPDATE SET place = EXCLUDED.place, config = EXCLUDED.config"""

_HOME: Final = """
INSERT INTO goalfsm.worker (thread_id, place, config) VALUES (%s, %s, ''::bytea)
ON CONFLICT (thread_id) DO NOTHING"""
_HAS_OPEN: Final = """
SELECT EXISTS (SELECT 1 FROM goalfsm.outbox WHERE thread_id = %s AND done_at_ms IS NULL)"""

# The sweep: what is open and has nobody. A run whose node is gone, a turn that waits, a timer that
# is due, an effect that nobody is at.
_NOW_MS: Final = "(extract(epoch FROM now()) * 1000)::bigint"
"""The beginning of the transaction: an index can be used with it, and it is never too late."""
_TURNS: Final = f"""
SELECT s.thread_id, coalesce(w.place, 'any')
FROM goalfsm.session s
LEFT JOIN goalfsm.worker w ON w.thread_id = s.thread_id
LEFT JOIN goalfsm.node n ON n.node_id = s.node_id
WHERE (s.turn AND w.thread_id IS NOT NULL) OR (s.run_id IS NOT NULL
    AND coalesce(n.seen_ms, 0) <= {_NOW_MS} - {LEASE_MS})
LIMIT %s"""
_TURNS_OF: Final = """
SELECT s.thread_id, coalesce(w.place, 'any')
FROM goalfsm.session s LEFT JOIN goalfsm.worker w ON w.thread_id = s.thread_id
WHERE s.run_id IS NOT NULL AND s.node_id = %s LIMIT %s"""
_TIMERS: Final = f"""
SELECT thread_id, wake_at_ms FROM goalfsm.session
WHERE wake_at_ms <= {_NOW_MS} - 1000 LIMIT %s"""
_EFFECTS: Final = f"""
SELECT o.thread_id, o.key, o.place FROM goalfsm.outbox o
LEFT JOIN goalfsm.node n ON n.node_id = o.node_id
WHERE o.done_at_ms IS NULL AND o.kind NOT IN ('EndRun', 'DeliverSteering')
    AND o.at_ms <= {_NOW_MS} - 1000
    AND (o.node_id IS NULL OR coalesce(n.seen_ms, 0) <= {_NOW_MS} - {LEASE_MS})
LIMIT %s"""
_FORGET: Final = (
    f"""
DELETE FROM goalfsm.node n WHERE n.seen_ms < {NOW_MS} - 86400000
    AND NOT EXISTS (SELECT 1 FROM goalfsm.session s WHERE s.node_id = n.node_id)""",
    """
DELETE FROM goalfsm.saying s
    WHERE NOT EXISTS (SELECT 1 FROM goalfsm.session t
                      WHERE t.thread_id = s.thread_id AND t.run_id = s.run_id)""",
    f"DELETE FROM goalfsm.outbox WHERE done_at_ms < {_NOW_MS} - {KEEP_DONE_MS}",
    f"DELETE FROM goalfsm.answer WHERE at_ms < {_NOW_MS} - {KEEP_DONE_MS}",
)
_SWEEPER: Final = "SELECT pg_try_advisory_xact_lock(7310301)"
_MOST: Final = 1_000


class PostgresNodes:
    """`goalfsm.cluster.lease.Nodes`, and the floor that a node stands on."""

    def __init__(self, connection: Connection) -> None:
        """Take connections from a pool."""
        self._connection = connection

    async def register(self, node: Registration) -> int:
        """Add the node; return the server's clock."""
        row = await self._one(
            _REGISTER,
            (
                *(node.node_id, node.name, node.host, node.pid, node.address),
                *(list(node.places), node.max_runs, node.rules_version, node.version),
            ),
        )
        assert row is not None  # noqa: S101  an insert returns its row
        return int(row[0])

    async def renew(self, node_id: str) -> Renewed | None:
        """Say that the node lives; None where its lease has run out."""
        rows = await self._rows(_RENEW, (node_id, node_id))
        if not rows:
            return None
        now_ms = rows[0][0]
        others = tuple(
            Other(other, (seen_ms + LEASE_MS - now_ms) / 1000)
            for _, other, seen_ms in rows
            if other is not None
        )
        return Renewed(now_ms, others)

    async def remove(self, node_id: str) -> None:
        """Take the node away."""
        await self._rows(_REMOVE, (node_id,), has_rows=False)

    async def address_of(self, node_id: str, host: str) -> str | None:
        """Return what the programs of a node know it by, None for one of another host."""
        row = await self._one(_ADDRESS, (node_id, host))
        return None if row is None else str(row[0])

    # What a node does beside deciding.

    async def claim(self, key: str, node_id: str) -> OpenEffect | None:
        """Take an effect for a node; None where it is done, or another living node is at it."""
        row = await self._one(_CLAIM, (node_id, key, node_id))
        return None if row is None else OpenEffect(*row)

    async def mail(self, thread_id: str) -> list[OpenEffect]:
        """Return the effects that wait for the node that has the thread's run."""
        return [OpenEffect(*row) for row in await self._rows(_MAIL, (thread_id,))]

    async def revisions(self, thread_ids: Collection[str]) -> dict[str, int]:
        """Return how far these threads are."""
        rows = await self._rows(_REVISIONS, (list(thread_ids),))
        return dict(rows)

    async def mark(self, keys: Collection[str]) -> None:
        """Record that effects were done."""
        await self._rows(_MARK, (list(keys),), has_rows=False)

    async def trim(self, thread_ids: Collection[str]) -> None:
        """Remove what turns of the threads said, but for as much as a store keeps of each."""
        given = list(thread_ids), KEPT_TRANSCRIPTS, KEPT_BYTES
        await self._rows(_TRIM, given, has_rows=False)

    async def say(self, said: Sequence[SoFar], over: Collection[str]) -> None:
        """Write down what running turns have said; forget those that are ``over``."""
        async with statements(self._connection) as connection:
            if said:
                await connection.execute(_SAY, tuple(map(list, zip(*said, strict=True))))
            if over:
                await connection.execute(_SAID, (list(over),))

    async def words(self, thread_id: str, after: int | None) -> tuple[list[SoFar], int]:
        """Return what turns of the thread have said since, and the running one so far."""
        if after is None:
            ((after,),) = await self._rows(_NEWEST, (thread_id,))
        rows = await self._rows(_WORDS, (thread_id, after, thread_id))
        said = [SoFar(run_id, thread_id, total, tail) for _, run_id, total, tail in rows]
        return said, max((seq for seq, *_ in rows if seq is not None), default=after)

    async def last_said(self, thread_id: str) -> Transcript | None:
        """Return what the thread's last turn said."""
        row = await self._one(_LAST_SAID, (thread_id,))
        return None if row is None else Transcript(*row)

    async def put_program(self, thread_id: str, place: str, config: bytes) -> None:
        """Store who runs a thread's turns, and where."""
        await self._rows(_PROGRAM, (thread_id, place, config), has_rows=False)

    async def give_home(self, thread_id: str, place: str) -> None:
        """Say where the thread's turns run, where nobody has said that."""
        await self._rows(_HOME, (thread_id, place), has_rows=False)

    async def has_open(self, thread_id: str) -> bool:
        """Tell whether an effect of the thread is still to be done."""
        row = await self._one(_HAS_OPEN, (thread_id,))
        return row is not None and bool(row[0])

    # The sweep.

    async def left(self) -> list[Job] | None:
        """Return the jobs that the state asks for; None where another node looks just now."""
        async with statements(self._connection) as connection:
            got = await (await connection.execute(_SWEEPER)).fetchone()
            if got is None or not got[0]:
                return None
            turns = await _all(connection, _TURNS)
            timers = await _all(connection, _TIMERS)
            effects = await _all(connection, _EFFECTS)
        return [
            *(turn_job(thread_id, place) for thread_id, place in turns),
            *(timer_job(thread_id, at_ms) for thread_id, at_ms in timers),
            *(effect_job(thread_id, key, place) for thread_id, key, place in effects),
        ]

    async def runs_of(self, node_id: str) -> list[Job]:
        """Return the jobs that take a node's open runs over."""
        rows = await self._rows(_TURNS_OF, (node_id, _MOST))
        return [turn_job(thread_id, place) for thread_id, place in rows]

    async def forget(self) -> None:
        """Delete what nobody asks for any more."""
        for statement in _FORGET:
            await self._rows(statement, (), has_rows=False)

    async def _rows(
        self, statement: str, given: Sequence[Any], *, has_rows: bool = True
    ) -> list[tuple[Any, ...]]:
        async with statements(self._connection) as connection:
            cursor = await connection.execute(statement, given)
            return list(await cursor.fetchall()) if has_rows else []

    async def _one(self, statement: str, given: Sequence[Any]) -> tuple[Any, ...] | None:
        rows = await self._rows(statement, given)
        return rows[0] if rows else None


async def _all(
    connection: psycopg.AsyncConnection[tuple[Any, ...]], statement: str
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(statement, (_MOST,))
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return rows
