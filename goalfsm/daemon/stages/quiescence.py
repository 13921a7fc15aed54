"""When nothing more happens in a thread by itself, and who waits for that."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from goalfsm.daemon.flow.decide import is_continuation
from goalfsm.goal.model import ACTIVE

if TYPE_CHECKING:
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.hub import Hub


class Settling:
    """Answers those who wait for a thread to come to rest."""

    def __init__(self, engine: Hub) -> None:
        """Look at the threads of ``engine``."""
        self._engine = engine
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._told: dict[str, tuple[str, str] | None] = {}
        """Which goal, in which status, a thread was said to have settled with."""

    def is_settled(self, actor: Actor) -> bool:
        """Tell whether nothing follows by itself: nothing runs, is due or is still to be done.

        A goal that is not active any more has settled even when it resumes by itself one day.
        """
        session, thread_id = actor.session, actor.thread_id
        if actor.busy or session.run is not None or self._engine.live(thread_id) is not None:
            return False
        unserved = thread_id in self._engine.dispatcher.unserved
        for opened in actor.open.values():
            if not (unserved and is_continuation(opened.effect)):
                return False
        if session.goal is None or session.goal.status != ACTIVE:
            return True
        return self._engine.timers.get(thread_id) is None

    def wait(self, actor: Actor) -> asyncio.Future[None]:
        """Return a future that is done when the thread has settled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_settled(actor):
            future.set_result(None)
        else:
            self._waiting.setdefault(actor.thread_id, set()).add(future)
        return future

    def is_watched(self, thread_id: str) -> bool:
        """Tell whether anybody waits for the thread."""
        return thread_id in self._waiting

    def look(self, actor: Actor) -> bool:
        """Answer those who wait, when the thread has settled; return whether that is news."""
        thread_id = actor.thread_id
        if thread_id not in self._waiting and not self._engine.followers.has(thread_id):
            self._told.pop(thread_id, None)
            return False
        if not self.is_settled(actor):
            self._told.pop(thread_id, None)
            return False
        for future in self._waiting.pop(thread_id, ()):
            if not future.done():
                future.set_result(None)
        # A goal that waited for somebody, and was then stopped, has settled a second time.
        goal = actor.session.goal
        now = None if goal is None else (goal.goal_id, goal.status)
        if thread_id in self._told and self._told[thread_id] == now:
            return False
        self._told[thread_id] = now
        return True

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
