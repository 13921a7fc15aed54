"""What wakes a thread: the time that it asked for, and the end of a process that it waits for.

There is one wake-up for each thread, on the loop's clock; whenever the wall clock is set, it is
looked at again.
"""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from goalfsm.session.effects import WatchProcess
from goalfsm.session.events import ProcessEnded, TimerFired
from goalfsm.workers.supervisor import identity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from goalfsm.daemon.flow.ports import Inbox, Landed, Task
    from goalfsm.daemon.host.clock import Clock
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.session.state import Session

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
