"""What an engine hands to a worker, and what it takes from one that raised."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from goalfsm.daemon.config import Processes, Workers
from goalfsm.daemon.flow.turn import Gathered, message_of, nowhere
from goalfsm.store.memory import MemoryStore
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.supervisor.client import Supervisor


class Starting(w.RunOnly):
    """A worker that starts processes; it never runs a turn here."""

    supervisor: Callable[[], Awaitable[Supervisor]] | None = None

    def bind(self, supervisor: Callable[[], Awaitable[Supervisor]]) -> None:
        self.supervisor = supervisor

    async def run(self, work: w.Work) -> AsyncIterator[w.TurnEvent]:
        yield w.Text(text=work.prompt)


async def nothing(_: w.Work) -> str:
    return ""


def test_a_worker_that_starts_processes_gets_the_supervisor() -> None:
    async def main() -> None:
        processes, starting = Processes(""), Starting()
        workers = Workers({"t": starting}, MemoryStore().workers, processes)
        assigned = await workers.assignment("t")
        assert assigned is not None
        assert assigned.worker is starting
        assert starting.supervisor == processes.supervisor
        assert not isinstance(CallableWorker(nothing), w.Supervised)

    asyncio.run(main())


class Limited(Exception):
    """The shape of a provider's error: what it asks for is in its response's headers."""

    status_code = 429
    headers = {"retry-after": "17"}  # noqa: RUF012 - as such libraries have it


def test_an_exception_speaks_for_itself() -> None:
    seen = Gathered("token")
    seen.error = w.ErrorReported(message="Limited: slow", kind="exception", exception=Limited())
    assert message_of(seen, nowhere).retry_after == 17.0
    seen.error = w.ErrorReported(message="python exited: 503", text="503")
    assert (message_of(seen, nowhere).error, message_of(seen, nowhere).retry_after) == ("503", None)
