"""A drawing as Mermaid: what forges and documentation sites show without any plugin.

Names and labels may hold anything. Identifiers are made safe, and every character that Mermaid,
Markdown or HTML would read as something else is written as a numeric entity.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from goalfsm.diagram.labels import inside, joints, simplify
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
_DASHES: Final = re.compile(r"-(?=[->])|(?<=-)-")


def text(value: str) -> str:
    """Return ``value`` so that Mermaid shows exactly that; lines are kept apart."""
    return "<br/>".join(_line(line) for line in value.splitlines() or [""])


def _line(line: str) -> str:
    entities: set[int] = set()
    for pattern in (_LOOSE, _DASHES):
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
        lines = _states(simplify(drawing), guards=guards, effects=effects)
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
}


def _states(diagram: Diagram, *, guards: bool, effects: bool) -> Iterator[str]:
    ids = identifiers(node.name for node in diagram.states)
    children: dict[str | None, list[Node]] = {None: []}
    for node in diagram.states:
        children.setdefault(node.parent, []).append(node)
    yield "stateDiagram-v2"
    yield f"{INDENT}direction {diagram.direction}"

    def region(parent: str | None, indent: str) -> Iterator[str]:
        for node in children[parent]:
            lines = inside(diagram, node, guards=guards, effects=effects)
            if node.name in children:
                head = "\n".join([node.text, *(line.text for line in lines)])
                yield f'{indent}state "{text(head)}" as {ids[node.name]} {{'
                yield f"{indent}{INDENT}direction {diagram.direction}"
                yield from region(node.name, indent + INDENT)
                yield f"{indent}}}"
                continue
            yield f'{indent}state "{text(node.text)}" as {ids[node.name]}'
            yield from (f"{indent}{ids[node.name]} : {text(line.text)}" for line in lines)
        starts = diagram.initial if parent is None else ()
        for node in children[parent]:
            if node.name in diagram.defaults:
                yield f"{indent}[*] --> {ids[node.name]}"
        yield from (f"{indent}[*] --> {ids[name]}" for name in starts)
        for node in children[parent]:
            if node.name in diagram.finals:
                yield f"{indent}{ids[node.name]} --> [*]"

    yield from region(None, INDENT)
    for joint in joints(diagram, guards=guards, effects=effects):
        label = "<br/>".join(text(line) for line in joint.texts)
        arrow = f"{INDENT}{ids[joint.source]} --> {ids[joint.dest]}"
        yield f"{arrow} : {label}" if label else arrow
    yield from _dressed(diagram, ids)


def _dressed(diagram: Diagram, ids: dict[str, str]) -> Iterator[str]:
    """Yield the classes that are used, and which nodes wear them."""
    wearers = {
        "now": [node.name for node in diagram.states if node.name in diagram.highlight],
        "any": [node.name for node in diagram.states if node.kind == "any"],
    }
    for name, nodes in wearers.items():
        if nodes:
            yield f"{INDENT}classDef {name} {_CLASSES[name]}"
            yield f"{INDENT}class {','.join(ids[node] for node in nodes)} {name}"


_SHAPES: Final = {
    "decision": '{{"%s"}}',
    "outcome": '(["%s"])',
    "state": '("%s")',
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
