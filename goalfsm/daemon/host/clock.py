"""The one place where the daemon touches time and chance, so that a simulation can give both.

Everything else in this package takes the time from `Clock`, ids from `IdSource`, waits on the
running loop, and draws nothing by itself. What one decision gets (`decision_context`) is a
function of the thread, the event's id and the time in its journal row, so that a replay of the
journal gets the same.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from goalfsm.daemon.host.zones import local_name, zone
from goalfsm.session.context import Context, Rules
from goalfsm.session.thread import context_of
from goalfsm.store.owner import uptime_ms

if TYPE_CHECKING:
    from goalfsm.goal.machine import GoalMachine

SMALL_STEP_MS: Final = 1_000
"""A wall clock that differs by less is slewed after, by more it has been set."""


class TimeSource(Protocol):
    """A machine's clocks: unix milliseconds that people may set at any moment, and an uptime."""

    def wall_ms(self) -> int:
        """Return the wall clock, in unix milliseconds."""
        ...

    def uptime_ms(self) -> int:
        """Return milliseconds of a clock that all processes of this boot share."""
        ...


@runtime_checkable
class Local(Protocol):
    """A clock that also knows in which time zone its people live."""

    def zone(self) -> str:
        """Return the zone's name."""
        ...


class Entropy(Protocol):
    """Where ids and tokens come from; every call returns another one."""

    def new_id(self) -> str:
        """Return a short text that no other call anywhere returns."""
        ...

    def token(self) -> str:
        """Return a secret that nobody can guess."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        """Return the machine's wall clock."""
        return time.time_ns() // 1_000_000

    def uptime_ms(self) -> int:
        """Return the machine's monotonic clock."""
        return uptime_ms()

    def zone(self) -> str:
        """Return the machine's time zone."""
        return local_name(time.time())


class SystemEntropy:
    """The machine's randomness."""

    def new_id(self) -> str:
        """Return the time and 48 random bits in hexadecimal: what is newer sorts behind.

        So the rows of what has just begun lie together in a store's indexes.
        """
        return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"

    def token(self) -> str:
        """Return 192 random bits in hexadecimal."""
        return secrets.token_hex(24)


class Clock:
    """The time of one engine. Belongs to the running loop.

    `now_ms` runs with the loop's own clock, so that nobody who sets the wall clock makes a
    duration longer or shorter unseen: `step_ms` says by how much it was set, and `adopt` goes on
    from there.
    """

    def __init__(self, source: TimeSource | None = None) -> None:
        """Take the time from ``source``, by default from the machine."""
        self._source: TimeSource = source or SystemClock()
        self.uptime_ms = self._source.uptime_ms
        """Returns milliseconds of a clock that all processes of this boot share."""
        self._loop = asyncio.get_running_loop()
        self._offset_ms = self._source.wall_ms() - self._loop_ms()
        self._latest_ms = 0

    def now_ms(self) -> int:
        """Return the time in unix milliseconds; it goes back only by `adopt`."""
        now = int(self._loop.time() * 1000) + self._offset_ms
        self._latest_ms = max(self._latest_ms, now)
        return self._latest_ms

    def zone(self) -> str | None:
        """Return the name of the time zone that people here mean by a time of day, if known."""
        return self._source.zone() if isinstance(self._source, Local) else None

    def step_ms(self) -> int:
        """Return by how much the wall clock was set since it was adopted; 0 for a little drift.

        Drift is followed without a step, and never backwards.
        """
        drift = self._source.wall_ms() - self._loop_ms() - self._offset_ms
        if abs(drift) >= SMALL_STEP_MS:
            return drift
        self._offset_ms += drift
        return 0

    def adopt(self, step_ms: int) -> None:
        """Go on from a wall clock that was set by ``step_ms``."""
        self._offset_ms += step_ms
        self._latest_ms = self._loop_ms() + self._offset_ms

    def _loop_ms(self) -> int:
        return int(self._loop.time() * 1000)


class IdSource:
    """The ids and secrets of one engine."""

    def __init__(self, entropy: Entropy | None = None) -> None:
        """Draw from ``entropy``, by default from the machine."""
        drawn: Entropy = entropy or SystemEntropy()
        self.new_id = drawn.new_id
        """Returns a new id: of a run, of an event from outside that came without one."""
        self.token = drawn.token
        """Returns a new secret."""
        self._prefix = drawn.new_id()
        self._events = 0

    def event_id(self) -> str:
        """Return the id of an event that the engine itself makes."""
        self._events += 1
        return f"{self._prefix}.{self._events:x}"


def decision_context(
    thread_id: str, event_id: str, at_ms: int, machine: GoalMachine | None = None
) -> Context:
    """Return what the decision about an event is given, with the time zones of this machine."""
    return context_of(thread_id, event_id, at_ms, zones=zone, rules=Rules(machine))
