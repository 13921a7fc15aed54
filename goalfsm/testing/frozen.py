"""The wall clock where another library has frozen it: freezegun or time-machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from goalfsm.errors import GoalError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class FrozenTime(Protocol):
    """A wall clock that stands still until somebody moves it."""

    def now_us(self) -> int:
        """Return unix microseconds."""
        ...

    def move(self, microseconds: int) -> None:
        """Set the clock forward by ``microseconds``."""
        ...


class FreezegunTime:
    """What ``freezegun.freeze_time`` has frozen."""

    def __init__(self, factory: Any) -> None:
        """Move the time of a factory of freezegun's."""
        self._factory = factory

    def now_us(self) -> int:
        """Return unix microseconds."""
        return us(self._factory.time_to_freeze.replace(tzinfo=UTC))

    def move(self, microseconds: int) -> None:
        """Set the clock forward by ``microseconds``."""
        self._factory.tick(timedelta(microseconds=microseconds))


class TimeMachineTime:
    """Where ``time_machine.travel`` has gone."""

    def __init__(self, traveller: Any) -> None:
        """Read and move the clock of ``traveller``."""
        self._traveller = traveller

    def now_us(self) -> int:
        """Return unix microseconds."""
        return int(self._traveller.time_ns() // 1000)

    def move(self, microseconds: int) -> None:
        """Set the clock forward by ``microseconds``."""
        self._traveller.shift(timedelta(microseconds=microseconds))


def frozen_time() -> FrozenTime | None:
    """Return the wall clock that somebody has frozen, None where nobody has.

    Raises GoalError where it runs on with the real time, or is frozen by two libraries.
    """
    found = [*_freezegun(), *_time_machine()]
    if len(found) > 1:
        raise GoalError(
            "freezegun and time-machine both hold the time here",
            code="time_ticks",
            hint="freeze it with one of them",
        )
    return found[0] if found else None


def us(moment: datetime) -> int:
    """Return unix microseconds of a moment with a zone."""
    return (moment - _EPOCH) // _MICROSECOND


def _freezegun() -> Iterator[FrozenTime]:
    factories = getattr(sys.modules.get("freezegun.api"), "freeze_factories", None)
    if factories:
        factory = factories[-1]
        if not hasattr(factory, "time_to_freeze") or hasattr(factory, "start"):
            raise _ticks("freezegun", "freeze without tick=True")
        yield FreezegunTime(factory)


def _time_machine() -> Iterator[FrozenTime]:
    travellers = getattr(sys.modules.get("time_machine"), "traveller_stack", None)
    if travellers:
        # A traveller shows in nothing public whether its time runs on.
        if getattr(travellers[-1], "_tick", True):
            raise _ticks("time-machine", "travel with tick=False")
        yield TimeMachineTime(travellers[-1])


def _ticks(library: str, instead: str) -> GoalError:
    return GoalError(
        f"{library} ticks with the real time here",
        code="time_ticks",
        hint=f"{instead}: goal_clock moves the frozen time",
    )
