"""A drawing's rows as a table, and that as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from goalfsm.diagram.mermaid import render_mermaid
from goalfsm.diagram.model import Diagram, Message, Node
from goalfsm.diagram.model import Sequence as Steps

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~$&])")
NOTHING: Final = "–"  # noqa: RUF001  a dash, not a minus


class Piece(NamedTuple):
    """A part of a cell: a name, or a sentence."""

    text: str
    is_name: bool = False


Cell: TypeAlias = tuple[Piece, ...]


class Table(NamedTuple):
    """Heads and rows; a cell without pieces is empty, and no column is."""

    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def table_of(drawing: Diagram | Steps, *, guards: bool = True, effects: bool = True) -> Table:
    """Return the rows of ``drawing``; those that differ in their source alone share a line."""
    if isinstance(drawing, Steps):
        return _messages(drawing)
    if drawing.flow:
        return _decisions(drawing)
    names = {node.name: _full_name(drawing, node.name) for node in drawing.states}
    sources: dict[tuple[Cell, ...], list[str]] = {}
    for edge in drawing.edges:
        if edge.internal:
            dest = Piece("stays")
        elif edge.source == edge.dest:
            dest = Piece("itself")
        else:
            dest = Piece(names[edge.dest], is_name=True)
        row = (
            _names([edge.trigger] if edge.trigger else []),
            _sentence(f"{edge.order}" if edge.order else ""),
            (dest,),
            _names(edge.guards if guards else ()),
            *(
                _names(called if effects else ())
                for called in (edge.prepare, edge.before, edge.effects, edge.after)
            ),
            _sentence(f"{edge.count}" if edge.count else ""),
            _sentence(edge.reason),
        )
        sources.setdefault(row, []).append(names[edge.source])
    rows = (
        (trigger, _names(dict.fromkeys(found)), *rest)
        for (trigger, *rest), found in sources.items()
    )
    called = ("Prepare", "Before", "Effects", "After")
    return _trimmed(("Trigger", "From", "Tried", "To", "When", *called, "Taken", "Why"), rows)


def states_of(diagram: Diagram, *, effects: bool = True) -> Table:
    """Return what there is to say of each state; without rows where there is nothing."""
    if diagram.flow:
        return Table((), ())
    known = {node.name: node for node in diagram.states}
    rows = (
        (
            _names([_full_name(diagram, node.name)]),
            _sentence(_kind(node, known)),
            _sentence("yes" if node.name in diagram.finals else ""),
            _sentence(node.note),
            _names(node.tags),
            _sentence(f"{node.timeout:g} s" if node.timeout else ""),
            *(
                _names(called if effects else ())
                for called in (node.on_timeout, node.entry, node.exit)
            ),
        )
        for node in diagram.states
    )
    called = ("On timeout", "On entering", "On leaving")
    heads = ("State", "Kind", "Final", "What it is", "Tags", "Timeout", *called)
    return _trimmed(heads, [row for row in rows if any(row[1:])])


def _kind(node: Node, known: Mapping[str, Node]) -> str:
    """Return in a word what is active with a state, where that is not the state alone."""
    if node.kind == "parallel":
        return "parallel"
    if node.kind != "region" or node.parent is None:
        return ""
    return f"region of {known[node.parent].text}"


def _decisions(flow: Diagram) -> Table:
    """Return a flow's questions in their order, each with what a yes and a no lead to."""
    nodes = {node.name: node for node in flow.states}
    rows: list[tuple[Cell, ...]] = []
    for node in flow.states:
        leads = [edge for edge in flow.edges if edge.source == node.name]
        ends = [edge for edge in leads if nodes[edge.dest].kind == "outcome"]
        rows += [
            (
                _names([node.name]),
                _sentence(node.text),
                _sentence(edge.trigger),
                _sentence(nodes[edge.dest].text),
                _sentence(edge.reason or nodes[edge.dest].note),
            )
            for edge in ends
        ]
    return _trimmed(("Guard", "Question", "Answer", "Outcome", "Why"), rows)


def _messages(sequence: Steps) -> Table:
    texts = {participant.name: participant.text for participant in sequence.participants}
    messages = (step for step, _ in sequence.walk() if isinstance(step, Message))
    rows = (
        (
            _sentence(f"{number}"),
            _sentence(texts[message.source]),
            _sentence(texts[message.dest]),
            _sentence(", ".join(message.text.splitlines())),
        )
        for number, message in enumerate(messages, start=1)
    )
    return _trimmed(("#", "From", "To", "What"), rows)


def _names(names: Iterable[str]) -> Cell:
    return tuple(Piece(name, is_name=True) for name in names)


def _sentence(text: str) -> Cell:
    return (Piece(text),) if text else ()


def _trimmed(heads: Sequence[str], rows: Iterable[Sequence[Cell]]) -> Table:
    rows = list(rows)
    shown = [at for at in range(len(heads)) if at == 0 or any(row[at] for row in rows)]
    return Table(
        tuple(heads[at] for at in shown), tuple(tuple(row[at] for at in shown) for row in rows)
    )


def _full_name(diagram: Diagram, name: str) -> str:
    texts = {node.name: node.text for node in diagram.states}
    chain = [name, *diagram.ancestors(name)]
    return " / ".join(texts[one] for one in reversed(chain))


def escaped(value: str) -> str:
    """Return ``value`` so that Markdown shows exactly that on one line, in a table too."""
    return " ".join(_SPECIAL.sub(r"\\\1", value).split())


def _code(value: str) -> str:
    """Return ``value`` as code, or as text where code cannot hold it."""
    if not value.strip() or "`" in value or "|" in value or "\n" in value:
        return escaped(value)
    return f"`{value}`"


def _markdown(table: Table) -> str:
    lines = ["| " + " | ".join(table.heads) + " |", "|" + " --- |" * len(table.heads)]
    for row in table.rows:
        cells = (
            ", ".join(_code(piece.text) if piece.is_name else escaped(piece.text) for piece in cell)
            or NOTHING
            for cell in row
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def fence(language: str, body: str) -> str:
    """Return ``body`` fenced, with a fence that is longer than any in it."""
    longest = max((len(run) for run in re.findall("`+", body)), default=0)
    ticks = "`" * max(3, longest + 1)
    return f"{ticks}{language}\n{body.rstrip()}\n{ticks}\n"


def render_table(drawing: Diagram | Steps, *, guards: bool = True, effects: bool = True) -> str:
    """Return the rows of ``drawing`` as a Markdown table, and a second one of its states."""
    tables = [table_of(drawing, guards=guards, effects=effects)]
    if isinstance(drawing, Diagram) and (states := states_of(drawing, effects=effects)).rows:
        # A machine without transitions has nothing but its states.
        tables = [table for table in (*tables, states) if table.rows]
    return "\n".join(map(_markdown, tables))


def render_markdown(drawing: Diagram | Steps, *, guards: bool = True, effects: bool = False) -> str:
    """Return a Markdown section: title, the picture as fenced Mermaid, the table of its rows."""
    picture = fence("mermaid", render_mermaid(drawing, guards=guards, effects=effects))
    parts = [picture, render_table(drawing, guards=guards, effects=effects)]
    if drawing.title:
        parts.insert(0, f"## {escaped(drawing.title)}\n")
    return "\n".join(parts)
