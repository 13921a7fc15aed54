"""A loop on virtual time for tests of the pump, and a store that notes its batches."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from goalfsm.store.memory import MemoryStore
from goalfsm.store.port import Checkpointer, Commit, Done, Outcome
from goalfsm.store.pump import Pump
from tests.store.handles import owned


class _Selector(selectors.SelectSelector):
    """Instead of waiting, lets the time pass that it was to wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.now += timeout
            timeout = 0
        return super().select(timeout)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine on virtual time, bounded by real time."""
    selector = _Selector()

    def make() -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(selector)
        loop.time = lambda: selector.now  # type: ignore[method-assign]
        return loop

    with asyncio.Runner(loop_factory=make) as runner:
        runner.run(main())


class Recorder(MemoryStore):
    """A store that notes its batches, and fails or has a log when it is told to."""

    def __init__(self) -> None:
        """Own a store in memory."""
        super().__init__()
        self.batches: list[list[str]] = []
        self.marks: list[list[str]] = []
        self.failures: list[BaseException] = []
        self.keeper: Checkpointer | None = None
        owned(self)

    def commit(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Commit, and note what."""
        self.batches.append([c.thread_id for c in batch])
        self.marks.append([mark.key for mark in done])
        if self.failures:
            raise self.failures.pop(0)
        return super().commit(batch, done=done)

    def checkpointer(self) -> Checkpointer | None:
        """Return what the test has set."""
        return self.keeper


async def submitted(pump: Pump, *commits: Commit) -> list[asyncio.Future[Outcome]]:
    """Submit commits that are sure to be taken together."""
    async with pump.held():
        return [pump.submit(each) for each in commits]
