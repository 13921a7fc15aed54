"""The host of a node: its name, its clock set by the database's, what it keeps in memory."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from goalfsm.daemon.host.zones import local_name
from goalfsm.errors import StoreError
from goalfsm.store.owner import uptime_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from goalfsm.daemon.flow.ports import Spawn
    from goalfsm.store.rows import Transcript


def hostname() -> str:
    """Return the name by which this host is told from others."""
    return socket.gethostname()


class DatabaseTime:
    """The database's clock, as far as this process knows it: `goalfsm.daemon.host.clock`."""

    def __init__(self) -> None:
        """Begin with this machine's clock."""
        self._offset_ms = 0

    def tell(self, now_ms: int) -> None:
        """Take note of what the database's clock shows now (unix ms)."""
        self._offset_ms = now_ms - time.time_ns() // 1_000_000

    def wall_ms(self) -> int:
        """Return the database's clock, in unix milliseconds."""
        return time.time_ns() // 1_000_000 + self._offset_ms

    def uptime_ms(self) -> int:
        """Return the machine's monotonic clock."""
        return uptime_ms()

    def zone(self) -> str:
        """Return the machine's time zone: its programs name times of day in it."""
        return local_name(time.time())


class LastWords:
    """What threads' turns said last, for the next prompt, and kept in the database.

    `goalfsm.store.port.TranscriptKeeping` as far as a node needs it.
    """

    def __init__(self, keep: Callable[[Transcript], Awaitable[None]], spawn: Spawn) -> None:
        """Keep transcripts by ``keep``, beside the work."""
        self._keep = keep
        self._spawn = spawn
        self._last: dict[str, Transcript] = {}

    def remember(self, thread_id: str, transcript: Transcript | None) -> None:
        """Take note of what the thread's last turn said, wherever it ran."""
        if transcript is not None:
            self._last[thread_id] = transcript

    def forget(self, thread_id: str) -> None:
        """Forget what the thread said: its next turn may run elsewhere."""
        self._last.pop(thread_id, None)

    def put(self, transcript: Transcript) -> None:
        """Keep what a run said; where that fails it is lost, and nobody is the worse for it."""
        self._last[transcript.thread_id] = transcript
        self._spawn(self._write(transcript), f"transcript {transcript.run_id}")

    async def _write(self, transcript: Transcript) -> None:
        try:
            await self._keep(transcript)
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
