"""A drawing as Mermaid: what forges and documentation sites show without any plugin.

Names and labels may hold anything. Identifiers are made safe, and every character that Mermaid,
Markdown or HTML would read as something else is written as a numeric entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from goalfsm.diagram.labels import Nested, inside, joints
from goalfsm.diagram.model import Diagram, Frame, Message, Node, Remark, Sequence, Step
from goalfsm.diagram.style import FAINT, FAINT_STROKE, NOW_FILL, NOW_STROKE

INDENT: Final = "    "
# What Mermaid's lexers treat as a word of their own somewhere, in any case, at a name's start.
_RESERVED: Final = re.compile(
    r"(?i)(accdescr|acctitle|activate|actor|autonumber|break|call|choice|class|click|concurrent|"
    r"create|critical|deactivate|default|destroy|details|direction|divider|else|end|flowchart|"
    r"fork|graph|hide|href|join|left|link|loop|note|option|over|participant|propert|rect|right|"
    r"root|scale|sequencediagram|start|state|style|subgraph|constructor|tostring|valueof|"
    r"(alt|and|as|box|bt|lr|o|of|opt|par|par_over|rl|tb|td|x)$)"
)
_PLAIN: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9]*(_[a-zA-Z0-9]+)*")
_SAFE: Final = frozenset(" _.,()/=+!?'[]-@^×")  # noqa: RUF001  the sign, not the letter
_LATIN: Final = 0x2FF
"""Beyond the Latin blocks no character means anything to Mermaid."""
_MARKDOWN: Final = re.compile(r"^(\d+)([.)])|^([-+])(?= )")
_LOOSE: Final = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_COLON: Final = re.compile(r"(?<=[^\W_]):(?= )")
_WORDS: Final = re.compile(r"(?i)(?<=direction)\s(?=\s*(?:tb|bt|rl|lr))|\[(?=\[)")
"""Mermaid takes a line that holds ``direction LR`` or ``[[fork]]`` anywhere for that word."""
_DASHES: Final = re.compile(r"-(?=[->])|(?<=-)-")


def text(value: str) -> str:
    """Return ``value`` so that Mermaid shows exactly that; lines are kept apart."""
    return "<br/>".join(_line(line) for line in value.splitlines() or [""])


def _line(line: str) -> str:
    entities: set[int] = set()
    for pattern in (_LOOSE, _DASHES, _WORDS):
        entities |= {match.start() for match in pattern.finditer(line)}
    fine = {match.start() for match in _COLON.finditer(line)}
    listed = _MARKDOWN.match(line)
    if listed:
        entities.add(listed.end() - 1)
    written = "".join(
        char if index not in entities and (index in fine or _is_safe(char)) else f"#{ord(char)};"
        for index, char in enumerate(line)
    )
    return written or "#32;"


def _is_safe(char: str) -> bool:
    return char.isalnum() or char in _SAFE or ord(char) > _LATIN


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return an identifier for every name: the name itself where it is a safe one."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for name in names:
        plain = _PLAIN.fullmatch(name) and not _RESERVED.match(name)
        slug = name if plain else "s_" + "_".join(re.findall("[a-zA-Z0-9]+", name))
        slug = slug.rstrip("_")
        number = 2
        unique = slug
        while unique in used:
            unique = f"{slug}_{number}"
            number += 1
        used.add(unique)
        found[name] = unique
    return found


def render_mermaid(
    drawing: Diagram | Sequence, *, guards: bool = True, effects: bool = False
) -> str:
    """Return ``drawing`` as Mermaid source: a state diagram, a flowchart or a sequence diagram."""
    if isinstance(drawing, Sequence):
        lines = _sequence(drawing)
    elif drawing.flow:
        lines = _flow(drawing, guards=guards, effects=effects)
    else:
        lines = _States(drawing, identifiers, guards=guards, effects=effects).lines()
    return "\n".join([*_front(drawing.title), *lines]) + "\n"


def _front(title: str) -> list[str]:
    """Return the front matter: YAML, so the title is quoted as JSON is."""
    if not title:
        return []
    quoted = " ".join(title.split()).replace("\\", "\\\\").replace('"', '\\"')
    return ["---", f'title: "{quoted}"', "---"]


_CLASSES: Final = {
    "now": f"fill:{NOW_FILL},stroke:{NOW_STROKE},stroke-width:3px",
    "any": f"fill:{FAINT},stroke:{FAINT_STROKE},stroke-dasharray:5 4",
    "region": "stroke-dasharray:5 4",
}


class _States(Nested):
    """A state diagram on its way to Mermaid."""

    def lines(self) -> Iterator[str]:
        """Yield the lines of the drawing."""
        yield "stateDiagram-v2"
        yield f"{INDENT}direction {self.diagram.direction}"
        yield from self._nested(None, INDENT)
        for joint in self.joints:
            label = "<br/>".join(text(line) for line in joint.texts)
            arrow = f"{INDENT}{self.ids[joint.source]} --> {self.ids[joint.dest]}"
            yield f"{arrow} : {label}" if label else arrow
        yield from _dressed(self.diagram, self.ids)

    def _nested(self, parent: str | None, indent: str) -> Iterator[str]:
        """Yield what is nested in ``parent``; a line of dashes stands between two regions.

        Mermaid knows such lines inside states only.
        """
        regions = [node for node in self.children[parent] if node.kind == "region"]
        others = [node for node in self.children[parent] if node.kind != "region"]
        for node in regions:
            if parent is not None and node is not regions[0]:
                yield f"{indent}--"
            yield from self._state(node, indent)
            yield from self._markers(node, indent)
        for node in others:
            yield from self._state(node, indent)
        for node in others:
            yield from self._markers(node, indent)
        if parent is None:
            yield from (f"{indent}[*] --> {self.ids[name]}" for name in self.diagram.initial)

    def _state(self, node: Node, indent: str) -> Iterator[str]:
        name = self.ids[node.name]
        lines = self.inside[node.name]
        if node.name not in self.children:
            yield f'{indent}state "{text(node.text)}" as {name}'
            yield from (f"{indent}{name} : {text(line.text)}" for line in lines)
            return
        head = "\n".join([node.text, *(line.text for line in lines)])
        yield f'{indent}state "{text(head)}" as {name} {{'
        yield f"{indent}{INDENT}direction {self.diagram.direction}"
        yield from self._nested(node.name, indent + INDENT)
        yield f"{indent}}}"

    def _markers(self, node: Node, indent: str) -> Iterator[str]:
        if node.name in self.entered:
            yield f"{indent}[*] --> {self.ids[node.name]}"
        if node.name in self.diagram.finals:
            yield f"{indent}{self.ids[node.name]} --> [*]"


def _dressed(diagram: Diagram, ids: dict[str, str]) -> Iterator[str]:
    """Yield the classes that are used, and which nodes wear them."""
    wearers = {
        "now": [node.name for node in diagram.states if node.name in diagram.highlight],
        "any": [node.name for node in diagram.states if node.kind == "any"],
        "region": [node.name for node in diagram.states if node.kind == "region"],
    }
    for name, nodes in wearers.items():
        if nodes:
            yield f"{INDENT}classDef {name} {_CLASSES[name]}"
            yield f"{INDENT}class {','.join(ids[node] for node in nodes)} {name}"


_SHAPES: Final = {
    "decision": '{{"%s"}}',
    "outcome": '(["%s"])',
    "state": '("%s")',
    "parallel": '("%s")',
    "region": '("%s")',
    "any": '("%s")',
}


def _flow(diagram: Diagram, *, guards: bool, effects: bool) -> Iterator[str]:
    ids = identifiers(node.name for node in diagram.states)
    yield f"flowchart {diagram.direction}"
    for node in diagram.states:
        lines = inside(diagram, node, guards=guards, effects=effects)
        label = "\n".join([node.text, *(line.text for line in lines)])
        yield f"{INDENT}{ids[node.name]}{_SHAPES[node.kind] % text(label)}"
    for index, name in enumerate(diagram.initial):
        yield f'{INDENT}start_{index}((" "))'
        yield f"{INDENT}start_{index} --> {ids[name]}"
    for joint in joints(diagram, guards=guards, effects=effects):
        label = "<br/>".join(text(line) for line in joint.texts)
        arrow = f'-->|"{label}"|' if label else "-->"
        yield f"{INDENT}{ids[joint.source]} {arrow} {ids[joint.dest]}"
    yield from _dressed(diagram, ids)


def _sequence(sequence: Sequence) -> Iterator[str]:
    ids = identifiers(participant.name for participant in sequence.participants)
    yield "sequenceDiagram"
    for participant in sequence.participants:
        yield f"{INDENT}participant {ids[participant.name]} as {text(participant.text)}"

    def block(steps: Iterable[Step], indent: str) -> Iterator[str]:
        for step in steps:
            match step:
                case Message(source=source, dest=dest, text=said, reply=reply):
                    arrow = "-->>" if reply else "->>"
                    yield f"{indent}{ids[source]}{arrow}{ids[dest]}: {text(said)}"
                case Remark(over=over, text=said):
                    names = [p.name for p in sequence.participants if p.name in over]
                    ends = dict.fromkeys((ids[names[0]], ids[names[-1]]))
                    yield f"{indent}Note over {','.join(ends)}: {text(said)}"
                case Frame(kind=kind, text=said, steps=inner):
                    yield f"{indent}{kind} {text(said)}"
                    yield from block(inner, indent + INDENT)
                    yield f"{indent}end"

    yield from block(sequence.steps, INDENT)
