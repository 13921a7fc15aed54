"""One wake-up for each thread, on the loop's clock, looked at again whenever the time is set."""

from __future__ import annotations

import asyncio
import heapq
from typing import TYPE_CHECKING, Final

from goalfsm.session.events import TimerFired

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Inbox, Landed
    from goalfsm.daemon.host.clock import Clock

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
