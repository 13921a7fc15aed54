"""A worker that tells of every point where a crash would leave something else behind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import TYPE_CHECKING

from goalfsm.daemon.config import WorkerSource, given_worker

if TYPE_CHECKING:
    from goalfsm.workers.protocol import (
        Capability,
        Compaction,
        Probe,
        ToolResult,
        TurnEvent,
        Work,
        Worker,
    )


class TellingWorker:
    """Hands everything on to another worker, between two points each."""

    def __init__(self, worker: Worker, reach: Callable[[str], None]) -> None:
        """Call ``reach`` before and after what ``worker`` is asked for."""
        self._worker = worker
        self._reach = reach

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what the other worker can do."""
        return self._worker.capabilities

    async def run(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        """Run the turn."""
        self._reach(f"before the worker starts turn {work.turn} of {work.thread_id}")
        events = self._worker.run(work)
        try:
            async for event in events:
                yield event
                what = type(event).__name__
                self._reach(f"after the worker told {what} in turn {work.turn} of {work.thread_id}")
        finally:
            if (close := getattr(events, "aclose", None)) is not None:
                await close()

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Hand a message to the running turn."""
        with self._telling(f"steering with {message_id}"):
            return await self._worker.steer(run_id, message_id, text)

    async def abort(self, run_id: str) -> bool:
        """End the running turn."""
        with self._telling(f"aborting {run_id}"):
            return await self._worker.abort(run_id)

    async def compact(self, work: Work) -> Compaction:
        """Shorten the context."""
        with self._telling(f"compacting {work.thread_id}"):
            return await self._worker.compact(work)

    async def probe(self, run_id: str) -> Probe:
        """Tell how a run of an earlier engine ended."""
        return await self._worker.probe(run_id)

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Take the answer of one of the goal's tools."""
        return await self._worker.tool_result(run_id, call_id, result)

    @contextlib.contextmanager
    def _telling(self, what: str) -> Iterator[None]:
        self._reach(f"before {what}")
        yield
        self._reach(f"after {what}")


def telling_source(
    source: WorkerSource, reach: Callable[[str], None]
) -> Callable[[str], Worker | None]:
    """Return a thread's worker as ``source`` does, which tells of its points."""

    def worker_of(thread_id: str) -> Worker | None:
        worker = given_worker(thread_id, source)
        return None if worker is None else TellingWorker(worker, reach)

    return worker_of
