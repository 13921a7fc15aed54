"""An event loop whose time is a number: nothing waits, no thread runs, order never varies.

When nothing is ready, the time jumps to the next timer. When there is no timer either, whoever
waits would wait for ever: `Deadlock` says who that is and where. Tasks, timeouts, queues and
locks of asyncio work as they do on any loop; sockets, pipes, processes and signals are refused,
and what is handed to an executor runs on the loop itself.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple

from goalfsm.errors import GoalError
from goalfsm.testing.waiting import describe_ready, describe_tasks

DAY_S: Final = 86_400.0
SPINS: Final = 100_000
"""Turns of the loop without time passing after which it counts as spinning."""

_US: Final = 1_000_000
_INSIST: Final = 100
_OUTSIDE: Final = (
    "add_reader",
    "add_signal_handler",
    "add_writer",
    "connect_accepted_socket",
    "connect_read_pipe",
    "connect_write_pipe",
    "create_connection",
    "create_datagram_endpoint",
    "create_server",
    "create_unix_connection",
    "create_unix_server",
    "getaddrinfo",
    "getnameinfo",
    "sendfile",
    "sock_accept",
    "sock_connect",
    "sock_recv",
    "sock_recv_into",
    "sock_recvfrom",
    "sock_recvfrom_into",
    "sock_sendall",
    "sock_sendfile",
    "sock_sendto",
    "start_tls",
    "subprocess_exec",
    "subprocess_shell",
)

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class VirtualTimeError(GoalError):
    """Virtual time cannot go on: the test, or what it tests, would hang."""

    code = "virtual_time"


class Deadlock(VirtualTimeError):
    """Nothing is ready and no timer is set, but somebody waits."""

    code = "deadlock"
    hint = "set what it waits for, or give the wait a timeout"


class Stalled(VirtualTimeError):
    """What was waited for did not happen within the virtual time that it was given."""

    code = "stalled"
    hint = "give it more time with within=, or look at what it waits for"


class Spinning(VirtualTimeError):
    """Callbacks follow one another without end, and no time passes."""

    code = "spinning"
    hint = "let the loop that polls sleep for a while"


class OutsideWorld(VirtualTimeError, NotImplementedError):
    """Something asked for the outside world: a socket, a process, a signal, another thread."""

    code = "outside_world"
    hint = "give the code under test a stand-in, or run it on a real loop"


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop on virtual time; `time` begins at 0 and is exact to the microsecond.

    It serves any coroutine: ``asyncio.Runner(loop_factory=VirtualLoop)`` runs one. `on_pass` are
    called with the microseconds, whenever time has passed.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _thread_id: int | None

    def __init__(self) -> None:
        """Start at 0, with nothing to do."""
        super().__init__()
        self.on_pass: list[Callable[[int], None]] = []
        self._now_us = 0
        self._horizon_us: int | None = None
        self._deadline_us: int | None = None
        self._within: float | None = None
        self._spins = 0
        # What asyncio's loop asks for: a selector, and how exact its clock is.
        self._selector = self
        self._clock_resolution = 1 / _US
        for name in _OUTSIDE:
            setattr(self, name, partial(_refuse, name))

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
        head = self._scheduled[0] if self._scheduled else None
        if head is None:
            return None
        if head.cancelled():
            first = min((handle.when() for handle in self._timers()), default=None)
        else:
            first = head.when()
        return None if first is None else max(self._now_us, _microseconds(first))

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
        self._within = within
        self._deadline_us = None if within is None else self._now_us + _microseconds(within)
        future = asyncio.ensure_future(awaitable, loop=self)
        try:
            return self.run_until_complete(future)
        except VirtualTimeError:
            if not future.done():
                future.cancel()
            raise
        finally:
            self._deadline_us = None

    def run_until(self, reached: Callable[[], bool], *, within: float | None = DAY_S) -> None:
        """Let time pass, timer by timer, until ``reached()``; asked whenever nothing is ready.

        Raises `Deadlock` and `Stalled` as `run` does.
        """
        deadline = None if within is None else self._now_us + _microseconds(within)
        self.settle()
        while not reached():
            following = self.next_timer_us()
            if following is None:
                raise self._deadlock()
            if deadline is not None and following > deadline:
                self.advance_to_us(deadline)
                if reached():
                    return
                raise self._stalled(within)
            self.advance_to_us(following)

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
        if timeout == 0:
            self._count_spin()
            return []
        following = None if timeout is None else self.next_timer_us()
        if self._horizon_us is not None:
            if following is None or following > self._horizon_us:
                self._pass_until(self._horizon_us)
                self.stop()
            else:
                self._pass_until(following)
        elif following is None:
            raise self._deadlock()
        elif self._deadline_us is not None and following > self._deadline_us:
            self._pass_until(self._deadline_us)
            raise self._stalled(self._within)
        else:
            self._pass_until(following)
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
        return Deadlock(f"nothing is ready and no timer is set; waiting:\n{describe_tasks(self)}")

    def _stalled(self, within: float | None) -> Stalled:
        tasks = describe_tasks(self)
        return Stalled(f"not done within {within:g} s of virtual time; waiting:\n{tasks}")


def run(main: Coroutine[Any, Any, _T], *, within: float | None = DAY_S) -> _T:
    """Return the result of ``main``, run on a virtual loop of its own; see `VirtualLoop.run`."""
    loop = VirtualLoop()
    try:
        return loop.run(main, within=within)
    finally:
        loop.discard()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def _microseconds(seconds: float) -> int:
    return round(seconds * _US)


def _refuse(name: str, *_args: object, **_options: object) -> NoReturn:
    raise OutsideWorld(f"the virtual loop has no {name}: nothing outside exists here")
