"""A loop on virtual time for tests of the pump, and a store that notes its batches."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from goalfsm.errors import StoreError
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


class Piece:
    """A source that has some commits to make, once, and says what became of each."""

    def __init__(self, commits: Sequence[Commit]) -> None:
        """Have these to commit, as one piece."""
        loop = asyncio.get_running_loop()
        self._commits = commits
        self.futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in commits]

    def commits(self) -> Sequence[Commit]:
        """Return all, or none once nobody waits for any of them."""
        return () if all(future.cancelled() for future in self.futures) else self._commits

    def settled(self, result: Sequence[Outcome] | StoreError) -> None:
        """Tell whoever waits."""
        for number, future in enumerate(self.futures):
            if isinstance(result, StoreError):
                future.set_exception(result)
            else:
                future.set_result(result[number])


def submit(pump: Pump, commit: Commit) -> asyncio.Future[Outcome]:
    """Have one commit made; return its outcome to come."""
    return submit_together(pump, [commit])[0]


def submit_together(pump: Pump, commits: Sequence[Commit]) -> list[asyncio.Future[Outcome]]:
    """Have commits made as one piece; return their outcomes to come."""
    piece = Piece(commits)
    pump.ready(piece)
    return piece.futures
