"""The host of a node: its name, its clock set by the database's, what it keeps in memory."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.host.platform import SystemClock
from goalfsm.daemon.host.zones import local_name
from goalfsm.errors import StoreError
from goalfsm.store.port import SPARE_TRANSCRIPTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from goalfsm.daemon.flow.ports import Spawn
    from goalfsm.store.rows import Transcript

_UNKEPT: Final = 16


def hostname() -> str:
    """Return the name by which this host is told from others."""
    return socket.gethostname()


class DatabaseTime:
    """The database's clock, as far as this process knows it: `goalfsm.daemon.host.platform`."""

    def __init__(self) -> None:
        """Show this machine's clock until `tell` says the database's."""
        self._offset_ms = 0

    def tell(self, now_ms: int) -> None:
        """Take note of what the database's clock shows now (unix ms)."""
        self._offset_ms = now_ms - time.time_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Return the database's clock, in unix milliseconds."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    def uptime_ms(self) -> int:
        """Return the machine's monotonic clock."""
        return SystemClock().uptime_ms()

    def zone(self) -> str:
        """Return the machine's time zone: its programs name times of day in it."""
        return local_name(time.time())


class LastWords:
    """What threads' turns said last, for the next prompt, and what is still to be kept of it.

    `goalfsm.store.port.TranscriptKeeping` as far as a node needs it. What a turn said is kept by
    the transaction that records its end.
    """

    def __init__(self, trim: Callable[[list[str]], Awaitable[None]], spawn: Spawn) -> None:
        """Have ``trim(thread_ids)`` remove now and then what is too old to be kept."""
        self._trim = trim
        self._spawn = spawn
        self._last: dict[str, Transcript] = {}
        self._unkept: dict[str, list[Transcript]] = {}

    def remember(self, thread_id: str, transcript: Transcript | None) -> None:
        """Take note of what the thread's last turn said, wherever it ran."""
        if transcript is not None:
            self._last[thread_id] = transcript

    def put(self, transcript: Transcript) -> None:
        """Have what a run said be kept with the next change of its thread."""
        thread_id = transcript.thread_id
        self._last[thread_id] = transcript
        self._unkept[thread_id] = [*self._unkept.get(thread_id, ()), transcript][-_UNKEPT:]

    def unkept(self, thread_id: str) -> tuple[Transcript, ...]:
        """Return what turns of the thread said that is still to be kept."""
        return tuple(self._unkept.get(thread_id, ()))

    def kept(self, transcripts: Sequence[Transcript]) -> None:
        """Take note of what is durable."""
        for each in transcripts:
            left = [other for other in self._unkept.get(each.thread_id, ()) if other is not each]
            self._unkept[each.thread_id] = left
            if not left:
                del self._unkept[each.thread_id]
        due = [each.thread_id for each in transcripts if each.turn % SPARE_TRANSCRIPTS == 0]
        if due:
            self._spawn(self._trimmed(due), "trim")

    async def _trimmed(self, thread_ids: list[str]) -> None:
        try:
            await self._trim(thread_ids)
        except StoreError:
            return

    def read(
        self, thread_id: str, *, before_turn: int | None = None, limit: int = 10
    ) -> tuple[Transcript, ...]:
        """Return what the thread's last turn said, where that was before ``before_turn``."""
        del limit
        last = self._last.get(thread_id)
        if last is None or (before_turn is not None and last.turn >= before_turn):
            return ()
        return (last,)

    def of_run(self, run_id: str) -> Transcript | None:
        """Return what a run said, where it was its thread's last."""
        return next((each for each in self._last.values() if each.run_id == run_id), None)
