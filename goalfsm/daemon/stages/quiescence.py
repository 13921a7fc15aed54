"""When nothing more happens in a thread by itself, and who waits for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from goalfsm.goal.model import ACTIVE
from goalfsm.session.work import queued

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Landed, Sessions
    from goalfsm.daemon.stages.effects import Effects
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.scheduler import Scheduler
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.daemon.stages.wakeups import Wakeups
    from goalfsm.session.state import Session


class Quiescence:
    """Answers those who wait for a thread to come to rest."""

    def __init__(
        self,
        sessions: Sessions,
        effects: Effects,
        runs: LiveRuns,
        scheduler: Scheduler,
        wakeups: Wakeups,
        subscriptions: Subscriptions,
    ) -> None:
        """Ask each of these whether it has something going on."""
        self._sessions = sessions
        self._effects = effects
        self._runs = runs
        self._scheduler = scheduler
        self._wakeups = wakeups
        self._subscriptions = subscriptions
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._told: dict[str, tuple[str, str] | None] = {}
        """Which goal, in which status, a thread was said to have settled with."""

    def committed(self, landed: Landed) -> None:
        """Look whether the thread has come to rest."""
        self.look(landed.thread_id)

    def is_settled(self, thread_id: str, session: Session) -> bool:
        """Tell whether nothing follows by itself: nothing runs, is due or is still to be done.

        A goal that is not active any more has settled even when it resumes by itself one day.
        """
        if (
            self._sessions.busy(thread_id)
            or session.run is not None
            or thread_id in self._runs
            or self._effects.any_open(thread_id)
        ):
            return False
        if queued(session) is not None and not self._scheduler.is_unserved(thread_id):
            return False
        if session.goal is None or session.goal.status != ACTIVE:
            return True
        return self._wakeups.get(thread_id) is None

    def wait(self, thread_id: str, session: Session) -> asyncio.Future[None]:
        """Return a future that is done when the thread has settled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_settled(thread_id, session):
            future.set_result(None)
        else:
            self._waiting.setdefault(thread_id, set()).add(future)
        return future

    def is_watched(self, thread_id: str) -> bool:
        """Tell whether anybody waits for the thread."""
        return thread_id in self._waiting

    def look(self, thread_id: str) -> None:
        """Answer those who wait, and tell followers, when the thread has settled."""
        if thread_id not in self._waiting and not self._subscriptions.has(thread_id):
            self._told.pop(thread_id, None)
            return
        session = self._sessions.known(thread_id)
        if session is None or not self.is_settled(thread_id, session):
            self._told.pop(thread_id, None)
            return
        for future in self._waiting.pop(thread_id, ()):
            if not future.done():
                future.set_result(None)
        # A goal that waited for somebody, and was then stopped, has settled a second time.
        goal = session.goal
        now = None if goal is None else (goal.goal_id, goal.status)
        if thread_id in self._told and self._told[thread_id] == now:
            return
        self._told[thread_id] = now
        self._subscriptions.settled(thread_id, session)

    def forget(self, thread_id: str, future: asyncio.Future[None]) -> None:
        """Take back a wait."""
        waiting = self._waiting.get(thread_id)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[thread_id]

    def fail(self, error: Exception) -> None:
        """Tell everybody that the engine has ended before the thread settled."""
        waiting, self._waiting = self._waiting, {}
        for futures in waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
                    future.exception()
