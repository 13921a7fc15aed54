"""Ask threads in PostgreSQL for something, from a process that serves none: no node has to be up.

What a command asks for is decided here, in one transaction under the thread's lock; the nodes do
what follows from it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from msgspec.structs import replace
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from goalfsm.cluster.decider import Attempt, Decider, Decision
from goalfsm.cluster.following import Followed
from goalfsm.cluster.host import hostname
from goalfsm.cluster.jobs import ANY, turn_job
from goalfsm.cluster.postgres_nodes import PostgresNodes
from goalfsm.cluster.postgres_tx import (
    Connection,
    PostgresTransactions,
    configure,
    unavailable,
)
from goalfsm.cluster.procrastinate_jobs import ProcrastinateJobs
from goalfsm.cluster.with_program import WithProgram
from goalfsm.daemon.config import decode_config
from goalfsm.daemon.flow.authority import admitted_here
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.flow.notices import Notice, Problem
from goalfsm.daemon.host.platform import IdSource
from goalfsm.daemon.remote.direct import session_of
from goalfsm.daemon.remote.reading import driver_of
from goalfsm.daemon.remote.wire import unknown
from goalfsm.errors import OutcomeUnknown, StoreUnavailable
from goalfsm.session import codec
from goalfsm.session.codec import sealed
from goalfsm.session.context import Rules
from goalfsm.session.events import (
    GIVING,
    Expecting,
    ToolCalled,
)
from goalfsm.session.policy import Policy
from goalfsm.session.state import Reply, Session
from goalfsm.store.postgres import open_store
from goalfsm.views.status import project

if TYPE_CHECKING:
    from goalfsm.cluster.tx import Transactions
    from goalfsm.session.events import Event
    from goalfsm.store.address import Server
    from goalfsm.store.postgres.store import PostgresReading
    from goalfsm.views.status import Status

PATIENCE_S: Final = 5.0
"""How long a command tries to find out what became of what it asked for."""
_AGAIN_S: Final = 0.2
_LOOK_S: Final = 0.1
_AWAY_S: Final = 1.0
"""How long a server that cannot be reached is left alone."""
"""How often a thread that is followed is looked at."""
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

    def __init__(self, server: Server, *, policy: Policy | None = None) -> None:
        """Ask for the threads of ``server``; a new thread gets ``policy``."""
        self._server = server
        self.answered = False
        self._dsn = server.url
        self._policy = policy or Policy()

    def request(
        self, thread_id: str, event: Event, event_id: str, *, program: bytes | None = None
    ) -> Reply:
        """Have an event decided; return the reply when it is durable.

        Sending the same ``event_id`` again is harmless. ``program`` is stored with it as who runs
        the thread's turns and where; a refused event leaves that as it was. Raises GoalError when
        nothing was written: also where what is asked for is not this process's to ask for.
        """
        allowed = self.admitted(event)

        def asked(connection: Connection) -> Coroutine[Any, Any, Reply]:
            jobs = ProcrastinateJobs(connection)
            transactions: Transactions = (plain := PostgresTransactions(connection, jobs))
            if program is not None:
                transactions = WithProgram(plain, jobs, thread_id, _place_of(program), program)
            return self._decide(transactions, thread_id, allowed, event_id)

        return self._run(asked)

    def admitted(self, event: Event) -> Event:
        """Return ``event`` as this process may say it, with who said it and where."""
        allowed = admitted_here(event, "")
        if isinstance(allowed, Expecting) and allowed.by is not None:
            allowed = replace(allowed, by=replace(allowed.by, host=hostname()))
        return allowed

    def prepare(self) -> None:
        """Make the tables where there are none, or bring them up to date. Raises `StoreError`."""
        from goalfsm.cluster.setup import prepare  # noqa: PLC0415  only what gives a goal needs it

        prepare(self._dsn)

    def put_program(self, thread_id: str, config: bytes) -> None:
        """Store who runs the thread's turns and where; a turn that waits moves there."""
        place = _place_of(config)
        self._run(lambda connection: self._put_program(connection, thread_id, place, config))

    def session(self, thread_id: str) -> tuple[Session | None, int]:
        """Return the thread's session and revision, None and 0 where there is none."""
        store = open_store(self._server)
        try:
            stored = store.sessions.load(thread_id)
        finally:
            store.close()
        if stored is None:
            return None, 0
        return codec.decode(stored.state), stored.revision

    def status(self, thread_id: str, *, timeout_s: float = PATIENCE_S) -> Status:
        """Return how the thread stands."""
        del timeout_s
        store = open_store(self._server)
        try:
            return self._status(store, thread_id)
        finally:
            store.close()

    def follow(
        self, thread_id: str, *, after_revision: int | None = None
    ) -> Generator[Notice, None, None]:
        """Yield what happens to a thread: first where it stands.

        With ``after_revision`` what was committed after that one comes first. A server that goes
        away is told once, and waited for.
        """
        followed, told = Followed(thread_id, self._status, after_revision), ""
        while True:
            try:
                store = open_store(self._server)
            except StoreUnavailable as error:
                if not followed.begun:
                    raise
                if error.message != told:
                    told = error.message
                    yield Problem(
                        thread_id=thread_id, code=error.code, message=told, hint=error.hint
                    )
                # What is yielded between two tries no retrier of tenacity's can yield.
                time.sleep(_AWAY_S)
                continue
            try:
                yield from followed.tell(store)
            except StoreUnavailable:
                # The next try to reach the server says why.
                continue
            finally:
                store.close()

    def _status(self, store: PostgresReading, thread_id: str) -> Status:
        driver, session = driver_of(store, thread_id), session_of(store, thread_id)
        return project(session, time.time_ns() // 1_000_000, thread_id=thread_id, driver=driver)

    async def _put_program(
        self, connection: Connection, thread_id: str, place: str, config: bytes
    ) -> None:
        jobs = ProcrastinateJobs(connection)
        await PostgresNodes(connection).put_program(thread_id, place, config)
        async with PostgresTransactions(connection, jobs).begin() as tx:
            await jobs.move(tx, turn_job(thread_id, place))

    async def _decide(
        self, transactions: Transactions, thread_id: str, event: Event, event_id: str
    ) -> Reply:
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
                return unknown(thread_id)
        envelope = Envelope(sealed(event), event_id=event_id, outside=True)
        finding_out = AsyncRetrying(
            stop=stop_after_delay(PATIENCE_S),
            wait=wait_fixed(_AGAIN_S),
            retry=retry_if_exception_type(OutcomeUnknown),
            reraise=True,
        )
        decision: Decision = await finding_out(decider.decide, Attempt(thread_id, [envelope]))
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


def _place_of(config: bytes) -> str:
    """Return where a program's turns run."""
    return decode_config(config).place or ANY
