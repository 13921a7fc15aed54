"""Waits for the end of processes that a thread's work, or the thread itself, waits for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from goalfsm.session.effects import WatchProcess
from goalfsm.session.events import ProcessEnded
from goalfsm.workers.supervisor import identity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from goalfsm.daemon.flow.ports import Task
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.session.state import Session


class ProcessWatch:
    """The performer of `WatchProcess`: who is told when which process has ended."""

    def __init__(self, runs: LiveRuns, wait_gone: Callable[[int, str], Awaitable[None]]) -> None:
        """Wait by ``wait_gone(pid, started)``; a live run must not end what its goal waits for."""
        self._runs = runs
        self._wait_gone = wait_gone
        self._watched: set[tuple[str, int]] = set()

    def perform(self, task: Task, session: Session) -> Awaitable[ProcessEnded] | None:
        """Tell the thread once when the process has ended.

        Where nobody knows when the process started, whoever has the number now is meant.
        """
        del session
        effect = task.effect
        assert isinstance(effect, WatchProcess)  # noqa: S101  performers are chosen by the effect
        live = self._runs.get(task.thread_id)
        if live is not None:
            live.spare(effect.pid)
        if (task.thread_id, effect.pid) in self._watched:
            return None
        self._watched.add((task.thread_id, effect.pid))
        return self._watch(task, effect.pid, effect.started)

    async def gone(self, pids: Iterable[int]) -> None:
        """Return when all of these processes have ended."""
        started = {pid: identity.start_time(pid) for pid in pids}
        await asyncio.gather(*(self._wait_gone(pid, start) for pid, start in started.items()))

    async def _watch(self, task: Task, pid: int, started: str) -> ProcessEnded:
        try:
            await self._wait_gone(pid, started or identity.start_time(pid))
        finally:
            self._watched.discard((task.thread_id, pid))
        return ProcessEnded(pid=pid)
