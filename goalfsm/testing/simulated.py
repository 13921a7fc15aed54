"""The machine that an engine under test runs on: its clocks, its ids, its processes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count

from goalfsm.daemon.host.platform import Entropy, TimeSource
from goalfsm.store.port import Held, Identity, Process
from goalfsm.workers.supervisor.orphans import Orphans


class Counted:
    """Ids and tokens that are counted, so that equal tests make equal ones."""

    def __init__(self) -> None:
        """Begin at 1."""
        self._ids = 0
        self._tokens = 0

    def new_id(self) -> str:
        """Return the next id."""
        self._ids += 1
        return f"id{self._ids}"

    def token(self) -> str:
        """Return the next token."""
        self._tokens += 1
        return f"token-{self._tokens}-of-the-test"


class SimulatedSystem:
    """One machine through all lives of an engine; every life is another process."""

    def __init__(self, clock: TimeSource, entropy: Entropy | None = None) -> None:
        """Use the test's clock; ids are counted unless ``entropy`` makes them."""
        self.clock = clock
        self.entropy = entropy or Counted()
        self._pids = count(1)
        self._pid = 0
        self._living: set[Identity] = set()
        self._ended: dict[int, asyncio.Event] = {}

    def boot(self) -> None:
        """Begin another life of the engine, as another process."""
        self._pid = next(self._pids)
        self._living.add(self.identity())

    def process(self) -> SimulatedSystem:
        """Return the machine as another engine's process has it, beside the others."""
        other = SimulatedSystem(self.clock, self.entropy)
        other._pids = self._pids
        other._living, other._ended = self._living, self._ended
        other.boot()
        return other

    def die(self) -> None:
        """End the engine's process."""
        self._living.discard(self.identity())

    def power_off(self) -> None:
        """End every process."""
        self._living.clear()

    def end_process(self, pid: int) -> None:
        """End a process that the work waits for, now or later."""
        self._event(pid).set()

    # What an engine asks.

    def identity(self) -> Identity:
        """Return who the engine is, as a process."""
        return Identity(pid=self._pid, start_time=self._pid, boot_id="simulated")

    def is_alive(self, identity: Identity) -> bool:
        """Tell whether that life of the engine goes on."""
        return identity in self._living

    def end_stalled(self, held: Held) -> bool:
        """Return False: no life of an engine is ever stopped inside a commit."""
        del held
        return False

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Process], supervisor: int | None
    ) -> Orphans:
        """Return that nothing is left: scripted turns die with their engine."""
        del db, run_ids, recorded, supervisor
        return Orphans()

    async def wait_gone(self, pid: int, started: str) -> None:
        """Return when the test has ended the process."""
        del started
        await self._event(pid).wait()

    def watch(self, places: object) -> None:
        """Return nothing: where time is free, an engine may look as often as it likes."""
        del places

    def _event(self, pid: int) -> asyncio.Event:
        return self._ended.setdefault(pid, asyncio.Event())
