"""Ask threads in PostgreSQL for something, from a process that serves none: no node has to be up.

What a command asks for is decided here, in one transaction under the thread's lock; the nodes do
what follows from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from msgspec.structs import replace

from goalfsm.cluster.decider import Attempt, Decider
from goalfsm.cluster.host import hostname
from goalfsm.cluster.jobs import turn_job
from goalfsm.cluster.postgres_nodes import PostgresNodes
from goalfsm.cluster.postgres_tx import (
    Connection,
    PostgresTransactions,
    configure,
    unavailable,
)
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.daemon.flow.authority import admitted_here, sealed
from goalfsm.daemon.flow.decide import single
from goalfsm.daemon.flow.envelopes import Envelope
from goalfsm.daemon.host.clock import IdSource
from goalfsm.errors import OutcomeUnknown
from goalfsm.session.events import GIVING, Expecting, ToolCalled
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply, Rules

if TYPE_CHECKING:
    from goalfsm.session.events import Event

PATIENCE_S: Final = 5.0
"""How long a command tries to find out what became of what it asked for."""
_AGAIN_S: Final = 0.2
_T = TypeVar("_T")


class _Single:
    """One connection in the place of a pool."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._open: psycopg.AsyncConnection[tuple[Any, ...]] | None = None

    @contextlib.asynccontextmanager
    async def connection(
        self,
        timeout: float | None = None,  # noqa: ASYNC109  as the pool calls it
    ) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
        del timeout
        if self._open is None or self._open.closed:
            self._open = await psycopg.AsyncConnection.connect(self._dsn, connect_timeout=3)
            await configure(self._open)
        try:
            yield self._open
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                await self._open.rollback()
            raise
        await self._open.commit()

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()


class ClusterClient:
    """Decides about the threads of a database for a command; every method may be called once more.

    Synchronous: each call runs a loop of its own.
    """

    def __init__(self, dsn: str, *, policy: Policy | None = None) -> None:
        """Ask for the threads of ``dsn``; a new thread gets ``policy``."""
        self._dsn = dsn
        self._policy = policy or Policy()

    def request(self, thread_id: str, event: Event, event_id: str) -> Reply:
        """Have an event decided; return the reply when it is durable.

        Sending the same ``event_id`` again is harmless. Raises GoalError when nothing was written:
        also where what is asked for is not this process's to ask for.
        """
        allowed = self.admitted(event)
        return self._run(lambda connection: self._decide(connection, thread_id, allowed, event_id))

    def admitted(self, event: Event) -> Event:
        """Return ``event`` as this process may say it, with who said it and where."""
        allowed = admitted_here(event, "")
        if isinstance(allowed, Expecting) and allowed.by is not None:
            allowed = replace(allowed, by=replace(allowed.by, host=hostname()))
        return allowed

    def put_program(self, thread_id: str, place: str, config: bytes) -> None:
        """Store who runs the thread's turns and where; a turn that waits moves there."""
        self._run(lambda connection: self._put_program(connection, thread_id, place, config))

    async def _put_program(
        self, connection: Connection, thread_id: str, place: str, config: bytes
    ) -> None:
        jobs = ProcrastinateJobs(connection)
        await PostgresNodes(connection).put_program(thread_id, place, config)
        async with PostgresTransactions(connection, jobs).begin() as tx:
            await jobs.move(tx, turn_job(thread_id, place))

    async def _decide(
        self, connection: Connection, thread_id: str, event: Event, event_id: str
    ) -> Reply:
        transactions = PostgresTransactions(connection, ProcrastinateJobs(connection))
        decider = Decider(
            transactions,
            IdSource(),
            policy=self._policy,
            rules=Rules(),
            host=hostname(),
        )
        if not isinstance(event, (*GIVING, ToolCalled)):
            loaded, _ = await decider.look(thread_id)
            if loaded.revision == 0:
                return _unknown(thread_id)
        envelope = Envelope(single(sealed(event)), event_id=event_id, outside=True)
        attempt = Attempt(thread_id, [envelope])
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                decision = await decider.decide(attempt)
            except OutcomeUnknown:
                if time.monotonic() >= deadline:
                    raise
                await asyncio.sleep(_AGAIN_S)
                continue
            if decision.failures:
                raise decision.failures[0].error
            ((_, reply),) = decision.answers
            return reply

    def _run(self, doing: Callable[[Connection], Coroutine[Any, Any, _T]]) -> _T:
        async def whole() -> _T:
            single = _Single(self._dsn)
            try:
                return await doing(Connection(single))
            except psycopg.Error as error:
                raise unavailable(error) from error
            finally:
                await single.close()

        return asyncio.run(whole())


def _unknown(thread_id: str) -> Reply:
    return Reply(
        ok=False,
        code="unknown_thread",
        message=f"there is no thread {thread_id}",
        hint="goalfsm list shows the threads",
    )
