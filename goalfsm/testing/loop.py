"""An event loop whose time is a number: nothing waits, no thread runs, order never varies.

When nothing is ready, the time jumps to the next timer. When there is no timer either, whoever
waits would wait for ever: `Deadlock` says who that is and where. Tasks, timeouts, queues and
locks of asyncio work as they do on any loop; sockets, pipes, processes and signals are refused,
and what is handed to an executor runs on the loop itself.

A callback with a ``period_s`` is a beat: it sets its own timer again and again, and looks whether
something happened. While nothing else happens, only the first and the last beat of a wait run, so
that a week costs no more than a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import inspect
import math
import threading
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Final, TypeVar, TypeVarTuple

from goalfsm.testing.simulated import SimulatedSystem
from goalfsm.testing.times import LONGEST_S
from goalfsm.testing.waiting import (
    OUTSIDE,
    Deadlock,
    LoopRunning,
    OutsideWorld,
    Spinning,
    Stalled,
    describe_died,
    describe_ready,
    describe_tasks,
    refuse,
)

DAY_S: Final = 86_400.0
START_MS: Final = 1_767_225_600_000
"""When virtual time begins unless somebody says otherwise: 2026-01-01 00:00 UTC."""
SPINS: Final = 100_000
"""Turns of the loop without time passing after which it counts as spinning."""

_US: Final = 1_000_000
_INSIST: Final = 100
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop on virtual time; `time` begins at 0 and is exact to the microsecond.

    It serves any coroutine: ``asyncio.Runner(loop_factory=VirtualLoop)`` runs one. `on_pass` are
    called with the microseconds, whenever time has passed. What is run without a limit of its own
    has ``within`` seconds of virtual time.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _thread_id: int | None

    def __init__(self, within: float = DAY_S) -> None:
        """Start at 0, with nothing to do."""
        super().__init__()
        self.on_pass: list[Callable[[int], None]] = []
        self._now_us = 0
        self._horizon_us: int | None = None
        self._deadline_us: int | None = None
        self._within: float = within
        self._limit_s = within
        self._stepping = False
        self._step_taken = False
        self._idle_beats = 0
        self._broken: BaseException | None = None
        self._tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._running: set[asyncio.Task[Any]] = set()
        self._lost: list[str] = []
        self._spins = 0
        # What asyncio's loop asks for: a selector, and how exact its clock is.
        self._selector = self
        self._clock_resolution = 1 / _US
        for name in OUTSIDE:
            setattr(self, name, partial(refuse, name))

    def time(self) -> float:
        """Return the virtual time in seconds since the loop was made."""
        # The next float up, so that whole milliseconds never come out as one too few.
        return math.nextafter(self._now_us / _US, math.inf)

    @property
    def now_us(self) -> int:
        """Return the virtual time in microseconds."""
        return self._now_us

    def next_timer_us(self) -> int | None:
        """Return when the next timer is due, in microseconds, None when none is set."""
        return min((self._due_us(handle) for handle in self._timers()), default=None)

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, with every timer that falls due; return when nothing is ready."""
        self.advance_to_us(self._now_us + _microseconds(seconds))

    def advance_to_us(self, moment_us: int) -> None:
        """Let time pass up to ``moment_us``, with every timer that falls due by then."""
        if moment_us < self._now_us:
            raise ValueError("time does not run backwards")
        self._horizon_us = moment_us
        try:
            self.run_forever()
        finally:
            self._horizon_us = None

    def settle(self) -> None:
        """Run what is ready until nothing is; no time passes."""
        self.advance_to_us(self._now_us)

    def run(self, awaitable: Awaitable[_T], *, within: float | None = DAY_S) -> _T:
        """Return the result of ``awaitable``; time passes whenever nothing is ready.

        Raises `Deadlock` when nobody could ever finish it, and `Stalled` when it is not finished
        ``within`` that many virtual seconds (None: however long it takes).
        """
        _check_free(awaitable)
        with self._limited(within):
            future = asyncio.ensure_future(awaitable, loop=self)
            try:
                return self.run_until_complete(future)
            except Exception:
                if not future.done():
                    future.cancel()
                raise

    def run_until(self, reached: Callable[[], bool], *, within: float | None = DAY_S) -> None:
        """Let time pass, timer by timer, until ``reached()``; asked whenever nothing is ready.

        Raises `Deadlock` and `Stalled` as `run` does.
        """
        self.settle()
        with self._limited(within):
            self._stepping = True
            try:
                while not reached():
                    at_limit = self._now_us == self._deadline_us
                    self._step_taken = False
                    self.run_forever()
                    if at_limit and not reached():
                        raise self._stalled()
            finally:
                self._stepping = False

    def run_forever(self) -> None:
        """Run until `stop`; time passes whenever nothing is ready, within the loop's limit."""
        _check_free()
        if self._horizon_us is None and self._deadline_us is None:
            with self._limited(self._limit_s):
                super().run_forever()
            return
        if not self._stepping:
            self._idle_beats = 0
        super().run_forever()

    def break_off(self, error: BaseException) -> None:
        """Raise ``error`` where the loop is run, as soon as the running callback returns."""
        self._broken = error

    def check(self) -> None:
        """Raise what `break_off` was given and nobody has met yet."""
        broken, self._broken = self._broken, None
        if broken is not None:
            raise broken

    def make_platform(self) -> Any:
        """Return a process of the machine that this loop stands for: what an engine runs on."""
        return SimulatedSystem(_LoopTime(self)).process()

    def create_task(
        self, coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T], **options: Any
    ) -> asyncio.Task[_T]:
        """Make a task, and keep it until it is done; then for as long as somebody else does."""
        task: asyncio.Task[_T] = super().create_task(coro, **options)
        self._tasks.add(task)
        # Where only a cycle holds a task, the collector would end it at a moment of its own.
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember what failed where nobody looked, and hand it on."""
        error = context.get("exception")
        if error is not None:
            self._lost.append(f"  {context.get('message')}: {error!r}")
        super().call_exception_handler(context)

    def discard(self) -> None:
        """Cancel every task and timer, as the end of a process would; the loop stays usable.

        What tasks do on their way out still runs, but no time passes for it.
        """
        for _ in range(_INSIST):
            for task in asyncio.all_tasks(self):
                task.cancel()
            # Also where there is no task: what the ended ones have left to call.
            self.settle()
            if not asyncio.all_tasks(self):
                break
        for handle in self._timers():
            handle.cancel()

    # What asyncio's loop asks of a selector.

    def select(self, timeout: float | None) -> list[Any]:
        """Let time pass instead of waiting for ``timeout`` seconds; there is no I/O."""
        self.check()
        if timeout == 0:
            self._idle_beats = 0
            self._count_spin()
            return []
        if self._stepping:
            if self._step_taken:
                self.stop()
                return []
            self._step_taken = True
        end = self._horizon_us if self._horizon_us is not None else self._deadline_us
        assert end is not None  # noqa: S101  a loop that runs has a limit
        if timeout is None and self._horizon_us is None:
            raise self._deadlock()
        following = self._next_us(end)
        if following is not None:
            self._pass_until(following)
            return []
        self._pass_until(end)
        if self._horizon_us is None and not self._stepping:
            raise self._stalled()
        self.stop()
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are no events."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    # Threads.

    def call_soon_threadsafe(
        self, callback: Callable[[*_Ts], object], *args: *_Ts, context: Any = None
    ) -> asyncio.Handle:
        """Call ``callback`` soon; from another thread there is no soon."""
        if self.is_running() and threading.get_ident() != self._thread_id:
            raise OutsideWorld("another thread called into the virtual loop")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self, executor: Any, func: Callable[[*_Ts], _T], *args: *_Ts
    ) -> asyncio.Future[_T]:
        """Call ``func`` on the loop itself, once this turn of the loop is over."""
        del executor
        future: asyncio.Future[_T] = self.create_future()

        def call() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:  # noqa: BLE001 - whoever waits gets it
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_soon(call)
        return future

    # The rest.

    def _timers(self) -> list[asyncio.TimerHandle]:
        return [handle for handle in self._scheduled if not handle.cancelled()]

    def _due_us(self, handle: asyncio.TimerHandle) -> int:
        return max(self._now_us, _microseconds(handle.when()))

    def _next_us(self, end_us: int) -> int | None:
        """Return when to go on by ``end_us``, None for not before; leave out idle beats."""
        timers = self._timers()
        beats = [handle for handle in timers if _period_us(handle) is not None]
        others = (self._due_us(handle) for handle in timers if _period_us(handle) is None)
        other = min(others, default=None)
        until = end_us if other is None else min(other, end_us)
        if self._idle_beats >= len(beats):
            self._skip(beats, until)
        beat = min((self._due_us(handle) for handle in beats), default=None)
        if beat is not None and beat <= until and beat != other:
            self._idle_beats += 1
            return beat
        self._idle_beats = 0
        return other if other is not None and other <= end_us else None

    def _skip(self, beats: list[asyncio.TimerHandle], until_us: int) -> None:
        """Move beats on, by whole periods, to their last moment up to ``until_us``."""
        moves = {
            handle: periods * period_us / _US
            for handle in beats
            if (period_us := _period_us(handle))
            and (periods := (until_us - self._due_us(handle)) // period_us) > 0
        }
        if moves:
            # Timers of one moment keep the order in which the heap would have given them.
            timers = [heapq.heappop(self._scheduled) for _ in range(len(self._scheduled))]
            for handle, seconds in moves.items():
                handle._when += seconds  # type: ignore[attr-defined]  # noqa: SLF001
            self._scheduled.extend(sorted(timers, key=asyncio.TimerHandle.when))

    @contextlib.contextmanager
    def _limited(self, within: float | None) -> Iterator[None]:
        before = self._within, self._deadline_us
        self._within = LONGEST_S if within is None else within
        self._deadline_us = self._now_us + _microseconds(self._within)
        self._idle_beats = 0
        try:
            yield
        finally:
            self._within, self._deadline_us = before

    def _pass_until(self, moment_us: int) -> None:
        passed, self._now_us = moment_us - self._now_us, moment_us
        self._spins = 0
        if passed:
            for call in self.on_pass:
                call(passed)

    def _count_spin(self) -> None:
        self._spins += 1
        if self._spins > SPINS:
            self._spins = 0
            ready = describe_ready(self._ready)
            raise Spinning(f"no time passes, and this goes on and on:\n{ready}")

    def _deadlock(self) -> Deadlock:
        return Deadlock(f"nothing is ready and no timer is set; waiting:\n{self._described()}")

    def _stalled(self) -> Stalled:
        within = f"{self._within:g} s"
        return Stalled(f"not done within {within} of virtual time; waiting:\n{self._described()}")

    def _described(self) -> str:
        """Return who waits, and whose death may be what the others wait for."""
        died = describe_died(self._tasks, self._lost)
        return describe_tasks(self) + (f"\ndied:\n{died}" if died else "")


class _LoopTime:
    """The wall clock of a loop that no `goalfsm.testing.GoalClock` holds."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def wall_ms(self) -> int:
        return START_MS + self.uptime_ms()

    def uptime_ms(self) -> int:
        return self._loop.now_us // 1_000


def run(main: Coroutine[Any, Any, _T], *, within: float | None = DAY_S) -> _T:
    """Return the result of ``main``, run on a virtual loop of its own; see `VirtualLoop.run`."""
    _check_free(main)
    loop = VirtualLoop()
    try:
        return loop.run(main, within=within)
    finally:
        loop.discard()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _check_free(awaitable: object = None) -> None:
    """Raise `LoopRunning` where another loop runs; ``awaitable`` will never be awaited then."""
    running = asyncio._get_running_loop()  # noqa: SLF001  the public one raises
    if running is not None:
        if inspect.iscoroutine(awaitable):
            awaitable.close()
        raise LoopRunning(f"{type(running).__name__} runs here already")


def _period_us(handle: asyncio.TimerHandle) -> int | None:
    """Return the period of a beat, None for a timer of another kind."""
    period_s = getattr(getattr(handle, "_callback", None), "period_s", None)
    return None if period_s is None else _microseconds(period_s)


def _microseconds(seconds: float) -> int:
    return round(seconds * _US)
