"""What other programs do to the machine: they fill its disk, and hold the lock of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.simulation import plan as p

if TYPE_CHECKING:
    from collections.abc import Iterable


class Machine:
    """One machine's disk and locks, by the times of a plan."""

    def __init__(self, items: Iterable[p.Any_Item]) -> None:
        """Have a disk with room, that nobody else writes to, but for the times in ``items``."""
        items = tuple(items)
        self._locked = [i for i in items if isinstance(i, p.Locked)]
        self._full = [i for i in items if isinstance(i, p.SmallDisk)]
        self._kept: dict[int, int] = {}
        """How many commits still fit, by the number of the time at which the disk is full."""

    def calm_down(self) -> None:
        """Have everything free from now on."""
        self._locked, self._full = [], []

    def is_locked(self, now_ms: int) -> bool:
        """Tell whether another program holds the lock."""
        return any(_is_during(each, now_ms) for each in self._locked)

    def release(self, now_ms: int) -> bool:
        """Give back what was set aside; True when there was something."""
        released = False
        for number, each in enumerate(self._full):
            if _is_during(each, now_ms) and number not in self._kept:
                self._kept[number] = each.kept
                released = True
        return released

    def refuses(self, now_ms: int) -> Literal["full", "busy"] | None:
        """Return why a write fails now, None when it does not; one that fits takes its room."""
        if self.is_locked(now_ms):
            return "busy"
        for number, each in enumerate(self._full):
            if _is_during(each, now_ms):
                if not self._kept.get(number):
                    return "full"
                self._kept[number] -= 1
        return None


def _is_during(item: p.Locked | p.SmallDisk, now_ms: int) -> bool:
    return item.at_ms <= now_ms < item.at_ms + item.for_ms
