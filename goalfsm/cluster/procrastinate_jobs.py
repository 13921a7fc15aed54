"""Jobs by procrastinate, whose tables stand in our schema.

Only this file and the worker beside it know the library. A job is one row, written within our
transaction; a worker of the library takes it. A worker that ends because PostgreSQL is away is
started again, and jobs that a dead worker held come again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Final, LiteralString

import msgspec
import structlog
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from goalfsm.cluster.jobs import Handler, Job, Kind
from goalfsm.cluster.postgres_tx import Connection, PostgresTx, statements
from goalfsm.errors import described
from goalfsm.session.state import RULES_VERSION
from goalfsm.store.postgres.schema import LOCK

if TYPE_CHECKING:
    import psycopg

TASK: Final = "goalfsm"
STALLED_S: Final = 10.0
"""After how long without a heartbeat a worker's jobs come again; leases decide who may do them."""
_UNGATED: Final = 6
"""The rules of the first version that leaves a job to others; there are no older nodes."""
_LONGEST: Final = 63 - len("procrastinate_queue_v1#")
"""How many bytes the name of a queue may have: those of a channel's that the server takes."""
_DIGEST: Final = 16
AGAIN_S: Final = 0.5
"""How long after its end a worker is started again."""

_ENQUEUE: Final = f"""
INSERT INTO goalfsm.procrastinate_jobs (queue_name, task_name, queueing_lock, args, scheduled_at)
VALUES (%s, '{TASK}', %s, %s, to_timestamp(%s::double precision / 1000))
ON CONFLICT (queueing_lock) WHERE status = 'todo'
DO UPDATE SET scheduled_at = CASE
    WHEN EXCLUDED.scheduled_at IS NULL THEN NULL
    ELSE LEAST(procrastinate_jobs.scheduled_at, EXCLUDED.scheduled_at) END
WHERE procrastinate_jobs.scheduled_at IS NOT NULL"""
_ALIVE: Final = """
SELECT j.queueing_lock FROM goalfsm.procrastinate_jobs j
LEFT JOIN goalfsm.procrastinate_workers w ON w.id = j.worker_id
WHERE j.queueing_lock = ANY(%s) AND (j.status = 'todo' OR (j.status = 'doing'
    AND w.last_heartbeat > clock_timestamp() - make_interval(secs => %s)))"""
_MOVE: Final = """
UPDATE goalfsm.procrastinate_jobs SET queue_name = %s
WHERE queueing_lock = %s AND status = 'todo'"""
_WAITING: Final = """
SELECT id, args #>> '{job,thread_id}' FROM goalfsm.procrastinate_jobs
WHERE status = 'todo' AND queue_name = ANY(%s)
    AND (scheduled_at IS NULL OR scheduled_at <= clock_timestamp())
ORDER BY id LIMIT %s"""
_log = structlog.get_logger(__name__)


def queue_of(kind: Kind, place: str, rules: int = 0) -> str:
    """Return the queue of a kind of jobs at a place; timers are anybody's.

    What a node of older rules had to leave to newer ones waits in a queue of its own.
    """
    queue = "timer" if kind == "timer" else f"{kind}/{place}"
    queue = f"{queue}/rules-{rules}" if rules else queue
    name = queue.encode()
    if len(name) <= _LONGEST:
        return queue
    # The library tells of a job on a channel that is named after the queue.
    digest = hashlib.sha256(name).hexdigest()[:_DIGEST]
    return f"{name[: _LONGEST - _DIGEST - 1].decode(errors='ignore')}~{digest}"


def queues_of(kinds: Collection[Kind], places: Collection[str]) -> list[str]:
    """Return the queues that a node takes jobs from: none of rules that it does not know."""
    known = (0, *range(_UNGATED + 1, RULES_VERSION + 1))
    return sorted(
        {queue_of(kind, place, rules) for kind in kinds for place in places for rules in known}
    )


def install(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Create the library's tables in our schema, where they are not there."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        there = connection.execute("SELECT to_regclass('goalfsm.procrastinate_jobs')").fetchone()
        if there is not None and there[0] is None:
            from procrastinate.schema import SchemaManager  # noqa: PLC0415  only once

            schema: LiteralString = SchemaManager.get_schema()
            connection.execute("SET LOCAL search_path = goalfsm")
            connection.execute(schema)


class ProcrastinateJobs:
    """The port `goalfsm.cluster.jobs.Jobs`, on the connections of a pool."""

    def __init__(self, connection: Connection, *, stalled_s: float = STALLED_S) -> None:
        """Use connections whose search path begins with our schema.

        After ``stalled_s`` without a heartbeat a worker's jobs come again.
        """
        self._connection = connection
        self._stalled_s = stalled_s

    async def enqueue(self, tx: PostgresTx, jobs: Sequence[Job]) -> None:
        """Enqueue within the transaction."""
        for job in jobs:
            await tx.connection.execute(
                _ENQUEUE,
                (
                    queue_of(job.kind, job.place, job.rules),
                    job.key,
                    Jsonb({"job": msgspec.to_builtins(job)}),
                    job.at_ms,
                ),
            )

    async def move(self, tx: PostgresTx, job: Job) -> None:
        """Have a job that waits, if there is one, wait at another place."""
        await tx.connection.execute(_MOVE, (queue_of(job.kind, job.place), job.key))

    async def alive(self, keys: Collection[str]) -> set[str]:
        """Return the keys of jobs that wait, or are done by somebody who lives."""
        if not keys:
            return set()
        async with statements(self._connection) as connection:
            rows = await (
                await connection.execute(_ALIVE, (list(keys), self._stalled_s))
            ).fetchall()
        return {row[0] for row in rows}

    async def waiting(self, places: Collection[str], most: int) -> list[tuple[int, str]]:
        """Return the first turns, ``most``, that wait for one of these places."""
        queues = queues_of(["turn"], places)
        async with statements(self._connection) as connection:
            rows = await (await connection.execute(_WAITING, (queues, most))).fetchall()
        return [(number, thread_id) for number, thread_id in rows]

    async def serve(
        self, handler: Handler, *, kinds: Collection[Kind], places: Collection[str], most: int
    ) -> None:
        """Do jobs until cancelled; start the library's worker again as often as it ends."""
        # A command that only enqueues loads no library.
        from goalfsm.cluster.procrastinate_worker import LibraryWorker  # noqa: PLC0415

        pool = self._connection.pool
        assert isinstance(pool, AsyncConnectionPool)  # noqa: S101  only nodes serve
        queues = queues_of(kinds, places)

        async def serving() -> None:
            worker = LibraryWorker(
                pool, handler, task=TASK, queues=queues, most=most, stalled_s=self._stalled_s
            )
            try:
                await worker.run()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # The library met a failure while it ended, and that has hidden the request.
                    raise asyncio.CancelledError from error
                # The library says of every failure that it is one of the database.
                why = described(error.__cause__ or error)
                _log.warning("the worker for jobs ended", queues=queues, error=why)

        always = retry_if_result(lambda _: True)
        await AsyncRetrying(wait=wait_fixed(AGAIN_S), retry=always)(serving)
