"""A whole drawing laid out: regions nested in each other, edges that cross their borders.

Rows are planned from the outside in, because the direction in which an edge passes a border
follows from them; places are found from the inside out, because they need sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from goalfsm.diagram.model import Direction
from goalfsm.diagram.svg.layout.region import Extent, Link, Placed, Point, Region, Side

LOOP: Final = 30.0
"""How far a self loop reaches out of its node."""
LOOP_LABEL: Final = 8.0
PADDING: Final = 18.0
ROOT: Final = ""
_MARK: Final = "="


class Box(NamedTuple):
    """A node to place. With nodes nested in it, the size is that of the head above them.

    ``beside`` is room to leave after it, across the direction of the drawing: how far it reaches
    and how wide it is.
    """

    name: str
    width: float
    height: float
    parent: str | None = None
    beside: tuple[float, float] = (0.0, 0.0)


class Arrow(NamedTuple):
    """An edge to route; ``width`` and ``height`` are those of its label."""

    source: str
    dest: str
    width: float = 0.0
    height: float = 0.0


class Frame(NamedTuple):
    """Where a node was placed: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float


class Route(NamedTuple):
    """The way of an edge from source to destination, and the centre of its label.

    Two points beside each other in the drawing's direction are joined by a straight line, others
    by a bend. ``loop`` says that the four points are start, two handles and end of one curve.
    """

    points: tuple[Point, ...]
    label: Point | None
    loop: bool = False


class Layout(NamedTuple):
    """The drawing, from (0, 0) to (width, height).

    ``heads`` are the middles of those heads that edges are led past; others are centred.
    """

    frames: Mapping[str, Frame]
    routes: tuple[Route, ...]
    width: float
    height: float
    heads: Mapping[str, float]


def place(
    boxes: Sequence[Box],
    arrows: Sequence[Arrow],
    roots: Iterable[str],
    direction: Direction,
    *,
    narrow: bool = False,
) -> Layout:
    """Lay out ``boxes`` and ``arrows``; the ways that a reader follows start at ``roots``.

    ``narrow`` gives up height for width: labels beside each other stand at two heights.
    """
    turn = direction == "LR"
    nesting = _Nesting(
        [_marked(box) for box in boxes],
        [_told(arrow, turn=turn) for arrow in arrows],
        [_MARK + root for root in roots],
        turn=turn,
    )
    for name in nesting.outside_in:
        nesting.plan(name)
    for name in reversed(nesting.outside_in):
        nesting.place(name, narrow=narrow)
    layout = nesting.finish()
    return _exchanged(layout) if turn else layout


def _marked(box: Box) -> Box:
    """Return ``box`` under a name that nothing of the layout's own can have, whatever its own."""
    parent = None if box.parent is None else _MARK + box.parent
    return box._replace(name=_MARK + box.name, parent=parent)


def _told(arrow: Arrow, *, turn: bool) -> Arrow:
    source, dest, width, height = arrow
    size = (height, width) if turn else (width, height)
    return Arrow(_MARK + source, _MARK + dest, *size)


def _exchanged(layout: Layout) -> Layout:
    frames = {n: Frame(f.y, f.x, f.height, f.width) for n, f in layout.frames.items()}
    routes = tuple(
        route._replace(
            points=tuple((y, x) for x, y in route.points),
            label=None if route.label is None else (route.label[1], route.label[0]),
        )
        for route in layout.routes
    )
    return Layout(frames, routes, layout.height, layout.width, layout.heads)


class _Leg(NamedTuple):
    """The part of an edge that lies in one region, between two of its nodes or ports."""

    region: str
    key: int
    source: str
    dest: str


class _Nesting:
    """The regions of a drawing while they are laid out."""

    def __init__(
        self, boxes: Sequence[Box], arrows: Sequence[Arrow], roots: Iterable[str], *, turn: bool
    ) -> None:
        self.turn = turn
        self.boxes = {box.name: box for box in boxes}
        self.arrows = arrows
        self.children: dict[str, list[str]] = {}
        for box in boxes:
            self.children.setdefault(box.parent or ROOT, []).append(box.name)
        self.children.setdefault(ROOT, [])
        self.outside_in = [ROOT]
        for name in self.outside_in:
            self.outside_in += [c for c in self.children[name] if c in self.children]
        self.loops = {a.source: key for key, a in enumerate(arrows) if a.source == a.dest}
        self.legs: dict[int, list[_Leg]] = {
            key: self._legs(key, arrow) for key, arrow in enumerate(arrows)
        }
        roots = list(roots)
        self.regions = {
            name: Region(self.children[name], [], [r for r in roots if r in self.children[name]])
            for name in self.outside_in
        }
        for key, legs in self.legs.items():
            main = self._main(legs)
            for leg in legs:
                arrow = arrows[key]
                label = (arrow.width, arrow.height) if leg is main else (0.0, 0.0)
                link = Link(key, leg.source, leg.dest, label)
                self.regions[leg.region].links.append(link)
        self.placed: dict[str, Placed] = {}
        self.insets: dict[str, Point] = {}
        self.sizes: dict[str, tuple[float, float]] = {}

    def _chain(self, name: str) -> list[str]:
        """Return ``name`` and what it is nested in, innermost first, the whole drawing last."""
        chain = [name]
        while chain[-1] != ROOT:
            chain.append(self.boxes[chain[-1]].parent or ROOT)
        return chain

    def _legs(self, key: int, arrow: Arrow) -> list[_Leg]:
        """Cut an edge at the borders that it crosses, in order from source to destination."""
        if arrow.source == arrow.dest:
            return []
        out, into = self._chain(arrow.source), self._chain(arrow.dest)
        shared = next(name for name in out if name in into)
        # An edge between a state and one nested in it lies inside; it ends at the border.
        leaving, entering = out[: out.index(shared)], into[: into.index(shared)]
        legs: list[_Leg] = []
        legs.extend(
            _Leg(outer, key, inner, _port(key, outer)) for inner, outer in pairwise(leaving)
        )
        legs.append(
            _Leg(
                shared,
                key,
                leaving[-1] if leaving else _port(key, shared),
                entering[-1] if entering else _port(key, shared),
            )
        )
        legs.extend(
            _Leg(outer, key, _port(key, outer), inner)
            for inner, outer in reversed(list(pairwise(entering)))
        )
        return legs

    def _main(self, legs: Sequence[_Leg]) -> _Leg | None:
        """Return the leg that carries the label: the one in the outermost region."""
        return min(legs, key=lambda leg: self.outside_in.index(leg.region), default=None)

    def plan(self, name: str) -> None:
        """Plan the rows of a region and tell the regions in it where edges pass their borders."""
        region = self.regions[name]
        for link in region.links:
            # Between a state and one nested in it: at the lower border, away from the head.
            own = _port(link.key, name)
            if own in {link.source, link.dest}:
                region.ports.setdefault(own, "lower")
        region.plan()
        for link in region.links:
            down = region.runs_down(link)
            sides: tuple[tuple[str, Side], ...] = (
                (link.source, "lower" if down else "upper"),
                (link.dest, "upper" if down else "lower"),
            )
            for end, side in sides:
                inner = self.regions.get(end)
                if inner is not None and any(leg.region == end for leg in self.legs[link.key]):
                    inner.ports[_port(link.key, end)] = side

    def place(self, name: str, *, narrow: bool) -> None:
        """Place the inside of a region and find its size."""
        region = self.regions[name]
        extents: dict[str, Extent] = {}
        attached: dict[tuple[int, str], float] = {}
        for child in region.nodes:
            width, height = self._size(child)
            loop = self.loops.get(child)
            reach, least = self.boxes[child].beside
            if loop is not None:
                reach = max(reach, LOOP + LOOP_LABEL + self.arrows[loop].width)
                least = max(least, self.arrows[loop].height)
            extents[child] = Extent(width / 2, width / 2 + reach, height, max(height, least))
            if child in self.placed:
                for port in self.regions[child].ports:
                    if any(leg.region == name for leg in self.legs[_key(port)]):
                        x = self.placed[child].centres[port][0] + self.insets[child][0]
                        attached[_key(port), child] = x - width / 2
        head = self._passed_head(name)
        self.placed[name] = placed = region.place(extents, attached, narrow=narrow, head=head)
        if name == ROOT:
            return
        high, least = self.boxes[name].height, self.boxes[name].width
        before = (high, 0.0) if self.turn else (0.0, high)
        if head is not None:
            # It is a part of the first row then, which starts at the border.
            before = (0.0, -PADDING)
        width = placed.width + 2 * PADDING + before[0]
        height = placed.height + 2 * PADDING + before[1]
        # A head that is wider than what is under it widens the region on both sides.
        spare = max(0.0, least - (height if self.turn else width))
        aside = (0.0, spare / 2) if self.turn else (spare / 2, 0.0)
        self.insets[name] = (PADDING + before[0] + aside[0], PADDING + before[1] + aside[1])
        self.sizes[name] = (width + 2 * aside[0], height + 2 * aside[1])

    def _passed_head(self, name: str) -> tuple[float, float] | None:
        """Return the size of a region's head where edges come in beside it, else None.

        Where the drawing runs across they come in below it.
        """
        if name == ROOT or self.turn or "upper" not in self.regions[name].ports.values():
            return None
        return max(0.0, self.boxes[name].width - 2 * PADDING), self.boxes[name].height

    def _size(self, name: str) -> tuple[float, float]:
        """Return the size of a node or region as the layout sees it."""
        if name in self.sizes:
            return self.sizes[name]
        box = self.boxes[name]
        return (box.height, box.width) if self.turn else (box.width, box.height)

    def finish(self) -> Layout:
        """Put the regions into each other and the legs of each edge together."""
        corners: dict[str, Point] = {ROOT: (0.0, 0.0)}
        frames: dict[str, Frame] = {}
        heads: dict[str, float] = {}
        for name in self.outside_in:
            x, y = corners[name]
            middle = self.placed[name].head
            if middle is not None:
                heads[name.removeprefix(_MARK)] = x + middle
            for child in self.regions[name].nodes:
                width, height = self._size(child)
                cx, cy = self.placed[name].centres[child]
                frames[child] = Frame(x + cx - width / 2, y + cy - height / 2, width, height)
                if child in self.insets:
                    dx, dy = self.insets[child]
                    corners[child] = (frames[child].x + dx, frames[child].y + dy)
        routes = tuple(
            self._loop(arrow, frames[arrow.source])
            if arrow.source == arrow.dest
            else self._route(key, corners, frames)
            for key, arrow in enumerate(self.arrows)
        )
        whole = self.placed[ROOT]
        unmarked = {name.removeprefix(_MARK): frame for name, frame in frames.items()}
        return Layout(unmarked, routes, whole.width, whole.height, heads)

    def _route(self, key: int, corners: Mapping[str, Point], frames: Mapping[str, Frame]) -> Route:
        points: list[Point] = []
        label: Point | None = None
        for leg in self.legs[key]:
            x, y = corners[leg.region]
            placed, region = self.placed[leg.region], self.regions[leg.region]
            way = [(px + x, py + y) for px, py in placed.routes[key]]
            down = region.rows[leg.source] < region.rows[leg.dest]
            points += way if down else way[::-1]
            if key in placed.labels:
                lx, ly = placed.labels[key]
                label = (lx + x, ly + y)
        arrow = self.arrows[key]
        if arrow.source in self._chain(arrow.dest):
            points.insert(0, (points[0][0], _lower_border(frames[arrow.source])))
        elif arrow.dest in self._chain(arrow.source):
            points.append((points[-1][0], _lower_border(frames[arrow.dest])))
        return Route(tuple(points), label)

    def _loop(self, arrow: Arrow, frame: Frame) -> Route:
        right, middle = frame.x + frame.width, frame.y + frame.height / 2
        reach = min(14.0, frame.height / 3)
        return Route(
            (
                (right, middle - reach * 0.7),
                (right + LOOP * 1.25, middle - reach * 1.5),
                (right + LOOP * 1.25, middle + reach * 1.5),
                (right, middle + reach * 0.7),
            ),
            (right + LOOP + LOOP_LABEL / 2 + arrow.width / 2, middle) if arrow.width else None,
            loop=True,
        )


def _lower_border(frame: Frame) -> float:
    return frame.y + frame.height


def _port(key: int, region: str) -> str:
    return f"\1{key} {region}"


def _key(port: str) -> int:
    return int(port[1:].partition(" ")[0])
