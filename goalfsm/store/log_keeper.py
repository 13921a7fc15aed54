"""The length of a store's log: it is moved beside the commits, then once with commits held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import StoreError

if TYPE_CHECKING:
    from goalfsm.store.port import Checkpointer

CHECKPOINT_FRAMES: Final = 4_000
"""Pages (of 4 KiB) that the log holds before it is moved and, with commits held, started over.

Pages that were written again meanwhile are moved once, so a longer log costs less; one of 16 MiB
still opens in no time."""


LEAST_FRAMES: Final = 64
"""A log of this length fills no disk."""


class PumpStats(msgspec.Struct, kw_only=True):
    """What a pump has done; the seconds are those that commits were held for the log."""

    events: int = 0
    batches: int = 0
    largest: int = 0
    checkpoints: int = 0
    held_s: float = 0.0


class LogKeeper(msgspec.Struct, eq=False):
    """Keeps the store's log short: moves it beside the commits, then once with commits held.

    A log of so many ``frames`` is moved; nothing is committed inside of ``held``.
    """

    held: Callable[[], AbstractAsyncContextManager[None]]
    stats: PumpStats
    checkpointer: Checkpointer | None
    frames: int
    error: StoreError | None = None
    """What kept the log from being moved the last time."""
    _later: int = 0
    """How many frames more the log has before it is moved again."""
    _left: int = 0
    """What the last run could not move."""
    _look_at: int = LEAST_FRAMES
    """From which length on the disk is asked whether it has room for more."""
    _running: asyncio.Task[None] | None = None
    _executor: ThreadPoolExecutor = msgspec.field(
        default_factory=partial(ThreadPoolExecutor, 1, thread_name_prefix="goalfsm-checkpoint")
    )

    def look(self) -> None:
        """Start when the log is long enough and nothing is running."""
        checkpointer = self.checkpointer
        if checkpointer is None or self._running is not None:
            return
        try:
            frames = checkpointer.backlog()
        except StoreError as error:
            # The commits are durable, whatever is wrong with the log's length.
            self.error = error
            return
        due = frames >= self.frames + self._later
        if due or (frames >= self._look_at and self._fills(checkpointer, frames)):
            # While a reader holds the log back, try less and less often.
            self._later = frames * 2 - self.frames
            self._running = asyncio.get_running_loop().create_task(self._run(checkpointer, frames))

    def _fills(self, checkpointer: Checkpointer, frames: int) -> bool:
        """Tell whether the log takes too much of a small disk, which is asked once in a while.

        What a reader holds back is tried less and less often there, too.
        """
        self._look_at = frames + LEAST_FRAMES
        return frames >= max(checkpointer.room(), 2 * self._left)

    async def _run(self, checkpointer: Checkpointer, frames: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._executor, checkpointer.run)
            async with self.held():
                begun = loop.time()
                moved = await loop.run_in_executor(self._executor, checkpointer.run)
                self._left = 0 if moved else frames
                self._look_at = LEAST_FRAMES
                if moved:
                    self._later = 0
                self.stats.held_s += loop.time() - begun
            self.stats.checkpoints += 1
            self.error = None
        except StoreError as error:
            # The commits are durable in the log; it grows until a later run succeeds. That comes
            # soon: a log left to double takes the room that a full disk was given.
            self._later = frames
            self.error = error
        finally:
            self._running = None

    async def close(self) -> None:
        """Wait for a run under way, then close the connection on its own thread."""
        if self._running is not None:
            await self._running
        checkpointer, self.checkpointer = self.checkpointer, None
        if checkpointer is not None:
            await asyncio.get_running_loop().run_in_executor(self._executor, checkpointer.close)
            self._executor.shutdown(wait=True)
