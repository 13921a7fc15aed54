"""A worker of procrastinate that does our jobs, and has those come again that nobody does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Final

import msgspec
import procrastinate
import psycopg
from procrastinate import jobs as library
from procrastinate import manager, worker
from psycopg_pool import AsyncConnectionPool

from goalfsm.cluster.ending import ended
from goalfsm.cluster.jobs import Handler, Job
from goalfsm.cluster.postgres_tx import Connection, statements
from goalfsm.errors import StoreError

Pool = AsyncConnectionPool[psycopg.AsyncConnection[tuple[Any, ...]]]

# What ends the library's worker is told by whoever starts it again, in one line.
logging.getLogger("procrastinate").setLevel(logging.CRITICAL)

POLL_S: Final = 0.5
"""How often a worker looks for what no notification told of: delayed jobs, above all."""

# What a dead worker held, and what a living one of ours has held for some time without knowing of
# it: what it has only just been given it does not know of yet.
_RESCUE: Final = """
WITH stalled AS (
    SELECT j.id, j.queueing_lock FROM goalfsm.procrastinate_jobs j
    LEFT JOIN goalfsm.procrastinate_workers w ON w.id = j.worker_id
    WHERE j.status = 'doing' AND (w.id IS NULL
        OR w.last_heartbeat < clock_timestamp() - make_interval(secs => %s)
        OR (w.id = %s AND NOT j.id = ANY(%s) AND NOT EXISTS (
            SELECT 1 FROM goalfsm.procrastinate_events e WHERE e.job_id = j.id
            AND e.type = 'started' AND e.at > clock_timestamp() - make_interval(secs => %s))))
    FOR UPDATE OF j SKIP LOCKED),
gone AS (DELETE FROM goalfsm.procrastinate_jobs j USING stalled s WHERE j.id = s.id
    RETURNING j.queue_name, j.task_name, j.queueing_lock, j.args)
INSERT INTO goalfsm.procrastinate_jobs (queue_name, task_name, queueing_lock, args)
SELECT DISTINCT ON (queueing_lock) queue_name, task_name, queueing_lock, args FROM gone
ON CONFLICT (queueing_lock) WHERE status = 'todo' DO NOTHING"""


class _Finishing(manager.JobManager):
    """Leaves a job whose end cannot be written to those who have jobs come again."""

    async def finish_job(
        self,
        job: library.Job,
        status: library.Status,
        delete_job: bool,  # noqa: FBT001  the library's
    ) -> None:
        with contextlib.suppress(procrastinate.exceptions.ConnectorException):
            await super().finish_job(job, status, delete_job)


class LibraryWorker:
    """One worker of the library, and what it holds."""

    def __init__(
        self,
        pool: Pool,
        handler: Handler,
        *,
        task: str,
        queues: list[str],
        most: int,
        stalled_s: float,
    ) -> None:
        """Do the jobs of ``queues`` by ``handler``, ``most`` at once.

        After ``stalled_s`` without a heartbeat a worker counts as dead.
        """
        self._stalled_s = stalled_s
        self._pool = pool
        self._connection = Connection(pool)
        self._handler = handler
        self._held: set[int] = set()
        connector = procrastinate.PsycopgConnector()
        app = procrastinate.App(connector=connector)
        app.job_manager = _Finishing(connector)
        app.task(name=task, pass_context=True)(self._do)
        self._app = app
        self._connector = connector
        self._worker = worker.Worker(
            app,
            queues=queues,
            name=None,
            concurrency=most,
            fetch_job_polling_interval=POLL_S,
            abort_job_polling_interval=3_600.0,
            delete_jobs=library.DeleteJobCondition.ALWAYS,
            install_signal_handlers=False,
            update_heartbeat_interval=stalled_s / 5,
            stalled_worker_timeout=stalled_s,
        )

    async def run(self) -> None:
        """Do jobs until cancelled; then return when those that are under way are over."""
        await self._connector.open_async(self._pool)
        rescuing = asyncio.ensure_future(self._rescue())
        working = asyncio.ensure_future(self._worker.run())  # type: ignore[no-untyped-call]
        try:
            await asyncio.shield(working)
        except asyncio.CancelledError:
            # What is cancelled while it waits for the server may miss that; this is seen later.
            self._worker.stop()  # type: ignore[no-untyped-call]
            working.cancel()
            await working
            raise
        finally:
            await ended([rescuing])

    async def _do(self, context: procrastinate.JobContext, job: dict[str, Any]) -> None:
        held = context.job.id
        assert held is not None  # noqa: S101  it comes from a row
        self._held.add(held)
        try:
            await self._handler(msgspec.convert(job, Job))
        finally:
            # Its row goes a moment later.
            asyncio.get_running_loop().call_later(self._stalled_s, self._held.discard, held)

    async def _rescue(self) -> None:
        """Have jobs come again that nobody does any more."""
        while True:
            await asyncio.sleep(self._stalled_s / 2)
            with contextlib.suppress(StoreError):
                async with statements(self._connection) as connection:
                    held, after_s = list(self._held), self._stalled_s
                    await connection.execute(
                        _RESCUE, (after_s, self._worker.worker_id, held, after_s)
                    )
