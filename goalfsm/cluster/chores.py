"""Effect and timer jobs: what any node of a place can do for a thread."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

from goalfsm.cluster.jobs import Job, timer_job
from goalfsm.daemon.flow.decide import failure_of, reopened
from goalfsm.errors import GoalError, StoreError
from goalfsm.session.events import TimerFired
from goalfsm.session.work import is_wanted, next_wake

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from goalfsm.cluster.threads import ClusterThreads
    from goalfsm.daemon.flow.ports import Events, Landed, Outcome, Performer, Task
    from goalfsm.session.effects import Effect
    from goalfsm.session.state import Session
    from goalfsm.store.rows import OpenEffect

AGAIN_S: Final = 0.5
"""How long the database is left alone that broke off an effect."""
REPEAT_MS: Final = 1_000
"""How long a thread that was woken and asks for the same time again has to wait."""

_log = structlog.get_logger(__name__)


class Chores(msgspec.Struct, eq=False):
    """Does effects by their performers, and wakes threads; each effect by one living node.

    It does what ``claim(key)`` gives to this node, and writes that down by ``mark``.
    ``wish`` enqueues jobs; nothing is begun or reported unless the node's lease is ``alive``.
    """

    threads: ClusterThreads
    performers: Mapping[type[Effect], Performer]
    claim: Callable[[str], Awaitable[OpenEffect | None]]
    mark: Callable[[str], None]
    wish: Callable[[Sequence[Job]], Awaitable[None]]
    alive: Callable[[], bool]
    _going_on: dict[str, dict[str, tuple[Task, asyncio.Future[Outcome]]]] = {}
    _unwanted: set[str] = set()
    """What is being ended because nobody wants it any more."""

    def committed(self, landed: Landed) -> None:
        """End what nobody wants any more."""
        for task, doing in list(self._going_on.get(landed.thread_id, {}).values()):
            if not is_wanted(task.effect, landed.session):
                self._unwanted.add(task.key)
                doing.cancel()

    def going_on(self) -> list[str]:
        """Return the threads of which something is going on."""
        return list(self._going_on)

    def has(self, thread_id: str) -> bool:
        """Tell whether something of the thread is going on."""
        return thread_id in self._going_on

    def end_all(self) -> None:
        """End everything, unreported: it is done by others."""
        for of_thread in self._going_on.values():
            for _, doing in of_thread.values():
                doing.cancel()

    async def do_effect(self, job: Job) -> None:
        """Do an effect, where it is still to be done and wanted.

        What the database breaks off is begun again here: nobody else does what this node has
        claimed, while the node lives.
        """
        broken_off = retry_if_exception_type(StoreError)
        await AsyncRetrying(wait=wait_fixed(AGAIN_S), retry=broken_off)(self._do_effect, job)

    async def _do_effect(self, job: Job) -> None:
        if not self.alive():
            return
        row = await self.claim(job.key)
        if row is None:
            return
        task = reopened(row)
        _, session = await self.threads.look(job.thread_id)
        performer = self.performers.get(type(task.effect))
        if performer is None or not is_wanted(task.effect, session):
            self.mark(task.key)
            return
        await self._perform(task, performer, session)

    async def _perform(self, task: Task, performer: Performer, session: Session) -> None:
        thread_id = task.thread_id
        doing = asyncio.ensure_future(_done(performer, task, session))
        self._going_on.setdefault(thread_id, {})[task.key] = (task, doing)
        try:
            await asyncio.wait({doing})
        finally:
            doing.cancel()
            of_thread = self._going_on[thread_id]
            del of_thread[task.key]
            if not of_thread:
                del self._going_on[thread_id]
            unwanted = task.key in self._unwanted
            self._unwanted.discard(task.key)
        if not self.alive():
            return  # its place is taken by others: what came of it does not count
        error = None if doing.cancelled() else doing.exception()
        if doing.cancelled():
            if unwanted:
                self.mark(task.key)
        elif isinstance(error, StoreError):
            raise error
        elif isinstance(error, GoalError):
            _log.debug("left undone", key=task.key, code=error.code)
        elif isinstance(error, Exception):
            _log.error("an effect met a fault", key=task.key, exc_info=error)
            self.threads.fault(thread_id, failure_of(None, error), (task.key,))
        elif (event := doing.result()) is None:
            self.mark(task.key)
        else:
            await self.threads.send(thread_id, event, done=(task.key,))

    async def do_timer(self, job: Job) -> None:
        """Tell the thread that its time has come, if it has; a job may come early."""
        thread_id = job.thread_id
        fired = False

        def batch(session: Session) -> Events:
            nonlocal fired
            loaded = self.threads.loaded(thread_id)
            at_ms = next_wake(session)
            fired = loaded is not None and at_ms is not None and at_ms <= loaded.now_ms
            if fired:
                yield TimerFired()

        await self.threads.run(thread_id, batch)
        loaded, session = await self.threads.look(thread_id)
        again = next_wake(session)
        if again is not None:
            # The same key as the one that the change itself may have enqueued: the earlier counts.
            soonest = loaded.now_ms + REPEAT_MS if fired else 0
            await self.wish([timer_job(thread_id, max(again, soonest))])


async def _done(performer: Performer, task: Task, session: Session) -> Outcome:
    doing = performer.perform(task, session)
    if inspect.isawaitable(doing):
        outcome: Outcome = await doing
        return outcome
    return doing
