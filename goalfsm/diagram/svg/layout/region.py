"""The layout of one region: the nodes that share a parent, the edges between them.

A region is laid out in two steps, because what is nested in it sits between them: ``plan()``
finds the rows and needs no sizes, ``place()`` finds the places and needs the sizes of the nested
regions. Rows run downwards; a caller who draws from left to right exchanges x and y.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

from goalfsm.diagram.svg.layout.columns import columns
from goalfsm.diagram.svg.layout.order import order
from goalfsm.diagram.svg.layout.ranks import Span, backward, rank

Point: TypeAlias = tuple[float, float]
Side: TypeAlias = Literal["upper", "lower"]


class Spacing(NamedTuple):
    """The space between two nodes of a row, and between a bend or label and what is beside it."""

    nodes: float
    bends: float


ROOMY: Final = Spacing(34.0, 16.0)
NARROW: Final = Spacing(22.0, 10.0)
BETWEEN: Final = 22.0
"""Between two rows, at least."""
BETWEEN_MOST: Final = 54.0
SLOPE: Final = 0.22
"""Rows move apart by this share of the longest way sideways between them."""
ATTACH: Final = 14.0
"""Between two edges that end at the same side of a node, where there is room."""
CORNER: Final = 12.0
IN_A_ROW: Final = 4
"""How many nodes without any edge stand beside each other."""


class Extent(NamedTuple):
    """How far a node reaches from its centre, and how high it is itself.

    ``right`` and ``room`` (the height that its row needs) include what stands beside it.
    """

    left: float
    right: float
    height: float
    room: float


_HEAD: Final = "\2head"
"""The name of the head among the nodes of its row; no node has such a name."""
_NOTHING: Final = Extent(0.0, 0.0, 0.0, 0.0)


class Link(NamedTuple):
    """One edge of the region; ``label`` is the size of its text, (0, 0) for none."""

    key: int
    source: str
    dest: str
    label: tuple[float, float]


class Placed(NamedTuple):
    """A region with everything in its place, the upper left corner at (0, 0).

    ``routes`` run from the upper to the lower end of a link, ``labels`` are centres. ``head`` is
    the middle of the head where edges had to be led past it, and is None elsewhere.
    """

    centres: Mapping[str, Point]
    routes: Mapping[int, tuple[Point, ...]]
    labels: Mapping[int, Point]
    width: float
    height: float
    head: float | None = None


class Region:
    """One region while it is laid out. ``ports`` are places on its border where edges pass."""

    def __init__(self, nodes: Iterable[str], links: Iterable[Link], roots: Iterable[str]) -> None:
        self.nodes = list(nodes)
        self.links = list(links)
        self.roots = list(roots)
        self.ports: dict[str, Side] = {}
        self.rows: dict[str, int] = {}

    def plan(self) -> None:
        """Find the row of every node and port."""
        inner = [link for link in self.links if not {link.source, link.dest} & set(self.ports)]
        turned = backward(self.nodes, [(li.source, li.dest) for li in inner], self.roots)
        spans: dict[tuple[str, str], int] = {}
        for link in inner:
            arrow = (link.source, link.dest)
            upper, lower = arrow[::-1] if arrow in turned else arrow
            spans[upper, lower] = spans.get((upper, lower), 0) + 1
        found = [Span(upper, lower, 2, weight) for (upper, lower), weight in spans.items()]
        self.rows = rank(self.nodes, found)
        linked = {end for link in self.links for end in (link.source, link.dest)}
        loose = [node for node in self.nodes if node not in linked]
        # What nothing leads to or from may stand anywhere: a block of it is narrower than a row.
        self.rows |= {node: 2 * (at // IN_A_ROW) for at, node in enumerate(loose)}
        last = max(self.rows.values(), default=0)
        # Labels stand on odd rows: a link that has one leaves a row for it before the border.
        labelled = any(
            any(link.label) for link in self.links if {link.source, link.dest} & set(self.ports)
        )
        away = 2 if labelled else 1
        for port, side in self.ports.items():
            self.rows[port] = -away if side == "upper" else last + away

    def runs_down(self, link: Link) -> bool:
        """Tell whether the source of ``link`` is above its destination."""
        return self.rows[link.source] < self.rows[link.dest]

    def place(
        self,
        extents: Mapping[str, Extent],
        attached: Mapping[tuple[int, str], float],
        *,
        narrow: bool = False,
        head: tuple[float, float] | None = None,
    ) -> Placed:
        """Find the place of every node and edge.

        ``attached`` says where, from the centre of a node, a link has to end; without it the link
        ends where its way is shortest. ``narrow`` puts the labels of a row at two heights, and
        everything nearer to each other. ``head`` is the size of a text that stands in the row of
        the upper ports, so that no edge that passes there runs through it.
        """
        graph = _Graph(self, extents, NARROW if narrow else ROOMY)
        rows = order(graph.rows, graph.above, graph.below, graph.shifts(attached))
        if narrow:
            rows = graph.stepped(rows)
        xs, rows = graph.columns(rows) if head is None else graph.around(rows, head)
        left = min((xs[node] - graph.extents[node].left for node in xs), default=0.0)
        xs = {node: x - left for node, x in xs.items()}
        tops, bottoms = _levels(rows, graph, xs)
        ends = _ends(self, graph, xs, attached)
        index = {node: at for at, row in enumerate(rows) for node in row}
        middles = {node: (tops[at] + bottoms[at]) / 2 for node, at in index.items()}
        routes: dict[int, tuple[Point, ...]] = {}
        for key, (upper, *bends, lower) in graph.chains.items():
            route = [
                (ends[key, upper], middles[upper] + graph.extents[upper].height / 2),
                (ends[key, upper], bottoms[index[upper]]),
            ]
            for bend in bends:
                route += [(xs[bend], tops[index[bend]]), (xs[bend], bottoms[index[bend]])]
            route += [
                (ends[key, lower], tops[index[lower]]),
                (ends[key, lower], middles[lower] - graph.extents[lower].height / 2),
            ]
            routes[key] = tuple(route)
        return Placed(
            centres={node: (xs[node], middles[node]) for node in (*self.nodes, *self.ports)},
            routes=routes,
            labels={key: (xs[bend], middles[bend]) for bend, key in graph.labelled.items()},
            width=max((xs[node] + graph.extents[node].right for node in xs), default=0.0),
            height=bottoms[-1] if bottoms else 0.0,
            head=xs.get(_HEAD),
        )


class _Graph:
    """The region with its long edges cut into pieces of one row each."""

    def __init__(self, region: Region, extents: Mapping[str, Extent], spacing: Spacing) -> None:
        self.spacing = spacing
        self.extents = {node: extents[node] for node in region.nodes}
        self.extents |= dict.fromkeys(region.ports, _NOTHING)
        self.bends: set[str] = set()
        self.labelled: dict[str, int] = {}
        self.chains: dict[int, list[str]] = {}
        levels = dict(region.rows)
        for link in region.links:
            ends = (link.source, link.dest)
            upper, lower = ends if region.runs_down(link) else ends[::-1]
            chain = [upper]
            first, last = levels[upper] + 1, levels[lower]
            # Nodes stand on even rows, so that a label on an odd one pushes no node aside.
            label_at = min(
                (row for row in range(first, last) if row % 2),
                key=lambda row: (abs(2 * row - first - last + 1), row),
                default=None,
            )
            for row in range(first, last):
                bend = f"\0{link.key} {row}"
                levels[bend] = row
                self.bends.add(bend)
                self.extents[bend] = _NOTHING
                if row == label_at and any(link.label):
                    width, height = link.label
                    self.extents[bend] = Extent(width / 2, width / 2, height, height)
                    self.labelled[bend] = link.key
                chain.append(bend)
            chain.append(lower)
            self.chains[link.key] = chain
        self.above: dict[str, list[str]] = {node: [] for node in levels}
        self.below: dict[str, list[str]] = {node: [] for node in levels}
        for chain in self.chains.values():
            for upper, lower in pairwise(chain):
                self.below[upper].append(lower)
                self.above[lower].append(upper)
        self.rows = self._rows(levels)

    def _rows(self, levels: Mapping[str, int]) -> list[list[str]]:
        """Return the nodes by row, in the order in which a walk from the top meets them."""
        rows: dict[int, list[str]] = {level: [] for level in sorted(set(levels.values()))}
        seen: set[str] = set()
        for start in sorted(levels, key=levels.__getitem__):
            stack = [start]
            while stack:
                node = stack.pop()
                if node not in seen:
                    seen.add(node)
                    rows[levels[node]].append(node)
                    stack.extend(reversed(self.below[node]))
        return list(rows.values())

    def columns(self, rows: list[list[str]]) -> tuple[dict[str, float], list[list[str]]]:
        """Return the x of every node's centre, and ``rows``."""
        thin = frozenset(self.bends)
        return columns(rows, self.above, self.below, thin=thin, gap=self.gap), rows

    def around(
        self, rows: list[list[str]], head: tuple[float, float]
    ) -> tuple[dict[str, float], list[list[str]]]:
        """Return the columns with a head among the ports of the first row, and the rows with it.

        It stands where the drawing is the narrowest, and the ways of its ports the straightest.
        """
        width, height = head
        self.extents[_HEAD] = Extent(width / 2, width / 2, height, height)
        self.above[_HEAD] = self.below[_HEAD] = []
        first, *rest = rows

        def cost(found: tuple[dict[str, float], list[list[str]]]) -> tuple[float, float]:
            xs = found[0]
            right = max(x + self.extents[node].right for node, x in xs.items())
            left = min(x - self.extents[node].left for node, x in xs.items())
            bent = sum(abs(xs[port] - xs[end]) for port in first for end in self.below[port])
            return round(right - left, 3), round(bent, 3)

        found = (
            self.columns([[*first[:at], _HEAD, *first[at:]], *rest]) for at in range(len(first) + 1)
        )
        return min(found, key=cost)

    def stepped(self, rows: list[list[str]]) -> list[list[str]]:
        """Return ``rows`` with every row of labels as two: each second label stands in the lower.

        An edge passes beside its neighbours' labels then, where their labels would push it away.
        """
        found: list[list[str]] = []
        twins: dict[str, str] = {}
        for row in rows:
            found.append(row)
            labels = [node for node in row if node in self.labelled]
            if len(labels) > 1:
                # Labels stand on odd rows, and these hold nothing but bends.
                lower = [self._cut(node) for node in row]
                twins |= dict(zip(row, lower, strict=True))
                found.append(lower)
                for node in labels[1::2]:
                    self.labelled[twins[node]] = self.labelled.pop(node)
                    self.extents[twins[node]], self.extents[node] = self.extents[node], _NOTHING
        self.chains = {
            key: [part for node in chain for part in (node, twins.get(node)) if part is not None]
            for key, chain in self.chains.items()
        }
        return found

    def _cut(self, bend: str) -> str:
        """Cut a bend in two and return the lower one."""
        lower = f"{bend} lower"
        self.bends.add(lower)
        self.extents[lower] = _NOTHING
        self.below[lower], self.below[bend] = self.below[bend], [lower]
        self.above[lower] = [bend]
        for end in self.below[lower]:
            self.above[end] = [lower if other == bend else other for other in self.above[end]]
        return lower

    def shifts(self, attached: Mapping[tuple[int, str], float]) -> dict[tuple[str, str], float]:
        """Return where along a node a link ends, from -0.5 to 0.5, by node and neighbour."""
        found: dict[tuple[str, str], float] = {}
        for (key, node), x in attached.items():
            chain = self.chains[key]
            neighbour = chain[1] if chain[0] == node else chain[-2]
            found[node, neighbour] = max(-0.5, min(0.5, x / (2 * self.extents[node].left)))
        return found

    def gap(self, left: str, right: str) -> float:
        """Return the least distance between the centres of two neighbours."""
        bend = left in self.bends or right in self.bends
        space = self.spacing.bends if bend else self.spacing.nodes
        return self.extents[left].right + space + self.extents[right].left


def _levels(
    rows: list[list[str]], graph: _Graph, xs: Mapping[str, float]
) -> tuple[list[float], list[float]]:
    """Return the upper and lower edge of every row."""
    tops: list[float] = []
    bottoms: list[float] = []
    y = 0.0
    for row in rows:
        tops.append(y)
        y += max((graph.extents[node].room for node in row), default=0.0)
        bottoms.append(y)
        sideways = max(
            (abs(xs[node] - xs[end]) for node in row for end in graph.below[node]), default=0.0
        )
        y += min(max(BETWEEN, sideways * SLOPE), BETWEEN_MOST)
    return tops, bottoms


def _ends(
    region: Region,
    graph: _Graph,
    xs: Mapping[str, float],
    attached: Mapping[tuple[int, str], float],
) -> dict[tuple[int, str], float]:
    """Return the x at which each link ends at each of its two nodes."""
    sides: dict[tuple[str, Side], list[tuple[float, int]]] = {}
    for key, chain in graph.chains.items():
        sides.setdefault((chain[0], "lower"), []).append((xs[chain[1]], key))
        sides.setdefault((chain[-1], "upper"), []).append((xs[chain[-2]], key))
    ends = {
        (key, node): xs[node] + x for (key, node), x in attached.items() if node in region.nodes
    }
    for (node, _), links in sides.items():
        if node in region.ports:
            ends |= {(key, node): xs[node] for _, key in links}
            continue
        free = sorted((x, key) for x, key in links if (key, node) not in attached)
        if free:
            half = graph.extents[node].left
            margin = min(CORNER, half / 2)
            low, high = xs[node] - half + margin, xs[node] + half - margin
            spread = _spread([x for x, _ in free], low, high)
            ends |= {(key, node): x for (_, key), x in zip(free, spread, strict=True)}
    return ends


def _spread(wanted: list[float], low: float, high: float) -> list[float]:
    """Return places within ``low`` and ``high``, near the wanted ones and not on one spot."""
    apart = min(ATTACH, (high - low) / len(wanted))
    places = [min(max(x, low), high) for x in wanted]
    for at in range(1, len(places)):
        places[at] = max(places[at], places[at - 1] + apart)
    over = places[-1] - high
    if over > 0:
        places[-1] = high
        for at in range(len(places) - 2, -1, -1):
            places[at] = min(places[at], places[at + 1] - apart)
    return places
