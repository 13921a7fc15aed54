"""A state that many others hang on, as a page: these stand in columns beside trunks.

In rows of a layered drawing they would stand beside each other, a strip as wide as they are many.
A fan takes a state's leaves out of the layout, which places one box for all of them, and draws
them in it: trunks run down from the box's upper edge, and each leaf has a branch of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from goalfsm.diagram.labels import Joint
from goalfsm.diagram.model import Diagram
from goalfsm.diagram.svg.layout.place import Frame
from goalfsm.diagram.svg.layout.region import Point

LEAST: Final = 8
"""As many leaves a fan has at least."""
STUB: Final = 16.0
"""How much of a branch is seen on each side of its label."""
BETWEEN: Final = 14.0
"""Between two leaves of a column."""
PAIRS: Final = 30.0
"""Between two trunks with their leaves."""
HEADER: Final = 30.0
"""Between the upper edge and the first leaf: what connects the trunks is there."""
ROUND: Final = 7.0
LANE: Final = 9.0
"""Between what leads to the leaves and what leads back."""
PAGE: Final = 1.2
"""How many times as high as wide a fan is to be."""

Size = tuple[float, float]


class Leaf(NamedTuple):
    """A state that only its hub leads to, or that leads only to its hub, or both."""

    name: str
    to: Joint | None
    back: Joint | None


class Branch(NamedTuple):
    """One branch: its points from source to destination, and the centre of its label."""

    leaf: Leaf
    joint: Joint
    points: tuple[Point, ...]
    label: Point


class Fan(NamedTuple):
    """Where everything of a fan is, from the upper left corner of its box.

    ``trunks`` are polylines without tips: what leads to the leaves, and what leads back.
    """

    hub: str
    width: float
    height: float
    leaves: tuple[tuple[Leaf, Frame], ...]
    branches: tuple[Branch, ...]
    xs: tuple[float, ...]
    bottom: float
    leads_to: bool
    leads_back: bool

    def trunks(self, *, back: bool, entry: Point) -> list[tuple[Point, ...]]:
        """Return the trunks as seen from ``entry``, where the fan's arrow meets its box."""
        level = HEADER / 3 + (LANE if back else 0.0)
        across = entry[1] > 0.0
        ways: list[tuple[Point, ...]] = []
        for middle in self.xs:
            x = middle + self._lane(back=back)
            start: tuple[Point, ...] = (entry, (entry[0], level))
            if across:
                aside = LANE * (2 if back else 1)
                start = (entry, (aside, entry[1]), (aside, level))
            ways.append((*start, (x, level), (x, self.bottom)))
        return ways

    def _lane(self, *, back: bool) -> float:
        if not (self.leads_to and self.leads_back):
            return 0.0
        return LANE / 2 if back else -LANE / 2


def leaves_of(diagram: Diagram, joints: Iterable[Joint]) -> dict[str, list[Leaf]]:
    """Return, by hub, the leaves of every state that has enough of them.

    What a model took, where it is, and what befalls is not put aside.
    """
    nodes = {node.name: node for node in diagram.states}
    shown = {*diagram.highlight, *diagram.initial, *diagram.defaults, *diagram.finals}
    shown |= {node.parent for node in diagram.states if node.parent is not None}
    beside: dict[str, list[Joint]] = {name: [] for name in nodes}
    for joint in joints:
        for end in {joint.source, joint.dest}:
            beside[end].append(joint)
    hubs: dict[str, list[Leaf]] = {}
    for name, found in beside.items():
        hub = {end for joint in found for end in (joint.source, joint.dest)} - {name}
        plain = nodes[name].kind == "state" and name not in shown
        if len(hub) != 1 or not plain or any(joint.count or joint.fault for joint in found):
            continue
        to = [joint for joint in found if joint.dest == name and joint.source != name]
        back = [joint for joint in found if joint.source == name and joint.dest != name]
        alone = len(to) + len(back) == len(found) and len(to) <= 1 and len(back) <= 1
        (other,) = hub
        if alone and nodes[other].parent == nodes[name].parent:
            leaf = Leaf(name, to[0] if to else None, back[0] if back else None)
            hubs.setdefault(other, []).append(leaf)
    return {hub: leaves for hub, leaves in hubs.items() if len(leaves) >= LEAST}


def spread(
    hub: str,
    leaves: Sequence[Leaf],
    sizes: Sequence[Size],
    labels: dict[Joint, Size],
    *,
    across: bool,
) -> Fan:
    """Return the fan of ``leaves``; ``labels`` are the sizes of the texts on their branches.

    ``across`` says that the drawing runs from left to right: the arrow comes from the left then.
    """
    nothing = (0.0, 0.0)
    texts = [
        [labels.get(joint, nothing) for joint in (leaf.to, leaf.back) if joint is not None]
        for leaf in leaves
    ]
    width = max(size[0] for size in sizes)
    reach = max(text[0] for found in texts for text in found) + 2 * STUB
    apart = [sum(text[1] for text in found) / 2 if len(found) > 1 else 0.0 for found in texts]
    heights = [max(size[1], gap + 2 * ROUND) for size, gap in zip(sizes, apart, strict=True)]
    step = BETWEEN + max(
        max(height, gap + max(text[1] for text in found))
        for height, gap, found in zip(heights, apart, texts, strict=True)
    )
    pair = 2 * (width + reach)
    indent = 3 * LANE if across else 0.0

    def measured(pairs: int) -> tuple[float, float]:
        rows = math.ceil(len(leaves) / (2 * pairs))
        return indent + pairs * pair + (pairs - 1) * PAIRS, HEADER + rows * step

    def shape(pairs: int) -> float:
        wide, high = measured(pairs)
        return abs(math.log(high / (PAGE * wide)))

    pairs = min(range(1, len(leaves) // 2 + 1), key=shape)
    rows = math.ceil(len(leaves) / (2 * pairs))
    wide, high = measured(pairs)
    xs = tuple(indent + at * (pair + PAIRS) + pair / 2 for at in range(pairs))
    both = any(leaf.to for leaf in leaves) and any(leaf.back for leaf in leaves)
    placed: list[tuple[Leaf, Frame]] = []
    branches: list[Branch] = []
    bottom = 0.0
    for at, leaf in enumerate(leaves):
        # Down the left side of a trunk, then down its right side: as a text is read.
        column, row = divmod(at, rows)
        middle = HEADER + (row + 0.5) * step
        trunk = xs[column // 2]
        side = 1 if column % 2 else -1
        edge = trunk + side * reach
        left, top = edge if side > 0 else edge - width, middle - heights[at] / 2
        placed.append((leaf, Frame(left, top, width, heights[at])))
        for joint in (leaf.to, leaf.back):
            if joint is None:
                continue
            lane = (LANE / 2 if joint is leaf.back else -LANE / 2) if both else 0.0
            level = middle + (apart[at] if joint is leaf.back else -apart[at]) / 2
            inner, outer = (trunk + lane, level), (edge, level)
            points = (inner, outer) if joint is leaf.to else (outer, inner)
            branches.append(Branch(leaf, joint, points, (trunk + side * reach / 2, level)))
            bottom = max(bottom, level)
    return Fan(
        hub,
        wide,
        high - BETWEEN / 2,
        tuple(placed),
        tuple(branches),
        xs,
        bottom,
        leads_to=any(leaf.to for leaf in leaves),
        leads_back=any(leaf.back for leaf in leaves),
    )


def rounded(points: Sequence[Point]) -> tuple[tuple[Point, ...], ...]:
    """Return a polyline as pieces: (to,) is a line, (corner, to) a bend round a corner."""
    pieces: list[tuple[Point, ...]] = [(points[0],)]
    for before, at, after in zip(points, points[1:], points[2:], strict=False):
        one, other = math.dist(before, at), math.dist(at, after)
        if not one or not other:
            continue
        radius = min(ROUND, one / 2, other / 2)
        pieces.append((_toward(at, before, radius / one),))
        pieces.append((at, _toward(at, after, radius / other)))
    pieces.append((points[-1],))
    return tuple(pieces)


def _toward(start: Point, end: Point, share: float) -> Point:
    return (start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share)
