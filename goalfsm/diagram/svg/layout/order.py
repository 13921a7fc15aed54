"""The order of nodes within their rows, so that few edges cross.

Sweeps down and up sort each row by the median of its neighbours and then exchange neighbours
while that helps; the best order that was seen is kept.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

Rows: TypeAlias = list[list[str]]
Neighbours: TypeAlias = Mapping[str, Sequence[str]]
Shifts: TypeAlias = Mapping[tuple[str, str], float]
"""Where along a node, from -0.5 to 0.5, its edge to a neighbour ends; 0 where nothing is said."""

SWEEPS: Final = 16
PATIENCE: Final = 6
"""Sweeps without a better order after which it is left as it is."""


def order(rows: Rows, above: Neighbours, below: Neighbours, shifts: Shifts | None = None) -> Rows:
    """Return ``rows`` reordered; ``above`` and ``below`` name neighbours in adjacent rows."""
    shifts = shifts or {}
    best = [list(row) for row in rows]
    fewest = crossings(best, below, shifts)
    current = [list(row) for row in rows]
    since = 0
    for sweep in range(SWEEPS):
        if fewest == 0 or since >= PATIENCE:
            break
        down = sweep % 2 == 0
        neighbours = above if down else below
        for index in range(1, len(current)) if down else range(len(current) - 2, -1, -1):
            place = _places(current[index - 1] if down else current[index + 1])
            _by_median(
                current[index],
                {
                    node: sorted(place[end] + shifts.get((end, node), 0.0) for end in ends)
                    for node in current[index]
                    if (ends := neighbours[node])
                },
                keep_right=sweep % 4 > 1,
            )
        _exchange(current, (above, below), shifts)
        found = crossings(current, below, shifts)
        since += 1
        if found < fewest:
            best, fewest, since = [list(row) for row in current], found, 0
    return best


def _places(row: Sequence[str]) -> dict[str, int]:
    return {node: index for index, node in enumerate(row)}


def crossings(rows: Rows, below: Neighbours, shifts: Shifts | None = None) -> int:
    """Return how many edges between adjacent rows cross."""
    shifts = shifts or {}
    total = 0
    for upper, lower in pairwise(rows):
        place = _places(lower)
        seen: list[float] = []
        for node in upper:
            # Edges that share their upper end do not cross, unless they end apart there.
            ends = sorted(
                (shifts.get((node, end), 0.0), place[end] + shifts.get((end, node), 0.0))
                for end in below[node]
            )
            for _, end in ends:
                total += len(seen) - bisect_right(seen, end)
                insort(seen, end)
    return total


def _by_median(row: list[str], places: Mapping[str, Sequence[float]], *, keep_right: bool) -> None:
    """Sort ``row`` by the median of its neighbours' places; one without any keeps its own."""
    medians = {node: _median(found) for node, found in places.items()}
    if keep_right:
        row.reverse()
    sorted_ones = iter(sorted((node for node in row if node in medians), key=medians.__getitem__))
    if keep_right:
        row.reverse()
    row[:] = [next(sorted_ones) if node in medians else node for node in row]


def _median(places: Sequence[float]) -> float:
    middle = len(places) // 2
    if len(places) % 2:
        return places[middle]
    if len(places) == 2:  # noqa: PLR2004  the weighted form divides by zero for two
        return (places[0] + places[1]) / 2
    left = places[middle - 1] - places[0]
    right = places[-1] - places[middle]
    if left + right == 0:
        return (places[middle - 1] + places[middle]) / 2
    return (places[middle - 1] * right + places[middle] * left) / (left + right)


def _exchange(rows: Rows, neighbours: tuple[Neighbours, Neighbours], shifts: Shifts) -> None:
    """Exchange neighbours in a row while that takes crossings away."""
    better = True
    while better:
        better = False
        for index, row in enumerate(rows):
            sides = [
                (_places(rows[other]), beside)
                for other, beside in zip((index - 1, index + 1), neighbours, strict=True)
                if 0 <= other < len(rows)
            ]
            for at in range(len(row) - 1):
                left, right = row[at], row[at + 1]
                gain = 0
                for place, beside in sides:
                    first = [place[e] + shifts.get((e, left), 0.0) for e in beside[left]]
                    second = [place[e] + shifts.get((e, right), 0.0) for e in beside[right]]
                    gain += _crossed(first, second) - _crossed(second, first)
                if gain > 0:
                    row[at], row[at + 1] = right, left
                    better = True


def _crossed(left: Sequence[float], right: Sequence[float]) -> int:
    return sum(1 for a in left for b in right if a > b)
