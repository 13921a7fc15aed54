"""A drawing as PlantUML, for wikis and tools that draw it.

Names and labels may hold anything: what PlantUML could read as markup is written by its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from goalfsm.diagram.labels import Joint, Nested
from goalfsm.diagram.mermaid import identifiers
from goalfsm.diagram.model import Diagram, Frame, Message, Node, Remark, Sequence, Step
from goalfsm.diagram.style import FAULT, TAKEN

INDENT: Final = "    "
_PLAIN: Final = frozenset(" .,()=?!']@^×;")  # noqa: RUF001  the sign, not the letter
_LATIN: Final = 0x2FF
"""Beyond the Latin blocks no character means anything to PlantUML."""
_HEAD: Final = (
    "hide empty description",
    "skinparam backgroundColor transparent",
    "skinparam shadowing false",
)


def text(value: str) -> str:
    """Return ``value`` so that PlantUML shows exactly that; lines are kept apart."""
    return "\\n".join(_line(line) for line in value.splitlines() or [""])


def _line(line: str) -> str:
    written = []
    for at, char in enumerate(line):
        # One of these between letters is part of a name; two are markup.
        inner = 0 < at < len(line) - 1 and line[at - 1].isalnum() and line[at + 1].isalnum()
        fine = char.isalnum() or char in _PLAIN or ord(char) > _LATIN
        fine = fine or (char in "_/-" and inner) or (char == "[" and line[at + 1 : at + 2] != "[")
        written.append(char if fine else f"<U+{ord(char):04X}>")
    return "".join(written) or " "


def render_plantuml(
    drawing: Diagram | Sequence, *, guards: bool = True, effects: bool = False
) -> str:
    """Return ``drawing`` as PlantUML source: a state diagram or a sequence diagram."""
    if isinstance(drawing, Sequence):
        lines = _sequence(drawing)
    else:
        lines = _States(drawing, _ids, guards=guards, effects=effects).lines()
    title = [f"title {text(' '.join(drawing.title.split()))}"] if drawing.title else []
    return "\n".join(["@startuml", *title, *lines, "@enduml"]) + "\n"


def _ids(names: Iterable[str]) -> dict[str, str]:
    """Return an identifier for every name; none is a word of PlantUML's."""
    return {name: f"s_{found.removeprefix('s_')}" for name, found in identifiers(names).items()}


class _States(Nested):
    """A state diagram on its way to PlantUML."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of the drawing."""
        yield from _HEAD
        if self.diagram.direction == "LR":
            yield "left to right direction"
        yield from self._nested(None, "")
        for joint in self.joints:
            label = "\\n".join(text(line) for line in joint.texts)
            arrow = f"{self.ids[joint.source]} {_arrow(joint)} {self.ids[joint.dest]}"
            yield f"{arrow} : {label}" if label else arrow

    def _nested(self, parent: str | None, indent: str) -> Iterator[str]:
        regions = [node for node in self.children[parent] if node.kind == "region"]
        for node in self.children[parent]:
            if parent is not None and node in regions[1:]:
                yield f"{indent}--"
            yield from self._state(node, indent)
            if node.name in self.entered:
                yield f"{indent}[*] --> {self.ids[node.name]}"
            if node.name in self.diagram.finals:
                yield f"{indent}{self.ids[node.name]} --> [*]"
        if parent is None:
            yield from (f"[*] --> {self.ids[name]}" for name in self.diagram.initial)

    def _state(self, node: Node, indent: str) -> Iterator[str]:
        name = self.ids[node.name]
        look = " #line.dashed" if node.kind in {"any", "region"} else ""
        if node.name in self.diagram.highlight:
            look = f" #line:{TAKEN[1:]};line.bold"
        nested = node.name in self.children
        yield f'{indent}state "{text(node.text)}" as {name}{look}{" {" if nested else ""}'
        if nested:
            yield from self._nested(node.name, indent + INDENT)
            yield f"{indent}}}"
        for line in self.inside[node.name]:
            yield f"{indent}{name} : {text(line.text)}"


def _arrow(joint: Joint) -> str:
    if joint.count:
        return f"-[{TAKEN},bold]->"
    return f"-[{FAULT},dashed]->" if joint.fault else "-->"


def _sequence(sequence: Sequence) -> Iterator[str]:
    ids = _ids(participant.name for participant in sequence.participants)
    for participant in sequence.participants:
        yield f'participant "{text(participant.text)}" as {ids[participant.name]}'

    def block(steps: Iterable[Step], indent: str) -> Iterator[str]:
        for step in steps:
            match step:
                case Message(source=source, dest=dest, text=said, reply=reply):
                    arrow = "-->" if reply else "->"
                    yield f"{indent}{ids[source]} {arrow} {ids[dest]} : {text(said)}"
                case Remark(over=over, text=said):
                    names = [p.name for p in sequence.participants if p.name in over]
                    ends = dict.fromkeys((ids[names[0]], ids[names[-1]]))
                    yield f"{indent}note over {', '.join(ends)} : {text(said)}"
                case Frame(kind=kind, text=said, steps=inner):
                    yield f"{indent}{kind} {text(said)}"
                    yield from block(inner, indent + INDENT)
                    yield f"{indent}end"

    yield from block(sequence.steps, "")
