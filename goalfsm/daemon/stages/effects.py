"""What a commit asks for: effects to be done, and to be woken.

An effect is done after its commit, at least once, harmless the second time. There is one wake-up
for each thread, on the loop's clock; whenever the wall clock is set, it is looked at again.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.threads import ENDING, Holds
from goalfsm.errors import GoalError
from goalfsm.session.effects import TOLD, Effect
from goalfsm.session.events import TimerFired
from goalfsm.session.work import is_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from goalfsm.daemon.flow.ports import Inbox, Landed, Outcome, Performer, Spawn, Task, Threads
    from goalfsm.daemon.host.platform import Clock
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


REPEAT_MS: Final = 1_000
"""How long a wake-up that was fired and is asked for again at once has to wait."""

_LONGEST_S: Final = 3_600.0


class Wakeups:
    """Tells each thread when the time has come that it asked for, once for each time."""

    def __init__(self, clock: Clock, inbox: Inbox) -> None:
        """Start with no wake-up."""
        self._clock = clock
        self._inbox = inbox
        self._due: dict[str, int] = {}
        self._fired: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for: int | None = None
        self._closed = False

    def committed(self, landed: Landed) -> None:
        """Wake the thread when its session says so now."""
        self.set(landed.thread_id, landed.decided[-1].ready.wake_at)

    def set(self, thread_id: str, at_ms: int | None) -> None:
        """Wake the thread at ``at_ms`` (unix ms), in place of what was asked for before."""
        if at_ms is None:
            self._due.pop(thread_id, None)
            self._fired.pop(thread_id, None)
            return
        fired_at = self._fired.get(thread_id)
        if fired_at is not None and at_ms <= self._clock.now_ms():
            # Whoever was woken still wants that time, which has passed: no busy loop.
            at_ms = max(at_ms, fired_at + REPEAT_MS)
        if self._due.get(thread_id) == at_ms:
            return
        self._due[thread_id] = at_ms
        heapq.heappush(self._heap, (at_ms, thread_id))
        self._arm()

    def get(self, thread_id: str) -> int | None:
        """Return when the thread is woken (unix ms), None when it is not."""
        return self._due.get(thread_id)

    def threads(self) -> list[str]:
        """Return the threads that are woken some time."""
        return list(self._due)

    def again(self) -> None:
        """Look again: the wall clock was set."""
        self._armed_for = None
        self._arm()

    def close(self) -> None:
        """Wake nobody any more."""
        self._closed = True
        self._disarm()

    def _arm(self) -> None:
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        if self._closed or not self._heap:
            self._disarm()
            return
        at_ms = self._heap[0][0]
        if at_ms == self._armed_for:
            return
        self._disarm()
        self._armed_for = at_ms
        delay = max(0.0, (at_ms - self._clock.now_ms()) / 1000)
        self._handle = asyncio.get_running_loop().call_later(min(delay, _LONGEST_S), self._ring)

    def _disarm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._armed_for = None, None

    def _ring(self) -> None:
        self._handle, self._armed_for = None, None
        now_ms = self._clock.now_ms()
        while self._heap and self._heap[0][0] <= now_ms:
            at_ms, thread_id = heapq.heappop(self._heap)
            if self._due.get(thread_id) != at_ms:
                continue
            del self._due[thread_id]
            self._fired[thread_id] = now_ms
            self._inbox.send(thread_id, TimerFired())
        self._arm()
