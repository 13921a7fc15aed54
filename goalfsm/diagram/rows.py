"""A table of plain rows -> the diagram of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from goalfsm.diagram.model import Diagram, DiagramError, Direction, Edge, Node

_GUARDS = ("when", "guards", "conditions")
_EFFECTS = ("update", "do", "effects")


def from_rows(  # noqa: PLR0913  all but the rows are named
    rows: Iterable[Any],
    *,
    title: str = "",
    initial: str | None = None,
    finals: Iterable[str] = (),
    notes: Mapping[str, str] | None = None,
    direction: Direction = "TB",
) -> Diagram:
    """Return the diagram of ``rows``: values with ``trigger``, ``source`` and ``dest``.

    What they have of ``when``, ``guards`` or ``conditions`` guards them; ``update``, ``do`` or
    ``effects`` is what taking them does, ``skip`` that it swallows the event; ``reason`` is why;
    ``fault`` marks what befalls.
    A row whose ``dest`` is None or its source stays where it is. ``initial`` None is the first
    row's source; ``notes`` are lines about states, and name those that no row names.
    """
    edges = tuple(map(_edge, rows))
    if not edges:
        raise DiagramError("there is no row to draw", hint="pass at least one transition")
    names = dict.fromkeys((*(notes or {}), *(end for e in edges for end in (e.source, e.dest))))
    return Diagram(
        title=title,
        states=tuple(Node(name=name, note=(notes or {}).get(name, "")) for name in names),
        edges=edges,
        initial=(edges[0].source if initial is None else initial,),
        finals=tuple(finals),
        direction=direction,
    )


def _edge(row: Any) -> Edge:
    try:
        trigger, source, dest = row.trigger, row.source, row.dest
    except AttributeError as error:
        raise DiagramError(
            f"{row!r} is not a row: {error}", hint="a row has trigger, source and dest"
        ) from error
    effects = _names(row, _EFFECTS)
    return Edge(
        trigger=str(trigger),
        source=str(source),
        dest=str(source if dest is None else dest),
        guards=_names(row, _GUARDS),
        effects=(*effects, "skip_event") if getattr(row, "skip", False) else effects,
        reason=str(getattr(row, "reason", "")),
        internal=dest is None or dest == source,
        fault=bool(getattr(row, "fault", False)),
    )


def _names(row: Any, attributes: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for attribute in attributes:
        value = getattr(row, attribute, None)
        found += [value] if isinstance(value, str) else map(str, value or ())
    return tuple(found)
