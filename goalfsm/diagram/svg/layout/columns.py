"""Where nodes stand within their rows: long edges straight, everything near its neighbours.

This is the method of Brandes and Köpf: nodes are aligned with a median neighbour into columns,
once for each corner of the drawing, and each node gets the mean of its two middle places.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from goalfsm.diagram.svg.layout.order import Neighbours, Rows

Gap: TypeAlias = Callable[[str, str], float]
"""How far the centre of the second node is from that of the first, its left neighbour."""


def columns(
    rows: Rows, above: Neighbours, below: Neighbours, *, thin: frozenset[str], gap: Gap
) -> dict[str, float]:
    """Return the x of every node's centre. ``thin`` are the bends of long edges."""
    if not any(rows):
        return {}
    conflicts = _conflicts(rows, above, thin)
    layouts: list[dict[str, float]] = []
    for downwards in (True, False):
        for leftwards in (True, False):
            turned = [row if leftwards else row[::-1] for row in rows]
            neighbours = above if downwards else below
            if not downwards:
                turned.reverse()
            heads = _align(turned, neighbours, conflicts)
            places = _compact(turned, heads, gap if leftwards else _mirrored(gap))
            layouts.append(
                places if leftwards else {node: -place for node, place in places.items()}
            )
    return _balance(layouts)


def _mirrored(gap: Gap) -> Gap:
    return lambda left, right: gap(right, left)


def _conflicts(rows: Rows, above: Neighbours, thin: frozenset[str]) -> frozenset[tuple[str, str]]:
    """Return the (upper, lower) pairs that cross a long edge: they must not be aligned."""
    found: set[tuple[str, str]] = set()
    for upper, lower in pairwise(rows):
        place = {node: index for index, node in enumerate(upper)}
        inner = [
            (place[end], index)
            for index, node in enumerate(lower)
            if node in thin
            for end in above[node]
            if end in thin
        ]
        for index, node in enumerate(lower):
            for end in above[node]:
                if node in thin and end in thin:
                    continue
                if any((place[end] - a) * (index - b) < 0 for a, b in inner):
                    found.add((end, node))
    return frozenset(found)


def _align(
    rows: Rows, neighbours: Neighbours, conflicts: frozenset[tuple[str, str]]
) -> dict[str, str]:
    """Return for every node the head of the column that it is aligned in."""
    head = {node: node for row in rows for node in row}
    taken: set[str] = set()
    for before, row in pairwise(rows):
        place = {node: index for index, node in enumerate(before)}
        furthest = -1
        for node in row:
            ends = sorted(neighbours[node], key=place.__getitem__)
            if not ends:
                continue
            middle = (len(ends) - 1) // 2
            for end in ends[middle : len(ends) // 2 + 1]:
                crossing = (end, node) in conflicts or (node, end) in conflicts
                if not crossing and end not in taken and place[end] > furthest:
                    head[node] = head[end]
                    taken.add(end)
                    furthest = place[end]
                    break
    return head


def _compact(rows: Rows, head: Mapping[str, str], gap: Gap) -> dict[str, float]:
    """Return the leftmost place of every column, then move columns right where there is room."""
    gaps: dict[str, dict[str, float]] = {node: {} for node in head.values()}
    reverse: dict[str, dict[str, float]] = {node: {} for node in head.values()}
    for row in rows:
        for left, right in pairwise(row):
            a, b = head[left], head[right]
            distance = max(gap(left, right), gaps[b].get(a, 0.0))
            gaps[b][a] = reverse[a][b] = distance
    ordered = _sorted(gaps)
    places: dict[str, float] = {}
    for column in ordered:
        places[column] = max((places[a] + d for a, d in gaps[column].items()), default=0.0)
    for column in reversed(ordered):
        room = min((places[b] - d for b, d in reverse[column].items()), default=None)
        if room is not None:
            places[column] = max(places[column], room)
    return {node: places[top] for node, top in head.items()}


def _sorted(gaps: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the columns so that each comes after those to its left."""
    done: dict[str, None] = {}
    for start in gaps:
        stack = [start]
        while stack:
            column = stack[-1]
            missing = [left for left in gaps[column] if left not in done]
            if missing:
                stack.extend(missing)
            else:
                done[stack.pop()] = None
    return list(done)


def _balance(layouts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of the two middle places, after shifting all onto the narrowest layout."""

    def width(places: Mapping[str, float]) -> float:
        return max(places.values()) - min(places.values())

    narrowest = min(layouts, key=width)
    low, high = min(narrowest.values()), max(narrowest.values())
    shifted: list[dict[str, float]] = []
    for index, places in enumerate(layouts):
        leftwards = index % 2 == 0
        delta = low - min(places.values()) if leftwards else high - max(places.values())
        shifted.append({node: place + delta for node, place in places.items()})
    balanced: dict[str, float] = {}
    for node in narrowest:
        middle = sorted(places[node] for places in shifted)[1:3]
        balanced[node] = sum(middle) / 2
    return balanced
