"""One function for every format and everything that can be drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypeAlias, get_args

import msgspec

from goalfsm.diagram.dot import render_dot
from goalfsm.diagram.extract import extract
from goalfsm.diagram.mermaid import render_mermaid
from goalfsm.diagram.model import Diagram, DiagramError, Direction, Drawing, Edge
from goalfsm.diagram.model import Sequence as Steps
from goalfsm.diagram.plantuml import render_plantuml
from goalfsm.diagram.table import render_markdown, render_table

if TYPE_CHECKING:
    from transitions import Machine

Format: TypeAlias = Literal["mermaid", "dot", "plantuml", "svg", "md", "table", "json"]
"""``md`` is the Mermaid picture with its table, ``table`` the table alone."""

FORMATS: Final[tuple[Format, ...]] = get_args(Format)
DIRECTIONS: Final[tuple[Direction, ...]] = get_args(Direction)
PathSteps: TypeAlias = Iterable[tuple[str, str, str]]
"""The way that something took: (source, trigger, dest) of every transition, in order."""


def render(  # noqa: PLR0913  all but the machine are named
    machine: Machine | Drawing,
    *,
    format: Format = "mermaid",  # noqa: A002  what a reader would call it
    guards: bool = True,
    effects: bool = False,
    highlight: str | Sequence[str] | None = None,
    direction: Direction | None = None,
    title: str | None = None,
    path: PathSteps | None = None,
) -> str:
    """Return a drawing of ``machine`` as text in ``format``.

    ``machine`` is any ``transitions`` machine, or what ``extract()`` or ``named()`` returned.
    ``highlight`` names the current state, or several; ``path`` is the way that a model took to
    where it is now: what it took is drawn strong, with counts, and its end is highlighted.
    ``direction`` None keeps the drawing's own, from top to bottom where it has none.
    Raises ``DiagramError`` for an unknown state, format or direction.
    """
    drawing = machine if isinstance(machine, Diagram | Steps) else extract(machine)
    if title is not None:
        drawing = msgspec.structs.replace(drawing, title=title)
    if isinstance(drawing, Diagram):
        drawing = _adapted(drawing, highlight, direction, path)
    else:
        _check_sequence(highlight, direction, path)
    writer = _WRITERS[_one_of("format", format, FORMATS)]
    return writer(drawing, guards=guards, effects=effects)


def _check_sequence(
    highlight: str | Sequence[str] | None, direction: Direction | None, path: PathSteps | None
) -> None:
    """Refuse what a sequence cannot show, rather than leave it out silently."""
    if highlight is not None or path is not None:
        raise DiagramError(
            "a sequence has no states to highlight", hint="leave highlight and path out"
        )
    if direction is not None:
        raise DiagramError("a sequence always runs down", hint="leave the direction out")


def _adapted(
    diagram: Diagram,
    highlight: str | Sequence[str] | None,
    direction: Direction | None,
    path: PathSteps | None,
) -> Diagram:
    if direction is not None:
        _one_of("direction", direction, DIRECTIONS)
        diagram = msgspec.structs.replace(diagram, direction=direction)
    if path is not None:
        diagram = with_path(diagram, path)
    if highlight is not None:
        names = (highlight,) if isinstance(highlight, str) else tuple(highlight)
        diagram = msgspec.structs.replace(diagram, highlight=names)
    return diagram


def _svg(drawing: Drawing, *, guards: bool, effects: bool) -> str:
    # The layout is the largest part of the package; text formats do without it.
    if isinstance(drawing, Steps):
        from goalfsm.diagram.svg.sequence_svg import render_sequence  # noqa: PLC0415

        return render_sequence(drawing)
    from goalfsm.diagram.svg.svg import render_svg  # noqa: PLC0415

    return render_svg(drawing, guards=guards, effects=effects)


def _one_of(what: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise DiagramError(f"unknown {what} {value!r}", hint=f"use one of {', '.join(known)}")
    return value


def _json(drawing: Drawing, *, guards: bool, effects: bool) -> str:
    """Return the drawing as JSON; ``msgspec.json.decode(text, type=Drawing)`` reads it back."""
    if isinstance(drawing, Diagram):
        left_out: dict[str, Any] = {}
        if not guards:
            left_out["guards"] = ()
        if not effects:
            left_out |= {"effects": (), "prepare": (), "before": (), "after": ()}
        edges = tuple(msgspec.structs.replace(edge, **left_out) for edge in drawing.edges)
        drawing = msgspec.structs.replace(drawing, edges=edges)
    return msgspec.json.format(msgspec.json.encode(drawing), indent=2).decode() + "\n"


def with_path(diagram: Diagram, steps: PathSteps) -> Diagram:
    """Return ``diagram`` with the way that was taken: counts on edges, its end highlighted.

    A step without an edge (a row that another version of the machine had) gets an edge of its
    own; one that names an unknown state raises ``DiagramError``.
    """
    taken: dict[tuple[str, str, str], int] = {}
    last: str | None = None
    for source, trigger, dest in steps:
        taken[source, trigger, dest] = taken.get((source, trigger, dest), 0) + 1
        last = dest
    edges = []
    for edge in diagram.edges:
        # Rows that differ in their guards only cannot be told apart: the first one counts.
        count = taken.pop((edge.source, edge.trigger, edge.dest), 0)
        edges.append(msgspec.structs.replace(edge, count=edge.count + count) if count else edge)
    edges += [
        Edge(source=source, trigger=trigger, dest=dest, count=count)
        for (source, trigger, dest), count in taken.items()
    ]
    return msgspec.structs.replace(
        diagram,
        edges=tuple(edges),
        highlight=diagram.highlight if last is None else (last,),
    )


class _Writer(Protocol):
    def __call__(self, drawing: Drawing, /, *, guards: bool, effects: bool) -> str: ...


_WRITERS: Final[dict[str, _Writer]] = {
    "mermaid": render_mermaid,
    "dot": render_dot,
    "plantuml": render_plantuml,
    "svg": _svg,
    "md": render_markdown,
    "table": render_table,
    "json": _json,
}
