"""Have what was committed done: after its commit, at least once, harmless the second time."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from typing import TYPE_CHECKING

import structlog

from goalfsm.daemon.flow.holds import ENDING
from goalfsm.errors import GoalError
from goalfsm.session.effects import TOLD
from goalfsm.session.work import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from goalfsm.daemon.flow.holds import Holds
    from goalfsm.daemon.flow.ports import Landed, Outcome, Performer, Spawn, Task, Threads
    from goalfsm.session.effects import Effect
    from goalfsm.session.state import Session

_log = structlog.get_logger(__name__)


class Effects:
    """The effects that are committed and not done, of every thread; each by its performer."""

    def __init__(
        self,
        threads: Threads,
        spawn: Spawn,
        holds: Holds,
        *,
        mark: Callable[[str], None],
        changed: Callable[[str], None],
        failed: Callable[[str, Exception], None],
    ) -> None:
        """Write done effects down by ``mark(key)``, and say whose they were by ``changed``.

        A thread whose effect is wanted no more is held by ``holds`` until that has ended.
        ``failed(thread_id, error)`` is told of a performer that raised: its effect stays open.
        """
        self._threads = threads
        self._spawn = spawn
        self._holds = holds
        self._mark = mark
        self._changed = changed
        self._failed = failed
        self._performers: Mapping[type[Effect], Performer] = {}
        self._open: dict[str, dict[str, Task]] = {}
        self._going_on: dict[str, asyncio.Future[Outcome]] = {}
        self._ending: dict[str, set[str]] = {}

    def perform_by(self, performers: Mapping[type[Effect], Performer]) -> None:
        """Do effects of each kind by its performer; said once, before the first commit."""
        self._performers = performers

    def committed(self, landed: Landed) -> None:
        """Forget what is reported as done, then do what the same events ask for."""
        thread_id = landed.thread_id
        for key in landed.done:
            self._forget(thread_id, key)
        tasks: list[Task] = []
        for decided in landed.decided:
            tasks += decided.outbox
        for task in tasks:
            if not isinstance(task.effect, TOLD):
                self._open.setdefault(thread_id, {})[task.key] = task
        if thread_id in self._open:
            self._drop_unwanted(thread_id, landed.session)
        for task in tasks:
            if isinstance(task.effect, TOLD) or self.is_open(task):
                self._perform(task)

    def take_over(self, task: Task) -> None:
        """Do what an earlier engine left undone, where there is still use for it."""
        self._open.setdefault(task.thread_id, {})[task.key] = task
        if is_wanted(task.effect, self._threads.session(task.thread_id)):
            self._perform(task)
        else:
            self.done(task)

    def again(self, thread_id: str) -> None:
        """Do once more what is open of a thread; what is going on already is left alone."""
        for task in list(self._open.get(thread_id, {}).values()):
            self._perform(task)

    def done(self, task: Task) -> None:
        """Write down that an effect was done; when that is lost it is done again, without harm."""
        if self._forget(task.thread_id, task.key):
            self._mark(task.key)
            self._changed(task.thread_id)

    def is_open(self, task: Task) -> bool:
        """Tell whether an effect is still to be marked as done."""
        return task.key in self._open.get(task.thread_id, ())

    def any_open(self, thread_id: str | None = None) -> bool:
        """Tell whether anything of the thread, or of any, is still to be done."""
        return bool(self._open) if thread_id is None else thread_id in self._open

    def _drop_unwanted(self, thread_id: str, session: Session) -> None:
        """End what nobody wants any more; no turn of the thread starts beside it."""
        for task in list(self._open.get(thread_id, {}).values()):
            if is_wanted(task.effect, session):
                continue
            doing = self._going_on.get(task.key)
            if doing is not None:
                self._ending.setdefault(thread_id, set()).add(task.key)
                self._holds.add(ENDING, thread_id)
                doing.cancel()
            self.done(task)

    def _forget(self, thread_id: str, key: str) -> bool:
        of_thread = self._open.get(thread_id)
        if of_thread is None or of_thread.pop(key, None) is None:
            return False
        if not of_thread:
            del self._open[thread_id]
        return True

    def _perform(self, task: Task) -> None:
        if task.key in self._going_on:
            return
        performer = self._performers.get(type(task.effect))
        if performer is None:
            # A turn that an earlier version wrote down as work to be sent: the session tells it.
            self.done(task)
            return
        try:
            doing = performer.perform(task, self._threads.session(task.thread_id))
        except Exception as error:  # noqa: BLE001  a fault in one must not keep others from being done
            self._failed(task.thread_id, error)
            return
        if inspect.isawaitable(doing):
            going_on = asyncio.ensure_future(doing)
            self._going_on[task.key] = going_on
            self._spawn(going_on, task.key, partial(self._ended, task))
        else:
            self._finish(task, doing)

    def _ended(self, task: Task, doing: asyncio.Future[Outcome]) -> None:
        """Take note of how a performer's task ended; one that was cancelled leaves it open."""
        del self._going_on[task.key]
        ending = self._ending.get(task.thread_id, set())
        if task.key in ending:
            ending.discard(task.key)
            if not ending:
                del self._ending[task.thread_id]
                self._holds.release(ENDING, task.thread_id)
        if doing.cancelled():
            return
        error = doing.exception()
        if error is None:
            self._finish(task, doing.result())
        elif isinstance(error, GoalError):
            # It is there when the store works again, or for the next engine.
            _log.debug("left undone", key=task.key, code=error.code)
        elif isinstance(error, Exception):
            self._failed(task.thread_id, error)

    def _finish(self, task: Task, event: Outcome) -> None:
        if event is None:
            self.done(task)
        else:
            self._threads.send(task.thread_id, event, done=(task.key,))
