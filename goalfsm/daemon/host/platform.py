"""What an engine asks of the machine it runs on: time, chance, tasks, processes.

A simulation gives its own. Everything else in this package takes the time from `Clock`, ids from
`IdSource`, waits on the running loop, and draws nothing by itself.
"""

from __future__ import annotations

import asyncio
import functools
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, runtime_checkable

from goalfsm.daemon.host.zones import local_name
from goalfsm.errors import GoalError
from goalfsm.store.owner import end_stalled, machine
from goalfsm.store.port import Held, Identity, Process
from goalfsm.workers.supervisor.identity import (
    boot_id,
    parts_of,
    pid_namespace,
    started_at,
    text_of,
    wait_gone,
)

if TYPE_CHECKING:
    from goalfsm.daemon.host.watch import Place, Watch
    from goalfsm.workers.supervisor.orphans import Orphans


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
        """Return a clock that nobody sets, and that stands still while the machine sleeps.

        So an owner is not silent for having slept.
        """
        return time.monotonic_ns() // 1_000_000

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
        self._telling: tuple[asyncio.Future[Any], ...] = ()

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

    def telling(self, told: asyncio.Future[Any]) -> None:
        """Note that a thread is being told of a step: it knows of it when ``told`` is done."""
        self._telling = (*self._telling, told)

    def seen_ms(self) -> int:
        """Return what a sign of life says of now, in the time that every thread counts in.

        It is 0, no moment, while a thread has yet to be told durably that the clock was set: an
        engine after this one would charge it for the step.
        """
        self._telling = tuple(each for each in self._telling if not each.done())
        return 0 if self._telling else self.now_ms()

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


_F = TypeVar("_F", bound="Callable[..., None]")


def beats_every(period_s: float) -> Callable[[_F], _F]:
    """Mark a callback that sets its own timer again and again, every ``period_s`` seconds.

    A loop on virtual time may leave such beats out while nothing else happens.
    """

    def mark(function: _F) -> _F:
        function.period_s = period_s  # type: ignore[attr-defined]
        return function

    return mark


class Tasks:
    """Every task that one engine has started and that is not over."""

    def __init__(self, over: asyncio.Event) -> None:
        """After ``over`` is set, what a closed store keeps a task from doing is no news."""
        self._over = over
        self._tasks: set[asyncio.Future[Any]] = set()

    def spawn(
        self,
        doing: Awaitable[Any],
        name: str,
        ended: Callable[[asyncio.Future[Any]], None] | None = None,
    ) -> None:
        """Run something in a task called ``name``.

        What it raises is logged, unless ``ended`` is given, which is called with the task.
        """
        task = asyncio.ensure_future(doing)
        if isinstance(task, asyncio.Task):
            task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(self._log, name) if ended is None else ended)

    async def cancel(self, most_s: float) -> None:
        """Cancel all tasks but the calling one; wait for their ends ``most_s`` seconds at most."""
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=most_s)

    def _log(self, name: str, task: asyncio.Future[Any]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is not None and not (self._over.is_set() and isinstance(error, GoalError)):
            import structlog  # noqa: PLC0415  a command without an engine logs nothing

            structlog.get_logger(__name__).error("task failed", task=name, exc_info=error)


def identity_of(pid: int) -> Identity | None:
    """Return the identity of a living process, None when it is gone or a zombie."""
    started = started_at(pid)
    if started is None:
        return None
    return Identity(
        pid=pid,
        start_time=started,
        boot_id=boot_id(),
        namespace=pid_namespace(),
        machine=machine(),
    )


def own_identity() -> Identity:
    """Return the identity of this process."""
    identity = identity_of(os.getpid())
    if identity is None:  # pragma: no cover - only where /proc is hidden from its own process
        msg = "this process cannot read its own start time"
        raise OSError(msg)
    return identity


def recorded_identity(pid: int, started: str) -> Identity:
    """Return the identity of a process that a worker spawned, as a store keeps it.

    It may have gone already; its session may still have members, found by what it was.
    """
    boot, start = parts_of(started)
    return Identity(
        pid=pid, start_time=start, boot_id=boot, namespace=pid_namespace(), machine=machine()
    )


def started_text(identity: Identity) -> str:
    """Return what tells the process from later ones, in the words of a worker."""
    return text_of(identity.boot_id, identity.start_time)


class Platform(Protocol):
    """Time, chance and processes."""

    @property
    def clock(self) -> TimeSource:
        """The clocks of the machine."""
        ...

    @property
    def entropy(self) -> Entropy:
        """Ids and tokens."""
        ...

    def identity(self) -> Identity:
        """Return who this engine is, as a process."""
        ...

    def end_stalled(self, held: Held) -> bool:
        """Kill an owner that was stopped while it held the store's lock; False when it may not."""
        ...

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Process], supervisor: int | None
    ) -> Orphans:
        """End what is left of an earlier engine's runs; return which processes ended or live on."""
        ...

    async def wait_gone(self, pid: int, started: str) -> None:
        """Return when the process that started then has ended."""
        ...

    def watch(self, places: Callable[[], Sequence[Place]]) -> Watch | None:
        """Return what tells of changes in directories; None: an engine looks every two seconds."""
        ...


def simulated(loop: asyncio.AbstractEventLoop) -> Platform | None:
    """Return the platform of a loop on virtual time, which has one; None on any other loop.

    What such a loop stands for has no sockets and no processes.
    """
    make = getattr(loop, "make_platform", None)
    return None if make is None else make()


class LocalPlatform:
    """The machine that this process runs on."""

    def __init__(self, clock: TimeSource | None = None) -> None:
        """Use the machine's clocks unless others are given."""
        self.clock: TimeSource = clock or SystemClock()
        self.entropy: Entropy = SystemEntropy()

    def identity(self) -> Identity:
        """Return the identity of this process."""
        return own_identity()

    def end_stalled(self, held: Held) -> bool:
        """Kill a stalled owner of this user's."""
        return end_stalled(held)

    async def end_orphans(
        self, db: str, run_ids: Sequence[str], recorded: Sequence[Process], supervisor: int | None
    ) -> Orphans:
        """End orphans beside the loop, which has an owner's heartbeat to keep."""
        from goalfsm.workers.supervisor import orphans  # noqa: PLC0415  an engine alone looks

        if not db:
            # Without a file there are no processes of an earlier engine either.
            return orphans.Orphans()
        known = [
            orphans.RecordedRun(
                run_id=process.run_id,
                pid=process.identity.pid,
                pgid=process.pgid,
                start_time=started_text(process.identity),
            )
            for process in recorded
        ]
        search = functools.partial(
            orphans.end_orphans, db, run_ids, recorded=known, own_supervisor=supervisor
        )
        return await asyncio.to_thread(search)

    async def wait_gone(self, pid: int, started: str) -> None:
        """Return when the process has ended."""
        await wait_gone(pid, started)

    def watch(self, places: Callable[[], Sequence[Place]]) -> Watch | None:
        """Return the kernel's watch, where there is one."""
        from goalfsm.daemon.host.watch import watch_files  # noqa: PLC0415  as above

        return watch_files(places)
