"""What to do when the store fails: stop for good, settle what is unknown, or wait for better."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog
from tenacity import AsyncRetrying, retry_if_result, wait_exponential

from goalfsm.daemon.flow.holds import OUTAGE
from goalfsm.errors import (
    Corrupt,
    DatabaseReplaced,
    DiskFull,
    Fenced,
    OutcomeUnknown,
    StoreClosed,
    StoreError,
    StoreUnavailable,
)
from goalfsm.views.activity import suspended_by

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.flow.holds import Holds
    from goalfsm.daemon.flow.ports import Spawn
    from goalfsm.daemon.flow.threads import Threads
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.store.port import Store

FIRST_RETRY_S: Final = 0.05
LONGEST_RETRY_S: Final = 5.0
"""How long it waits between two tries at most; a disk that is full again sooner was full all along.
"""

_MOST_RELAPSES: Final = 10
"""From so many on the wait is the longest one in any case."""

_log = structlog.get_logger(__name__)


class StoreOutage:
    """Keeps an engine safe while its store cannot commit or read.

    Nothing is dispatched, what workers report is kept in memory, and every retry submits it
    again; who asks from outside is told at once that nothing was written.
    """

    def __init__(
        self,
        store: Store,
        threads: Threads,
        holds: Holds,
        subscriptions: Subscriptions,
        spawn: Spawn,
        give_up: Callable[[StoreError], None],
        show: Callable[[str], None],
    ) -> None:
        """End the engine by ``give_up`` where the store is another's or cannot be trusted.

        ``show`` is told the code of what keeps the store from committing, "" once nothing does.
        """
        self._show = show
        self._store = store
        self._threads = threads
        self._holds = holds
        self._subscriptions = subscriptions
        self._spawn = spawn
        self._give_up = give_up
        self._waiting: set[str] = set()
        """Threads with something that the store has not taken yet."""
        self._asked: set[str] = set()
        """Threads that were asked to try again and have not met the store yet."""
        self._answered = asyncio.Event()
        self._reopens = False
        """Whether the store's connection is not to be gone on with: it may refuse everything."""
        self._failed = False
        self.retrying = False
        """Whether threads try again: each that has an answer then says so by `past`."""
        self.present: StoreError | None = None
        """What keeps the store from committing, None while nothing does."""
        self._over_at: float | None = None
        """When the last outage ended, in the loop's time."""
        self._relapses = 0
        """How often the disk was full again at once: what fits then is less than a turn takes."""

    def met(self, thread_id: str | None, error: StoreError) -> None:
        """Deal with a failure; what the thread has to say waits until it is over."""
        self._failed = True
        if thread_id is not None:
            self._waiting.add(thread_id)
            self._answer(thread_id)
        match error:
            case Fenced() | DatabaseReplaced() | Corrupt() | StoreClosed():
                self._give_up(error)
            case OutcomeUnknown() | StoreUnavailable():
                self._reopens = True
                self._suspend(error)
            case _:
                self._suspend(error)

    def past(self, thread_id: str) -> None:
        """Take note that the store has answered for this thread."""
        self._waiting.discard(thread_id)
        self._answer(thread_id)

    def _answer(self, thread_id: str) -> None:
        self._asked.discard(thread_id)
        if not self._asked:
            self._answered.set()

    def _suspend(self, error: StoreError) -> None:
        if self.present is None:
            self._holds.add(OUTAGE)
            self._note_relapse(error)
            _log.error("the store cannot commit", code=error.code, error=error.message)
            told = f"suspended, no turn starts: {suspended_by(error.code)} ({error.message})"
            self._subscriptions.problem(error.code, told, error.hint)
            if isinstance(error, DiskFull) and self._store.release_reserve():
                _log.warning("the space kept for a full disk was released")
        known, self.present = self.present, error
        if known is None or known.code != error.code:
            self._show(error.code)
            self._restate()
        if not self.retrying:
            self.retrying = True
            self._spawn(self._retry(), "store outage")

    def _note_relapse(self, error: StoreError) -> None:
        """Wait longer for a disk that has room for the least of what there is to write, only."""
        since, now = self._over_at, asyncio.get_running_loop().time()
        again = since is not None and now - since < LONGEST_RETRY_S
        relapsed = again and isinstance(error, DiskFull)
        self._relapses = min(self._relapses + 1, _MOST_RELAPSES) if relapsed else 0

    async def _retry(self) -> None:
        """Try until every thread has said what it had to say, waiting longer each time."""
        first = min(FIRST_RETRY_S * 2**self._relapses, LONGEST_RETRY_S)
        waits = wait_exponential(first, max=LONGEST_RETRY_S)
        retrying = AsyncRetrying(wait=waits, retry=retry_if_result(lambda over: not over))
        await asyncio.sleep(first)
        await retrying(self._try)
        self.retrying, self.present = False, None
        self._over_at = asyncio.get_running_loop().time()
        _log.info("the store commits again")
        self._show("")
        self._subscriptions.problem("recovered", "the database can be written again: work goes on")
        self._restate()
        self._holds.release(OUTAGE)

    def _restate(self) -> None:
        """Tell those who follow a thread how it stands now."""
        for thread_id in self._subscriptions.threads():
            session = self._threads.known(thread_id)
            if session is not None:
                self._subscriptions.restate(thread_id, session)

    async def _try(self) -> bool:
        """Have everything that waits tried again; tell whether nothing failed."""
        self._failed = False
        if isinstance(self.present, DiskFull):
            # What could not be moved before may be by now.
            self._store.release_reserve()
        try:
            if self._reopens:
                self._store.reopen()
                self._reopens = False
            if not self._waiting:
                # No commit would tell whether it is over.
                self._store.verify()
        except StoreError as error:
            self.met(None, error)
            return False
        waiting, self._waiting = self._waiting, set()
        self._asked = set(waiting)
        self._answered.clear()
        for thread_id in sorted(waiting):
            # Each answers by `met`, or by `past` when it has committed.
            if not self._threads.again(thread_id):
                self.past(thread_id)
        if self._asked:
            await self._answered.wait()
        return not self._failed
