"""The clock of a test: time passes when the test says so, and everything that is due happens.

`GoalClock` holds a virtual loop and a wall clock that runs with it. Where freezegun or
time-machine has frozen the time, that is the wall clock: it moves with the loop, so that
``datetime.now()`` in the code under test, the engine's timers and ``asyncio.sleep`` tell one story.
"""

from __future__ import annotations

import atexit
import weakref
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from goalfsm.errors import GoalError
from goalfsm.testing.frozen import frozen_time, us
from goalfsm.testing.loop import DAY_S, VirtualLoop
from goalfsm.testing.simulated import SimulatedSystem
from goalfsm.testing.times import (
    Duration,
    Moment,
    TimeInvalid,
    moment_of,
    no_duration,
    seconds_of,
)

START: Final = "2026-01-01 00:00"
"""When a test begins unless it says otherwise (UTC)."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_T = TypeVar("_T")


class Crashed(SystemExit):
    """The simulated process has died here: nothing of it goes on, whatever it would catch."""


class Unhandled(GoalError, AssertionError):
    """Something failed on the loop where nobody looked."""

    code = "unhandled"


class GoalClock:
    """Virtual time for one test. Everything that runs on `loop` belongs to it."""

    def __init__(self, start: Moment = START) -> None:
        """Begin at ``start``; a time of day alone is that of 2026-01-01."""
        self.loop = VirtualLoop()
        self._crash: Callable[[Crashed], None] | None = None
        self._wall_us = us(moment_of(start, datetime(2026, 1, 1, tzinfo=UTC)))
        self._failed: list[str] = []
        self.loop.on_pass.append(self._passed)
        self.loop.set_exception_handler(self._note_failure)
        self.system = SimulatedSystem(self)
        """What a `goalfsm.Engine` entered on the loop runs on, each as a process of its own."""
        self.loop.make_platform = self.system.process  # type: ignore[method-assign]
        _OPEN.add(self)

    # What it shows.

    @property
    def now(self) -> datetime:
        """Return the wall clock, in UTC."""
        return _EPOCH + timedelta(microseconds=self._now_us())

    @property
    def now_ms(self) -> int:
        """Return the wall clock in unix milliseconds."""
        return self._now_us() // 1000

    def wall_ms(self) -> int:
        """Return the wall clock in unix milliseconds, as an engine asks for it."""
        return self.now_ms

    def uptime_ms(self) -> int:
        """Return milliseconds since the loop was made: a clock that nobody sets."""
        return self.loop.now_us // 1000

    # What it does.

    def advance(self, duration: Duration = 0, /, **units: float) -> None:
        """Let time pass, with everything that falls due, in the order of its time.

        ``advance("1h 30m")``, ``advance(5400)`` and ``advance(hours=1, minutes=30)`` are the
        same. It returns when nothing is ready. Raises `TimeInvalid` for what is no duration, or
        below 0.
        """
        seconds = seconds_of(duration) + _seconds_in(units)
        if seconds < 0:
            raise TimeInvalid("time does not run backwards", hint="jump() sets the wall clock")
        end = self.loop.now_us + round(seconds * 1_000_000)
        while True:
            try:
                self.loop.advance_to_us(max(end, self.loop.now_us))
            except Crashed as crash:
                self._die(crash)
            else:
                return

    def advance_to(self, moment: Moment) -> None:
        """Let time pass up to ``moment``; a time of day alone is the next one."""
        self.advance(moment_of(moment, self.now) - self.now)

    def settle(self) -> None:
        """Let everything happen that can happen now; no time passes."""
        self.advance(0)

    def jump(self, duration: Duration) -> None:
        """Set the wall clock, forward or (below 0) back, as a person or NTP does.

        No time passes: timers stay where they are until an engine notices at its next beat.
        """
        step = round(seconds_of(duration) * 1_000_000)
        self._wall_us = self._now_us() + step
        if (frozen := frozen_time()) is not None:
            frozen.move(step)

    def run(self, awaitable: Awaitable[_T], *, within: Duration | None = DAY_S) -> _T:
        """Return the result of ``awaitable``, run on the loop; time passes when it has to.

        Raises `goalfsm.testing.Deadlock` when nothing could ever finish it, and ``Stalled``
        when it is not finished ``within`` that much virtual time.
        """
        return self.loop.run(awaitable, within=None if within is None else seconds_of(within))

    def run_surviving(
        self, make: Callable[[], Awaitable[_T]], *, within: Duration | None = DAY_S
    ) -> _T:
        """Return what the awaitable made by ``make`` gives; made again after a crash."""
        while True:
            try:
                return self.run(make(), within=within)
            except Crashed as crash:
                self._die(crash)

    def run_until(self, reached: Callable[[], bool], *, within: Duration | None = DAY_S) -> None:
        """Let time pass, timer by timer, until ``reached()``; see `run` for what it raises."""
        limit = None if within is None else seconds_of(within)
        while True:
            try:
                self.loop.run_until(reached, within=limit)
            except Crashed as crash:
                self._die(crash)
            else:
                return

    def on_crash(self, told: Callable[[Crashed], None]) -> None:
        """Call ``told`` where the simulated process dies; time goes on after it returns."""
        self._crash = told

    def check(self) -> None:
        """Raise `Unhandled` when something failed on the loop and nobody was told."""
        self.loop.check()
        failed, self._failed = self._failed, []
        if failed:
            raise Unhandled("failed where nobody looked:\n  " + "\n  ".join(failed))

    def forgive(self) -> None:
        """Forget what failed so far: it was meant to."""
        self._failed.clear()

    def close(self) -> None:
        """End everything that still runs, and close the loop."""
        if self.loop.is_closed():
            return
        self.loop.set_exception_handler(lambda _loop, _context: None)
        self.loop.discard()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()

    # Its own.

    def _die(self, crash: Crashed) -> None:
        if self._crash is None:
            raise crash
        self._crash(crash)

    def _now_us(self) -> int:
        if (frozen := frozen_time()) is not None:
            self._wall_us = frozen.now_us()
        return self._wall_us

    def _passed(self, microseconds: int) -> None:
        self._wall_us = self._now_us() + microseconds
        if (frozen := frozen_time()) is not None:
            frozen.move(microseconds)

    def _note_failure(self, _loop: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        what = str(context.get("message", ""))
        self._failed.append(f"{what}: {error!r}" if error is not None else what)


_OPEN: Final[weakref.WeakSet[GoalClock]] = weakref.WeakSet()


def _close_open() -> None:
    """Close the clocks of a script that ends, while what their tasks need is still there."""
    for clock in tuple(_OPEN):
        clock.close()


atexit.register(_close_open)


def _seconds_in(units: dict[str, float]) -> float:
    try:
        return seconds_of(timedelta(**units))
    except (OverflowError, ValueError):
        raise no_duration(units) from None
