"""A drawing as DOT, for Graphviz. A sequence becomes a graph with numbered messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from goalfsm.diagram.labels import Joint, Nested
from goalfsm.diagram.model import Diagram, Message, Node, Sequence
from goalfsm.diagram.style import FAINT_STROKE, FAULT, FILL, NOW_FILL, NOW_STROKE, STROKE, TAKEN

INDENT: Final = "    "
# A graph's margin, a transparent page and mid-tone ink do on a white page as on a black one.
_HEAD: Final = (
    "bgcolor=transparent; pad=0.3; nodesep=0.45; ranksep=0.55; compound=true;",
    'fontname="Helvetica,Arial,sans-serif"; fontsize=16; fontcolor="#708090";',
    'node [shape=box, style="rounded,filled", margin="0.2,0.1", fontsize=13];',
    f'node [color="{STROKE}", fillcolor="{FILL}", fontcolor="#708090"];',
    'edge [fontsize=11, arrowsize=0.7, color="#7d8a99", fontcolor="#708090"];',
    'node [fontname="Helvetica,Arial,sans-serif"]; edge [fontname="Helvetica,Arial,sans-serif"];',
)


def quoted(value: str) -> str:
    """Return ``value`` as a DOT string that is shown exactly so; lines are centred."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    # Graphviz reads HTML entities in any string; an ampersand has to be one itself.
    escaped = escaped.replace("&", "&amp;").replace("\0", "\N{REPLACEMENT CHARACTER}")
    return '"' + "\\n".join(escaped.splitlines() or [""]) + '"'


def render_dot(drawing: Diagram | Sequence, *, guards: bool = True, effects: bool = False) -> str:
    """Return ``drawing`` as DOT source."""
    if isinstance(drawing, Sequence):
        lines: Iterable[str] = _sequence(drawing)
    else:
        lines = _Graph(drawing, _ids, guards=guards, effects=effects).lines()
    head = [f"{INDENT}{line}" for line in _HEAD]
    if drawing.title:
        head.append(f"{INDENT}labelloc=t; label={quoted(drawing.title)};")
    return "\n".join(["digraph {", *head, *(INDENT + line for line in lines), "}"]) + "\n"


def _ids(names: Iterable[str]) -> dict[str, str]:
    # Names are only ever quoted, so they stay; the prefix keeps them apart from the markers.
    return {name: quoted(f"state {name}") for name in names}


class _Graph(Nested):
    """A diagram on its way to DOT."""

    def lines(self) -> Iterator[str]:
        """Yield the statements of the graph."""
        yield f"rankdir={self.diagram.direction};"
        yield from self._region(None, "")
        for name in self.diagram.initial:
            yield from self._start(name, "start", "")
        for joint in self.joints:
            yield self._edge(joint)

    def _region(self, parent: str | None, indent: str) -> Iterator[str]:
        for node in self.children[parent]:
            if node.name in self.entered:
                yield from self._start(node.name, "default", indent)
            lines = self.inside[node.name]
            label = quoted("\n".join([node.text, *(line.text for line in lines)]))
            if node.name not in self.children:
                look = _look(self.diagram, node)
                yield f"{indent}{self.ids[node.name]} [label={label}{look}];"
                continue
            colour = NOW_STROKE if node.name in self.diagram.highlight else STROKE
            yield f"{indent}subgraph {_cluster(node.name)} {{"
            style = '"rounded,dashed"' if node.kind == "region" else "rounded"
            yield f'{indent}{INDENT}label={label}; style={style}; margin=14; color="{colour}";'
            # Edges of a cluster end at a point inside it and are clipped at its border.
            yield f"{indent}{INDENT}{self.ids[node.name]} {_POINT};"
            yield from self._region(node.name, indent + INDENT)
            yield f"{indent}}}"

    def _start(self, name: str, kind: str, indent: str) -> Iterator[str]:
        marker = quoted(f"{kind} {name}")
        yield f"{indent}{marker} {_MARKER};"
        yield f"{indent}{marker} -> {self.ids[name]}{_attributes(self._clipped(None, name))};"

    def _edge(self, joint: Joint) -> str:
        look: dict[str, str] = {}
        if joint.lines:
            look["label"] = quoted("\n".join(f" {line} " for line in joint.texts))
        if joint.fault:
            look |= {"color": f'"{FAULT}"', "style": "dashed", "fontcolor": f'"{FAULT}"'}
        if joint.count:
            look |= {"color": f'"{TAKEN}"', "penwidth": "2.2", "fontcolor": f'"{TAKEN}"'}
        look |= self._clipped(joint.source, joint.dest)
        return f"{self.ids[joint.source]} -> {self.ids[joint.dest]}{_attributes(look)};"

    def _clipped(self, source: str | None, dest: str) -> dict[str, str]:
        """Return where an edge ends that belongs to a cluster: at its border."""
        found = {}
        if source is not None and source in self.children:
            found["ltail"] = _cluster(source)
        if dest in self.children:
            found["lhead"] = _cluster(dest)
        return found


def _cluster(name: str) -> str:
    return quoted(f"cluster {name}")


_MARKER: Final = '[shape=circle, style=filled, fillcolor="#7d8a99", label="", width=0.16]'
_POINT: Final = '[shape=point, style=invis, label="", width=0.01, height=0.01]'


def _attributes(values: Mapping[str, str]) -> str:
    return f" [{', '.join(f'{name}={value}' for name, value in values.items())}]" if values else ""


def _look(diagram: Diagram, node: Node) -> str:
    look: dict[str, str] = {}
    if node.kind == "decision":
        look |= {"shape": "hexagon", "style": "filled"}
    if node.kind == "region":
        look["style"] = '"rounded,filled,dashed"'
    if node.kind == "any":
        look |= {"style": '"rounded,dashed"', "color": f'"{FAINT_STROKE}"'}
    if node.name in diagram.finals:
        look["peripheries"] = "2"
    if node.name in diagram.highlight:
        look |= {"color": f'"{NOW_STROKE}"', "fillcolor": f'"{NOW_FILL}"', "penwidth": "2.5"}
    return "".join(f", {name}={value}" for name, value in look.items())


def _sequence(sequence: Sequence) -> Iterator[str]:
    yield "rankdir=LR;"
    for participant in sequence.participants:
        yield f"{quoted(participant.name)} [label={quoted(participant.text)}];"
    sent: dict[tuple[str, str], list[str]] = {}
    messages = [step for step, _ in sequence.walk() if isinstance(step, Message)]
    for number, message in enumerate(messages, start=1):
        line = f" {number}. {message.text} "
        sent.setdefault((message.source, message.dest), []).append(line)
    for (source, dest), lines in sent.items():
        yield f"{quoted(source)} -> {quoted(dest)} [label={quoted(chr(10).join(lines))}];"
