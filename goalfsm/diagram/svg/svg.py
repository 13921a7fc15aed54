"""A diagram as a self-contained SVG: no script, no outside font, light and dark by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from goalfsm.diagram.labels import Joint, Line, entries, inside, joints, simplify
from goalfsm.diagram.model import Diagram, Node
from goalfsm.diagram.style import NAME_SIZE, TEXT_SIZE
from goalfsm.diagram.svg.fan import Fan, leaves_of, rounded, spread
from goalfsm.diagram.svg.layout.measure import LINE, balanced, text_width
from goalfsm.diagram.svg.layout.place import Arrow, Box, Frame, Layout, Route, place
from goalfsm.diagram.svg.svg_page import Page, bent, curve


class Limits(NamedTuple):
    """How wide texts are before they are broken, and whether the layout is to be narrow.

    A label is broken before its guard from the first width on, within words from the second.
    """

    label: tuple[float, float]
    name: float
    inside: float
    narrow: bool = False


# Labels are beside each other where a drawing runs down, so they are kept narrow there.
DOWN: Final = Limits(label=(112.0, 165.0), name=250.0, inside=270.0)
ACROSS: Final = Limits(label=(270.0, 270.0), name=250.0, inside=270.0)
NARROW: Final = Limits(label=(96.0, 118.0), name=158.0, inside=150.0, narrow=True)
COLUMN: Final = 620.0
"""What is wider than this is drawn narrow if it can be: a phone would show it too small to read."""
BEYOND: Final = 4000.0
"""No phone shows what is wider than this: it is not laid out narrow."""
STRIP: Final = 900.0
"""What is longer than this across its direction is drawn with fans, if it can be."""
DOT: Final = 13.0
PAD_X: Final = 16.0
PAD_Y: Final = 10.0
RADIUS: Final = 9.0
LEAST_WIDTH: Final = 76.0
BESIDE: Final = 36.0
"""Between a decision and its outcome, beyond the label between them."""
MARKER: Final = "\0start"
FAN: Final = "\0fan"


def render_svg(diagram: Diagram, *, guards: bool = True, effects: bool = False) -> str:
    """Return ``diagram`` as an SVG document."""
    diagram = simplify(diagram)

    def drawn(limits: Limits, *, fans: bool = False) -> _Picture:
        return _Picture(diagram, limits, guards=guards, effects=effects, fans=fans)

    if diagram.direction == "LR":
        picture = drawn(ACROSS)
        if picture.layout.height > STRIP:
            picture = min(picture, drawn(ACROSS, fans=True), key=lambda one: one.layout.height)
        return picture.draw()
    picture = drawn(DOWN)
    if picture.layout.width > STRIP:
        picture = min(picture, drawn(DOWN, fans=True), key=lambda one: one.layout.width)
    if COLUMN < picture.layout.width < BEYOND:
        narrow = drawn(NARROW, fans=bool(picture.fans))
        picture = min(picture, narrow, key=lambda one: one.layout.width)
    return picture.draw()


class _Shown(msgspec.Struct, frozen=True):
    """A state's texts, broken into lines, and the sizes that they need."""

    node: Node
    name: tuple[str, ...]
    lines: tuple[Line, ...]
    width: float
    head: float
    """The height without the space under the last line."""

    @property
    def name_height(self) -> float:
        return len(self.name) * NAME_SIZE * LINE

    @property
    def height(self) -> float:
        return self.head + PAD_Y


class _Beside(msgspec.Struct, frozen=True):
    """An outcome that stands beside its decision, and the arrow to it."""

    shown: _Shown
    joint: Joint
    gap: float


def _show(node: Node, lines: Iterable[Line], limits: Limits) -> _Shown:
    name = balanced(node.text, NAME_SIZE, limits.name)
    wrapped = _wrapped(lines, (limits.inside, limits.inside))
    width, height = _label_size(wrapped)
    widest = max(text_width(line, NAME_SIZE, bold=True) for line in name)
    sides = 2 * PAD_X if node.kind != "outcome" else 3 * PAD_X
    return _Shown(
        node,
        name,
        wrapped,
        max(LEAST_WIDTH, max(widest, width) + sides),
        len(name) * NAME_SIZE * LINE + PAD_Y + (height + 6 if wrapped else 0),
    )


def _wrapped(lines: Iterable[Line], limits: tuple[float, float]) -> tuple[Line, ...]:
    """Break what is too wide: the guard and the effects go on in lines of their own."""
    found: list[Line] = []
    limit, most = limits
    for line in lines:
        if text_width(line.text, TEXT_SIZE) <= limit:
            found.append(line)
            continue
        rest = Line(fault=line.fault)
        for kind, text in line.parts:
            joined = msgspec.structs.replace(rest, **{kind: text})
            if text_width(joined.text, TEXT_SIZE) <= limit:
                rest = joined
                continue
            if rest.text:
                found.append(rest)
            pieces = [
                Line(fault=line.fault, **{kind: part}) for part in balanced(text, TEXT_SIZE, most)
            ]
            found += pieces[:-1]
            rest = pieces[-1]
        found.append(rest)
    return tuple(found)


def _label_size(lines: Sequence[Line]) -> tuple[float, float]:
    if not lines:
        return 0.0, 0.0
    width = max(text_width(line.text, TEXT_SIZE) for line in lines)
    return width + 8, len(lines) * TEXT_SIZE * LINE + 4


class _Picture:
    """A diagram on its way to a page."""

    def __init__(
        self, diagram: Diagram, limits: Limits, *, guards: bool, effects: bool, fans: bool
    ) -> None:
        self.diagram = diagram
        self.limits = limits
        self.across = diagram.direction == "LR"
        self.parents = {node.name: node.parent for node in diagram.states}
        self.compound = {parent for parent in self.parents.values() if parent is not None}
        self.shown = {
            node.name: _show(node, inside(diagram, node, guards=guards, effects=effects), limits)
            for node in diagram.states
        }
        arrows = joints(diagram, guards=guards, effects=effects)
        self.beside = self._find_beside(arrows)
        put = {beside.joint for beside in self.beside.values()}
        for beside in self.beside.values():
            del self.shown[beside.shown.node.name]
        self.leaves: dict[str, _Shown] = {}
        self.fans = self._find_fans(arrows) if fans else {}
        put |= {branch.joint for fan in self.fans.values() for branch in fan.branches}
        self.arrows = [joint for joint in arrows if joint not in put]
        self.labels = [self._label_of(joint) for joint in self.arrows]
        # The start markers: name, the state that each leads to, what it is nested in.
        self.starts: list[tuple[str, str, str | None]] = [
            (f"{MARKER} {name}", name, None) for name in diagram.initial
        ]
        self.starts += [
            (f"{MARKER} in {name}", name, self.parents[name]) for name in entries(diagram)
        ]
        # The arrows of a fan: between its hub and its box.
        self.stems: list[tuple[str, bool]] = []
        for hub, fan in self.fans.items():
            self.stems += [(hub, False)] * fan.leads_to + [(hub, True)] * fan.leads_back
        self.layout = self._layout()

    def _find_beside(self, arrows: Sequence[Joint]) -> dict[str, _Beside]:
        """Return, by decision, the outcome that only it leads to; the first where there are two."""
        if not self.diagram.flow:
            return {}
        kinds = {node.name: node.kind for node in self.diagram.states}
        ends = [joint.dest for joint in arrows]
        leading = {joint.source for joint in arrows}
        chosen: dict[str, Joint] = {}
        for joint in arrows:
            alone = ends.count(joint.dest) == 1 and joint.dest not in leading
            decided = kinds[joint.source] == "decision" and kinds[joint.dest] == "outcome"
            if alone and decided:
                chosen.setdefault(joint.source, joint)
        if not chosen:
            return {}
        # Decisions are as wide as each other, so that the outcomes stand in one column.
        for names in (set(chosen), {joint.dest for joint in chosen.values()}):
            width = max(self.shown[name].width for name in names)
            for name in names:
                self.shown[name] = msgspec.structs.replace(self.shown[name], width=width)
        gap = max(_label_size(joint.lines)[self.across] for joint in chosen.values()) + BESIDE
        return {
            source: _Beside(self.shown[joint.dest], joint, gap) for source, joint in chosen.items()
        }

    def _find_fans(self, arrows: Sequence[Joint]) -> dict[str, Fan]:
        """Return the fans by their hubs; what is in them is not laid out."""
        fans: dict[str, Fan] = {}
        for hub, leaves in leaves_of(self.diagram, arrows).items():
            found = [self.shown[leaf.name] for leaf in leaves]
            joints_of = [joint for leaf in leaves for joint in (leaf.to, leaf.back) if joint]
            labels = {joint: _label_size(self._label_of(joint)) for joint in joints_of}
            sizes = [(shown.width, shown.height) for shown in found]
            fans[hub] = spread(hub, leaves, sizes, labels, across=self.across)
            for leaf, shown in zip(leaves, found, strict=True):
                self.leaves[leaf.name] = shown
                del self.shown[leaf.name]
        return fans

    def _label_of(self, joint: Joint) -> tuple[Line, ...]:
        return _wrapped(joint.lines, self.limits.label)

    def draw(self) -> str:
        """Return the document."""
        layout = self.layout
        page = Page(self.diagram.title, layout.width, layout.height, _description(self.diagram))
        routes = list(layout.routes)
        first = len(self.starts) + len(self.stems)
        drawn = list(zip(self.arrows, self.labels, routes[first:], strict=True))
        self._groups(page, layout)
        for (hub, back), route in zip(self.stems, routes[len(self.starts) : first], strict=True):
            self._stem(page, layout, hub, route, back=back)
        for route in routes[: len(self.starts)]:
            page.edge(self._path(route), "edge")
        for joint, _, route in sorted(drawn, key=lambda one: one[0].count):
            page.edge(self._path(route), _edge_class(joint))
        self._states(page, layout)
        for fan in self.fans.values():
            self._fan(page, layout.frames[f"{FAN} {fan.hub}"], fan)
        for joint, lines, route in drawn:
            if route.label is not None and lines:
                inner = self._is_grouped(layout, route.label)
                _label(page, route.label, lines, f"{_edge_class(joint)} {inner}")
        return page.finish()

    def _groups(self, page: Page, layout: Layout) -> None:
        for name, shown in self.shown.items():
            if name in self.compound:
                frame = layout.frames[name]
                middle = layout.heads.get(name, frame.x + frame.width / 2)
                self._group(page, frame, shown, middle)

    def _states(self, page: Page, layout: Layout) -> None:
        for name, _, _ in self.starts:
            frame = layout.frames[name]
            page.dot(frame.x + frame.width / 2, frame.y + frame.height / 2, DOT / 2)
        for name, shown in self.shown.items():
            if name not in self.compound:
                self._state(page, layout.frames[name], shown)
            if name in self.beside:
                self._outcome(page, layout.frames[name], self.beside[name])

    def _stem(self, page: Page, layout: Layout, hub: str, route: Route, *, back: bool) -> None:
        """Draw what a fan's branches share: from its hub to its trunks, or back from them."""
        fan, box = self.fans[hub], layout.frames[f"{FAN} {hub}"]
        x, y = route.points[0 if back else -1]
        self._branch(page, self._path(route), headed=back)
        for way in fan.trunks(back=back, entry=(x - box.x, y - box.y)):
            page.stem(bent(rounded([(box.x + px, box.y + py) for px, py in way])))

    def _fan(self, page: Page, box: Frame, fan: Fan) -> None:
        """Draw the leaves of a fan with their branches."""
        for branch in fan.branches:
            points = [(box.x + x, box.y + y) for x, y in branch.points]
            headed = branch.joint is branch.leaf.to
            self._branch(page, curve(points, across=True), headed=headed)
        for leaf, frame in fan.leaves:
            moved = frame._replace(x=box.x + frame.x, y=box.y + frame.y)
            self._state(page, moved, self.leaves[leaf.name])
        inner = "grouped" if self.parents[fan.hub] else ""
        for branch in fan.branches:
            if lines := self._label_of(branch.joint):
                x, y = branch.label
                _label(page, (box.x + x, box.y + y), lines, f"edge {inner}")

    @staticmethod
    def _branch(page: Page, path: str, *, headed: bool) -> None:
        if headed:
            page.edge(path, "edge")
        else:
            page.stem(path)

    def _layout(self) -> Layout:
        boxes = [Box(name, DOT, DOT, parent) for name, _, parent in self.starts]
        boxes += [
            Box(f"{FAN} {hub}", fan.width, fan.height, self.parents[hub])
            for hub, fan in self.fans.items()
        ]
        for name, shown in self.shown.items():
            height = shown.head if name in self.compound else shown.height
            room = (0.0, 0.0)
            if name in self.beside:
                beside = self.beside[name]
                wide, tall = beside.shown.width, beside.shown.height
                reach, across = (tall, wide) if self.across else (wide, tall)
                room = (beside.gap + reach, across)
            boxes.append(Box(name, shown.width, height, self.parents[name], room))
        arrows = [Arrow(name, dest) for name, dest, _ in self.starts]
        arrows += [
            Arrow(f"{FAN} {hub}", hub) if back else Arrow(hub, f"{FAN} {hub}")
            for hub, back in self.stems
        ]
        arrows += [
            Arrow(joint.source, joint.dest, *_label_size(lines))
            for joint, lines in zip(self.arrows, self.labels, strict=True)
        ]
        roots = [name for name, _, _ in self.starts]
        narrow = self.limits.narrow
        return place(boxes, arrows, roots, self.diagram.direction, narrow=narrow)

    def _path(self, route: Route) -> str:
        return curve(route.points, across=self.across, loop=route.loop)

    def _classes(self, node: Node) -> str:
        final = "final" if node.name in self.diagram.finals else ""
        now = "now" if node.name in self.diagram.highlight else ""
        return " ".join(filter(None, ("node", node.kind, final, now)))

    def _group(self, page: Page, frame: Frame, shown: _Shown, middle: float) -> None:
        page.box(frame, f"{self._classes(shown.node)} group", RADIUS + 3)
        top = frame.y + PAD_Y
        page.lines(middle, top, shown.name, "name")
        page.parts(middle, top + shown.name_height + 4, shown.lines)

    def _state(self, page: Page, frame: Frame, shown: _Shown) -> None:
        classes = self._classes(shown.node)
        x, y, width, height = frame
        if shown.node.kind == "decision":
            page.hexagon(frame, classes)
        else:
            round_ends = shown.node.kind == "outcome"
            page.box(frame, classes, min(height / 2, 22.0) if round_ends else RADIUS)
        if shown.node.name in self.diagram.finals:
            inner = Frame(x + 4, y + 4, width - 8, height - 8)
            page.box(inner, f"{classes} inner", RADIUS - 3)
        middle = x + width / 2
        y += (height - shown.height) / 2
        page.lines(middle, y + PAD_Y, shown.name, "name")
        if shown.lines:
            rule = y + PAD_Y + shown.name_height + 2
            page.rule((x + 12, rule), (x + width - 12, rule))
            page.parts(middle, rule + 5, shown.lines)

    def _outcome(self, page: Page, frame: Frame, beside: _Beside) -> None:
        """Draw an outcome beside its decision, or below it where the drawing runs across."""
        shown = beside.shown
        x, y, width, height = frame
        centre = (x + width / 2, y + height / 2)
        if self.across:
            end = y + height + beside.gap
            to = Frame(centre[0] - shown.width / 2, end, shown.width, shown.height)
            points = ((centre[0], y + height), (centre[0], end))
        else:
            end = x + width + beside.gap
            to = Frame(end, centre[1] - shown.height / 2, shown.width, shown.height)
            points = ((x + width, centre[1]), (end, centre[1]))
        page.edge(curve(points, across=not self.across), _edge_class(beside.joint))
        self._state(page, to, shown)
        middle = tuple(sum(axis) / 2 for axis in zip(*points, strict=True))
        _label(page, (middle[0], middle[1]), beside.joint.lines, _edge_class(beside.joint))

    def _is_grouped(self, layout: Layout, point: tuple[float, float]) -> str:
        """Return the class of a label that lies on a group instead of on the page."""
        for name in self.compound:
            x, y, width, height = layout.frames[name]
            if x < point[0] < x + width and y < point[1] < y + height:
                return "grouped"
        return ""


def _edge_class(joint: Joint) -> str:
    return "edge taken" if joint.count else "edge fault" if joint.fault else "edge"


def _description(diagram: Diagram) -> str:
    texts = {node.name: node.text for node in diagram.states}
    ways = ((texts[edge.source], texts[edge.dest], edge.trigger) for edge in diagram.edges)
    return "; ".join(f"{source} to {dest}: {why or 'always'}" for source, dest, why in ways)


def _label(page: Page, centre: tuple[float, float], lines: Sequence[Line], classes: str) -> None:
    width, height = _label_size(lines)
    x, y = centre
    kind = classes.replace("edge", "label", 1).strip()
    page.box(Frame(x - width / 2, y - height / 2, width, height), kind, 4)
    page.parts(x, y - height / 2 + 2, lines, classes.replace("edge", "", 1).strip())
