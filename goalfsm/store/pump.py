"""Group commit for asyncio: everything that is ready becomes one transaction.

The pump commits on the loop's own thread: a writer thread would cost a hop for each commit and win
nothing, for the loop has nothing to do that may overtake a commit. A source says that it has
something to commit, and is asked for it in the next turn of the loop: what happens in one turn is
one transaction, and while one is being synced the next gathers by itself, so a batch is as large
as the load. The pump knows no SQL and works with any `goalfsm.store.port.Store`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, Protocol

from goalfsm.errors import (
    Busy,
    DiskFull,
    Fenced,
    StoreClosed,
    StoreError,
    StoreUnavailable,
    described,
)
from goalfsm.store.log_keeper import CHECKPOINT_FRAMES, LogKeeper, PumpStats
from goalfsm.store.port import Commit, Done, Outcome, Store

BATCH: Final = 64
"""Most events in one transaction."""

GATHER_S: Final = 0.001
"""How long a batch may wait for sources that are about to be ready, while more come each turn."""

TURN_S: Final = 0.005
"""How long one thread may commit without a turn of the loop."""

LINGER_S: Final = 0.05
"""How long a mark waits for a commit to ride with."""

LOCKED_S: Final = 0.01
"""How long it takes to the next try while another process holds the store's lock."""

PATIENCE_S: Final = 0.3
"""How long such tries go on before whoever waits is told: others hold a lock for a commit."""

RETRY_S: Final = 1.0
"""How long marks wait that the store did not take, when no commit comes along first."""

LOOK_EVERY: Final = 8
"""How many commits go by between two looks at the length of the log."""


class Source(Protocol):
    """Whoever has something to commit: one thread."""

    def commits(self) -> Sequence[Commit]:
        """Return what is to be committed now as one piece, nothing where nothing is left.

        Asked once more before `settled` is called, it returns the same.
        """
        ...

    def settled(self, result: Sequence[Outcome] | StoreError) -> None:
        """Take note of the outcomes, in the order of the commits, or of what kept all of them out.

        After `OutcomeUnknown` reopen the store, and commit the very same again.
        """
        ...


_Taken = list[tuple[Source, int]]
"""Sources of a batch, and how many commits of it are theirs."""


class Pump:
    """Gathers commits and marks of one store; belongs to the running loop."""

    def __init__(
        self,
        store: Store,
        *,
        checkpoint_frames: int = CHECKPOINT_FRAMES,
        look_every: int = LOOK_EVERY,
    ) -> None:
        """Pump into ``store``; start a thread only when the store wants checkpoints.

        ``look_every`` is how many commits go by between two looks at the length of the log.
        """
        self.stats = PumpStats()
        self._store = store
        self._look_every = look_every
        self._loop = asyncio.get_running_loop()
        self._ready: deque[Source] = deque()
        self._marks: list[Done] = []
        self._put_off = False
        self._scheduled = False
        self._flushing = False
        self._seen = 0
        self._since = 0.0
        self._company = False
        self._holds = 0
        self._closed = False
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self._linger: asyncio.TimerHandle | None = None
        self._locked_at: float | None = None
        """Since when another process has held the lock."""
        self._log = LogKeeper(self.held, self.stats, store.checkpointer(), checkpoint_frames)

    @property
    def checkpoint_error(self) -> StoreError | None:
        """Return what kept the log from being moved the last time, None where nothing did."""
        return self._log.error

    def ready(self, source: Source) -> None:
        """Ask ``source`` for its commits in the next turn of the loop, after those before it.

        Its commits go into one transaction: a crash leaves all of them or none, where all of them
        can be applied.
        """
        if not self._ready:
            self._idle.clear()
        self._ready.append(source)
        if not self._scheduled and not self._flushing:
            self._schedule()

    def mark_done(self, key: str, *, at_ms: int) -> None:
        """Record that an effect was done, with the next batch or within `LINGER_S`.

        A mark that a crash loses makes the effect run again, which its key makes harmless; so
        nobody waits for one.
        """
        if self._closed:
            raise _closed()
        self._marks.append(Done(key=key, at_ms=at_ms))
        self._put_off = False
        self._idle.clear()
        if self._linger is None:
            self._linger = self._loop.call_later(LINGER_S, self._schedule)

    async def drain(self) -> None:
        """Wait until everything that was ready is durable or has failed once."""
        while self._ready or (self._marks and not self._put_off):
            self._schedule()
            await self._idle.wait()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Commit nothing while inside; what gets ready meanwhile waits."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1
            if self._holds == 0 and (self._ready or self._marks):
                self._schedule()

    async def close(self) -> None:
        """Commit what is ready, then refuse more. The store stays open."""
        await self.drain()
        self._closed = True
        self._cancel_linger()
        await self._log.close()

    def _schedule(self) -> None:
        if not self._scheduled and self._holds == 0:
            self._scheduled = True
            if self._company:
                self._seen, self._since = 0, self._loop.time()
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        if self._holds or (self._company and self._wait_for_more()):
            return
        self._flushing = True
        try:
            self._commit_ready()
        finally:
            self._flushing = False
        if self._ready:
            self._schedule()
        elif not self._marks or self._put_off:
            self._idle.set()

    def _commit_ready(self) -> None:
        """Commit a batch; go on where one thread is alone and has more to commit at once."""
        until = 0.0
        while True:
            taken, batch = self._take()
            if batch or self._marks:
                self._commit(taken, batch)
            if not self._ready or self._company or self._holds or self._scheduled:
                return
            # A turn of the loop is a tenth of a commit.
            now = self._loop.time()
            until = until or now + TURN_S
            if now >= until:
                return

    def _take(self) -> tuple[_Taken, Sequence[Commit]]:
        """Return what goes into the next transaction: whole pieces, one at least."""
        ready = self._ready
        taken: _Taken = []
        batch: Sequence[Commit] = ()
        while ready:
            try:
                commits = ready[0].commits()
            except Exception as error:  # noqa: BLE001 - a defect in one keeps nothing from the others
                self._defect("what is to be committed cannot be told", error)
                commits = ()
            if batch and len(batch) + len(commits) > BATCH:
                break
            source = ready.popleft()
            if commits:
                taken.append((source, len(commits)))
                batch = [*batch, *commits] if batch else commits
        self._company = len(taken) > 1
        return taken, batch

    def _wait_for_more(self) -> bool:
        """Give one more turn of the loop to sources that are about to be ready.

        Only when the last batch had company, and while each turn brings more: alone, waiting is
        latency for nothing.
        """
        ready = len(self._ready)
        grew = ready > self._seen
        if not grew or ready >= BATCH or self._loop.time() - self._since >= GATHER_S:
            return False
        self._scheduled = True
        self._seen = ready
        self._loop.call_soon(self._flush)
        return True

    def _commit(self, taken: _Taken, batch: Sequence[Commit]) -> None:
        """Commit these and the marks that wait, and tell who waits for them."""
        marks, self._marks = self._marks, []
        if marks:
            self._cancel_linger()
        if self._closed:
            self._failed(_closed(), taken, marks)
            return
        try:
            outcomes = self._store.commit(batch, done=marks)
        except Exception as error:  # noqa: BLE001 - whoever waits must learn of a defect, too
            self._failed(error, taken, marks)
            return
        self._put_off, self._locked_at = False, None
        stats = self.stats
        stats.events += len(batch)
        stats.batches += 1
        stats.largest = max(stats.largest, len(batch))
        if len(taken) == 1:
            self._tell(taken[0][0], outcomes)
        else:
            first = 0
            for source, count in taken:
                self._tell(source, outcomes[first : first + count])
                first += count
        if stats.batches % self._look_every == 0:
            self._log.look()

    def _tell(self, source: Source, result: Sequence[Outcome] | StoreError) -> None:
        try:
            source.settled(result)
        except Exception as error:  # noqa: BLE001 - as above
            self._defect("what follows a commit failed", error)

    def _defect(self, message: str, error: Exception) -> None:
        self._loop.call_exception_handler({"message": message, "exception": error})

    def _try_again(self, taken: _Taken, marks: list[Done]) -> bool:
        """Put back what met another's lock and try soon; False when that has lasted long enough.

        The loop does not wait for the lock: what a person says meanwhile is heard, and goes with
        the next try. tenacity would repeat this batch as it was.
        """
        now = self._loop.time()
        if self._locked_at is None:
            self._locked_at = now
        if not taken or now - self._locked_at >= PATIENCE_S:
            return False
        self._marks = marks + self._marks
        self._ready.extendleft(source for source, _ in reversed(taken))
        self._scheduled = True
        self._loop.call_later(LOCKED_S, self._flush)
        return True

    def _failed(self, error: Exception, taken: _Taken, marks: list[Done]) -> None:
        if isinstance(error, Busy) and self._try_again(taken, marks):
            return
        if isinstance(error, StoreError) and not isinstance(error, Fenced | StoreClosed):
            # They ride with the next batch: marking twice is harmless.
            self._marks = marks + self._marks
            # Also those that were put off before have another try with a batch that failed.
            self._put_off = not taken
            if isinstance(error, DiskFull) and not taken:
                # Nobody waits for marks, so nobody else makes room: it may be the log that is full.
                self._store.release_reserve()
            if self._marks and self._linger is None:
                wait_s = RETRY_S if self._put_off else LINGER_S
                self._linger = self._loop.call_later(wait_s, self._schedule)
        for source, _ in taken:
            self._tell(source, _own(error))

    def _cancel_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None


def _own(error: Exception) -> StoreError:
    """Return an error for one who waits: an exception gathers the traceback of all who raise it."""
    if not isinstance(error, StoreError):
        # A defect of the store's: nothing is known to be written, so it is tried again.
        mine: StoreError = StoreUnavailable(described(error))
    else:
        mine = type(error)(error.message, code=error.code, hint=error.hint, remedies=error.remedies)
    mine.__cause__ = error
    return mine


def _closed() -> StoreClosed:
    return StoreClosed("the pump was closed")
