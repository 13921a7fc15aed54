"""What happens to the machine: its disk fails, is full or unreadable, and others hold its locks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from tests.simulation import plan as p

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.simulation.plan import CommitSort, FaultKind, ReadSort
    from tests.simulation.stats import Stats


class Machine:
    """One machine's disk and locks, by the times of a plan."""

    def __init__(self, items: Iterable[p.Any_Item], stats: Stats) -> None:
        """Have a disk with room, that nobody else writes to, but for the times in ``items``."""
        items = tuple(items)
        self._stats = stats
        self._commits: Counter[CommitSort] = Counter()
        self._reads: Counter[ReadSort] = Counter()
        self._faults = {
            (i.of, i.nth + n): i.kind
            for i in items
            if isinstance(i, p.Fault)
            for n in range(i.times)
        }
        self._read_faults = {(i.of, i.nth) for i in items if isinstance(i, p.ReadFault)}
        self._locked = [i for i in items if isinstance(i, p.Locked)]
        self._full = [i for i in items if isinstance(i, p.SmallDisk)]
        self._kept: dict[int, int] = {}
        """How many commits still fit, by the number of the time at which the disk is full."""
        self._unreadable = [i for i in items if isinstance(i, p.Unreadable)]
        self._hushed = [i for i in items if isinstance(i, p.Hushed)]
        self._sized = next((i for i in items if isinstance(i, p.SizedDisk)), None)
        self._log = 0
        """How many commits the log holds, where the disk has a size."""
        self._full_ms: int | None = None
        """Since when it has had no room."""

    def calm_down(self) -> None:
        """Have everything free from now on; a disk keeps its size."""
        self._locked, self._full, self._unreadable, self._hushed = [], [], [], []
        self._faults.clear()
        self._read_faults.clear()
        if self._sized is not None:
            self._sized = replace(self._sized, pinned_ms=0)

    def fault(self, sorts: Iterable[CommitSort]) -> FaultKind | None:
        """Return how the next commit, which is of these sorts, fails; None when it does not."""
        fails: FaultKind | None = None
        for sort in sorts:
            self._commits[sort] += 1
            fails = self._faults.pop((sort, self._commits[sort]), None) or fails
        self._stats.faults += fails is not None
        return fails

    def read_fault(self, sort: ReadSort, now_ms: int) -> bool:
        """Tell whether the next read, which is of this sort, fails."""
        fails = self.is_unreadable(now_ms)
        for each in {sort, "each"}:
            self._reads[each] += 1
            fails |= (each, self._reads[each]) in self._read_faults
        self._stats.faults += fails
        return fails

    def is_unreadable(self, now_ms: int) -> bool:
        """Tell whether nothing can be read."""
        return any(_is_during(each, now_ms) for each in self._unreadable)

    def is_in_the_way(self, now_ms: int) -> bool:
        """Tell whether a disk or a lock keeps an engine from going on."""
        of_a_while = (*self._locked, *self._full, *self._unreadable, *self._hushed)
        return any(_is_during(each, now_ms) for each in of_a_while)

    @property
    def is_full(self) -> bool:
        """Whether the disk has had no room for the log since a write was refused."""
        return self._full_ms is not None

    def hushed_for(self, now_ms: int) -> int:
        """Return for how many ms the supervisor does not react, 0 while it does."""
        ends = [i.at_ms + i.for_ms for i in self._hushed if _is_during(i, now_ms)]
        return max(ends, default=now_ms) - now_ms

    def is_locked(self, now_ms: int) -> bool:
        """Tell whether another program holds the lock."""
        return any(_is_during(each, now_ms) for each in self._locked)

    def release(self, now_ms: int) -> bool:
        """Give back what was set aside, and move the log; True when there was something."""
        released = False
        if self._sized is not None and self._log:
            since = self._full_ms
            if since is None or now_ms - since >= self._sized.pinned_ms:
                self._log, self._full_ms = 0, None
                released = True
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
        sized = self._sized
        if sized is not None and now_ms >= sized.at_ms:
            if self._log >= sized.room:
                self._full_ms = now_ms if self._full_ms is None else self._full_ms
                return "full"
            self._log += 1
        return None


def _is_during(item: p.Locked | p.SmallDisk | p.Unreadable | p.Hushed, now_ms: int) -> bool:
    return item.at_ms <= now_ms < item.at_ms + item.for_ms
