"""Waits for the end of processes that a thread's work, or the thread itself, waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from goalfsm.session.events import ProcessEnded
from goalfsm.workers.supervisor import identity

if TYPE_CHECKING:
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.hub import Hub

WaitGone = Callable[[int, str], Awaitable[None]]
"""Returns when the process with that pid, which started then, has ended."""


class Watchers:
    """Who is told when which process has ended."""

    def __init__(self, engine: Hub, wait_gone: WaitGone = identity.wait_gone) -> None:
        """Watch for ``engine``."""
        self._engine = engine
        self._wait_gone = wait_gone
        self._watched: dict[tuple[str, int], str] = {}

    def watch(self, actor: Actor, pid: int, started: str, key: str) -> None:
        """Tell the thread when ``pid`` has ended, once, and mark the effect ``key`` as done.

        Where nobody knows when the process started, whoever has the number now is meant.
        """
        watched = self._watched.get((actor.thread_id, pid))
        if watched is not None:
            if watched != key:
                self._engine.mark_done(actor, key)
            return
        self._watched[actor.thread_id, pid] = key
        self._engine.spawn(self._watch(actor, pid, started, key), f"watch {pid}")

    async def gone(self, pids: Iterable[int]) -> None:
        """Return when all of these processes have ended."""
        started = {pid: identity.start_time(pid) for pid in pids}
        await asyncio.gather(*(self._wait_gone(pid, start) for pid, start in started.items()))

    async def _watch(self, actor: Actor, pid: int, started: str, key: str) -> None:
        try:
            await self._wait_gone(pid, started or identity.start_time(pid))
        finally:
            del self._watched[actor.thread_id, pid]
        await actor.tell(ProcessEnded(pid=pid), done=(key,))
