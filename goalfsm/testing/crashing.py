"""Where a process can die: a store and functions that tell of every point, and the plan to die."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NoReturn, TypeVar

import msgspec
import structlog

from goalfsm.session import codec
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Commit, Done, Identity, Outcome
from goalfsm.testing.clock import Crashed
from goalfsm.testing.loop import VirtualLoop

Reach = Callable[[str], None]
_F = TypeVar("_F", bound=Callable[..., Any])


class CrashPoint(msgspec.Struct, frozen=True, kw_only=True):
    """One moment at which a crash leaves something else behind; ``number`` counts from 1."""

    number: int
    what: str

    def __str__(self) -> str:
        """Return the crash point in words."""
        return f"{self.number}: {self.what}"


class CrashPlan:
    """Counts the points that a scenario passes, and dies at those that were chosen."""

    def __init__(self, *numbers: int) -> None:
        """Die at the points with these numbers."""
        self.points: list[CrashPoint] = []
        self.crashed_at: list[CrashPoint] = []
        self._numbers = frozenset(numbers)

    def reach(self, what: str) -> None:
        """Pass a point; raise `Crashed` where the plan says so."""
        point = CrashPoint(number=len(self.points) + 1, what=what)
        self.points.append(point)
        if point.number in self._numbers:
            self.crashed_at.append(point)
            raise Crashed(str(point))

    def check(self) -> None:
        """Raise AssertionError when a chosen point was not reached."""
        reached = {point.number for point in self.crashed_at}
        if missed := sorted(self._numbers - reached):
            raise AssertionError(
                f"no crash at point {missed[0]}: {len(self.points)} points were reached"
            )


class CrashingStore(MemoryStore):
    """A store in memory that tells before and after everything that it makes durable."""

    def __init__(
        self, disk: MemoryDisk, reach: Reach, is_alive: Callable[[Identity], bool]
    ) -> None:
        """Open a handle on ``disk``."""
        super().__init__(disk, is_alive=is_alive)
        self._reach = reach

    def commit(self, batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        """Write these events, between two points."""
        self.owned()  # a process that is dead passes no point
        what = _described(batch, done)
        self._reach(f"before the commit of {what}")
        outcomes = super().commit(batch, done=done)
        self._reach(f"after the commit of {what}")
        return outcomes


def _described(batch: Sequence[Commit], done: Sequence[Done]) -> str:
    if not batch:
        return ", ".join(f"done {mark.key}" for mark in done)
    events = [type(codec.decode_event(commit.event)).__name__ for commit in batch]
    threads = dict.fromkeys(commit.thread_id for commit in batch)
    return f"{' + '.join(events)} of {', '.join(threads)}"


def telling(functions: Mapping[str, _F], kind: str, reach: Reach) -> dict[str, _F]:
    """Return ``functions`` that tell of a point before and after they are called."""
    return {
        name: _telling(function, f"{kind} {name}", reach) for name, function in functions.items()
    }


def _telling(function: _F, what: str, reach: Reach) -> _F:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        reach(f"before {what}")
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            return _finish(result)
        reach(f"after {what}")
        return result

    async def _finish(awaitable: Awaitable[Any]) -> Any:
        result = await awaitable
        reach(f"after {what}")
        return result

    return call  # type: ignore[return-value]  # it is called as the function is


def discard(loop: VirtualLoop) -> None:
    """End everything on the loop as the end of its process would; nobody hears of it."""
    with silence():
        while True:
            try:
                loop.discard()
            except SystemExit:
                continue
            return


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Have nothing logged while inside: the dead do not write to logs.

    Loggers keep the list of processors that they were made with, so that list itself is changed.
    """
    processors = structlog.get_config()["processors"]
    if isinstance(processors, list):
        processors.insert(0, _drop)
    try:
        yield
    finally:
        if isinstance(processors, list):
            processors.remove(_drop)


def _drop(_logger: object, _method: str, _event: MutableMapping[str, Any]) -> NoReturn:
    raise structlog.DropEvent
