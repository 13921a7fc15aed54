"""What is written on a drawing: one label an edge, and fewer edges where many say the same.

``simplify()`` is what the pictures draw. Tables and JSON show every row as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from goalfsm.diagram.model import Diagram, Edge, Node

MANY: Final = 4
"""From how many sources one and the same edge is drawn once, from a node that stands for them."""
EXCEPTIONS: Final = 2
"""How many states that node may except, the destination aside."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """The label of one transition, in the parts that a renderer may set apart."""

    order: str = ""
    trigger: str = ""
    guard: str = ""
    effect: str = ""
    count: str = ""
    fault: bool = False

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """Return the parts that are there, each with its kind, in the order of reading."""
        found = (
            ("order", self.order),
            ("trigger", self.trigger),
            ("guard", self.guard),
            ("effect", self.effect),
            ("count", self.count),
        )
        return tuple((kind, text) for kind, text in found if text)

    @property
    def text(self) -> str:
        """Return ``1. trigger [guard, not guard] / effect, effect`` and the count."""
        return " ".join(text for _, text in self.parts)


def line_of(edge: Edge, *, guards: bool = True, effects: bool = False) -> Line:
    """Return the label of ``edge``; a number before it is its place among rows tried in order."""
    return Line(
        order=f"{edge.order}." if edge.order and edge.trigger else "",
        trigger=edge.trigger,
        guard=f"[{', '.join(edge.guards)}]" if guards and edge.guards else "",
        effect=effect_of(edge) if effects else "",
        count=f"×{edge.count}" if edge.count else "",  # noqa: RUF001  the sign, not the letter
        fault=edge.fault,
    )


def effect_of(edge: Edge) -> str:
    """Return what is called with ``edge``, in its order: ``/ tell``, ``/ before ring; after log``.

    What is called afterwards needs no word where nothing else is called.
    """
    called = [
        f"{moment} {', '.join(names)}".lstrip()
        for moment, names in (
            ("prepare", edge.prepare),
            ("before", edge.before),
            ("", edge.effects),
            ("after", edge.after),
        )
        if names
    ]
    if len(called) == 1 and edge.after:
        called = [", ".join(edge.after)]
    return f"/ {'; '.join(called)}" if called else ""


class Joint(msgspec.Struct, frozen=True, kw_only=True):
    """All transitions between two states, drawn as one arrow with a line each."""

    source: str
    dest: str
    lines: tuple[Line, ...]
    count: int = 0
    fault: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the lines as plain text."""
        return tuple(line.text for line in self.lines)


def joints(diagram: Diagram, *, guards: bool, effects: bool) -> tuple[Joint, ...]:
    """Return the arrows to draw: transitions between the same two states share one.

    What a path took is an arrow of its own, so that it can be told from what it did not take; so
    is a fault.
    """
    found: dict[tuple[str, str, bool, bool], tuple[list[Line], int]] = {}
    for edge in diagram.edges:
        if edge.internal:
            continue
        key = (edge.source, edge.dest, edge.count > 0, edge.fault)
        lines, count = found.get(key, ([], 0))
        line = line_of(edge, guards=guards, effects=effects)
        if line.text and line not in lines:
            lines.append(line)
        found[key] = (lines, count + edge.count)
    return tuple(
        Joint(source=source, dest=dest, lines=tuple(lines), count=count, fault=fault)
        for (source, dest, _, fault), (lines, count) in found.items()
    )


def entries(diagram: Diagram) -> tuple[str, ...]:
    """Return the nested states that a marker leads to: regions need none, all are entered."""
    regions = {node.name for node in diagram.states if node.kind == "region"}
    return tuple(name for name in diagram.defaults if name not in regions)


def inside(diagram: Diagram, node: Node, *, guards: bool, effects: bool) -> tuple[Line, ...]:
    """Return the lines under a state's name: what is said of it, what it does, what stays in it."""
    lines = [Line(effect=node.note)] if node.note else []
    if node.tags:
        lines.append(Line(effect=" ".join(f"#{tag}" for tag in node.tags)))
    if node.timeout:
        called = f"/ {', '.join(node.on_timeout)}" if effects and node.on_timeout else ""
        lines.append(Line(trigger=f"after {node.timeout:g} s", effect=called))
    if effects:
        for moment, names in (("entry", node.entry), ("exit", node.exit)):
            if names:
                lines.append(Line(trigger=moment, effect=f"/ {', '.join(names)}"))
    internal = (e for e in diagram.edges if e.internal and e.source == node.name)
    lines += [line_of(edge, guards=guards, effects=effects) for edge in internal]
    return tuple(dict.fromkeys(line for line in lines if line.text))


def simplify(diagram: Diagram) -> Diagram:
    """Return a diagram in which an edge that nearly every state has is drawn once.

    It then starts at a node that says which states it stands for; where each state's leads back
    to itself, or is internal, that node's does. Nested machines, flows and
    edges that a path took stay as they are.
    """
    if diagram.flow or any(node.parent for node in diagram.states):
        return diagram
    names = [node.name for node in diagram.states]
    leading = _alike([e for e in diagram.edges if not e.internal], names, loops=False)
    grouped = {edge for edges in leading for edge in edges}
    staying = [e for e in diagram.edges if e.source == e.dest and e not in grouped]
    alike = [*leading, *_alike(staying, names, loops=True)]
    if not alike:
        return diagram
    chosen = _choose([_exceptions(edges, names) for edges in alike])
    nodes: dict[tuple[str, ...], str] = {}
    drawn: dict[Edge, Edge | None] = {}
    for edges, excepted in zip(alike, chosen, strict=True):
        name = nodes.setdefault(excepted, _unused(f"any {len(nodes) + 1}", names))
        drawn |= dict.fromkeys(edges)
        first = edges[0]
        dest = first.dest if first in grouped else name
        drawn[first] = msgspec.structs.replace(first, source=name, dest=dest)
    texts = {node.name: node.text for node in diagram.states}
    stand_ins = (
        Node(name=name, label=_any_label([texts[e] for e in excepted]), kind="any")
        for excepted, name in nodes.items()
    )
    kept = (drawn.get(edge, edge) for edge in diagram.edges)
    return msgspec.structs.replace(
        diagram,
        states=(*diagram.states, *stand_ins),
        edges=tuple(edge for edge in kept if edge is not None),
    )


def with_stand_ins(diagram: Diagram) -> Diagram:
    """Return ``diagram`` with no edge between a composite and itself or a state nested in it.

    A node inside the composite stands for it there: a program that draws a composite as a frame
    has no place inside the frame where such an edge could end. Internal edges stay.
    """
    parents = {node.name: node.parent for node in diagram.states}
    composite = set(parents.values())
    names = list(parents)
    stand_ins: dict[str, Node] = {}

    def stand_in(name: str) -> str:
        if name not in stand_ins:
            unused = _unused(f"{name} itself", names)
            names.append(unused)
            label = f"{texts[name]} itself"
            stand_ins[name] = Node(name=unused, label=label, kind="any", parent=name)
        return stand_ins[name].name

    def inside_of(outer: str, inner: str) -> bool:
        return outer in composite and (outer == inner or outer in diagram.ancestors(inner))

    texts = {node.name: node.text for node in diagram.states}
    edges = []
    for edge in diagram.edges:
        source, dest = edge.source, edge.dest
        if not edge.internal and inside_of(edge.source, edge.dest):
            source = stand_in(edge.source)
            dest = source if edge.source == edge.dest else dest
        elif not edge.internal and inside_of(edge.dest, edge.source):
            dest = stand_in(edge.dest)
        edges.append(msgspec.structs.replace(edge, source=source, dest=dest))
    return msgspec.structs.replace(
        diagram, states=(*diagram.states, *stand_ins.values()), edges=tuple(edges)
    )


class Nested:
    """A diagram on its way to a text: its states by what they are nested in, its names there."""

    def __init__(
        self,
        diagram: Diagram,
        ids: Callable[[Iterable[str]], dict[str, str]],
        **shown: bool,
    ) -> None:
        """Write ``diagram`` under the identifiers that ``ids`` gives to its states' names.

        ``shown`` are ``guards`` and ``effects``.
        """
        self.diagram = with_stand_ins(simplify(diagram))
        self.ids = ids(node.name for node in self.diagram.states)
        self.entered = entries(self.diagram)
        self.joints = joints(self.diagram, **shown)
        self.children: dict[str | None, list[Node]] = {None: []}
        self.inside: dict[str, tuple[Line, ...]] = {}
        for node in self.diagram.states:
            self.children.setdefault(node.parent, []).append(node)
            self.inside[node.name] = inside(self.diagram, node, **shown)


def _alike(edges: Iterable[Edge], names: Sequence[str], *, loops: bool) -> list[list[Edge]]:
    """Return the edges that nearly every state has: to one state, or each (``loops``) to itself."""
    groups: dict[tuple[object, ...], list[Edge]] = {}
    for edge in edges:
        dest = None if loops else edge.dest
        said = msgspec.structs.replace(line_of(edge, effects=True), count="")
        key = (said, dest, edge.internal)
        groups.setdefault(key, []).append(edge)
    return [found for found in groups.values() if _is_many(found, names)]


def _is_many(edges: Sequence[Edge], names: Sequence[str]) -> bool:
    sources = {edge.source for edge in edges}
    excepted = set(names) - sources - {edges[0].dest}
    return (
        len(sources) >= MANY
        and len(sources) == len(edges)
        and len(excepted) <= min(EXCEPTIONS, len(sources) // 2)
        and not any(edge.count for edge in edges)
    )


def _exceptions(edges: Sequence[Edge], names: Iterable[str]) -> list[tuple[str, ...]]:
    """Return which states may be named as excepted: whether the destination is makes no odds."""
    sources = {edge.source for edge in edges}
    dest = edges[0].dest
    strict = tuple(name for name in names if name not in sources)
    loose = tuple(name for name in strict if name != dest)
    return [loose] if dest in sources else [loose, strict]


def _choose(candidates: Sequence[Sequence[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Return one candidate each, such that as few different ones as possible are used."""
    usable = [option for options in candidates for option in options]
    return [
        max(options, key=lambda option: (usable.count(option), -len(option)))
        for options in candidates
    ]


def _any_label(excepted: Sequence[str]) -> str:
    return f"any but {', '.join(excepted)}" if excepted else "any state"


def _unused(name: str, names: Iterable[str]) -> str:
    while name in names:
        name += "'"
    return name
