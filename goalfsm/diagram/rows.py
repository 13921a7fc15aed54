"""A table of plain rows -> the diagram of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from goalfsm.diagram.live import callback_name
from goalfsm.diagram.model import Diagram, DiagramError, Direction, Edge, Node, ordered

_GUARDS: Final = ("when", "guards", "conditions")
_EFFECTS: Final = ("update", "actions", "effects")
_ARGUMENTS: Final = (
    "trigger",
    "source",
    "dest",
    "conditions",
    "unless",
    "before",
    "after",
    "prepare",
)
"""What ``transitions`` calls the parts of a row that is a list, in their order."""
_ANYWHERE: Final = "*"
_SAME: Final = "="


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

    Each is an object with these attributes, or a mapping or a list as ``transitions`` takes them,
    with ``conditions``, ``unless``, ``prepare``, ``before`` and ``after``, several sources or
    ``*``, and ``=`` as dest.
    What they have of ``when``, ``guards`` or ``conditions`` guards them; ``update``, ``actions`` or
    ``effects`` is what taking them does, ``skip`` that it swallows the event; ``reason`` is why;
    ``fault`` marks what befalls.
    Rows of one source and trigger are tried in their order.
    A row whose ``dest`` is None stays where it is, and so does an object's whose ``dest`` is its
    source. ``initial`` None is the first row's source; ``notes`` are lines about states, and name
    those that no row names.
    """
    parts = [row if hasattr(row, "trigger") else _parts(row) for row in rows]
    known = tuple(dict.fromkeys((*(notes or {}), *(name for row in parts for name in _ends(row)))))
    edges = ordered(
        edge
        for row in parts
        for edge in (_spread(row, known) if isinstance(row, dict) else [_edge(row)])
    )
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


def _parts(row: Any) -> dict[str, Any]:
    """Return the parts of a row that is a mapping or a list; raise `DiagramError` for another."""
    if isinstance(row, list | tuple) and len(row) <= len(_ARGUMENTS):
        row = dict(zip(_ARGUMENTS, row, strict=False))
    if not isinstance(row, Mapping):
        raise _no_row(row, "it has no trigger")
    for part in _ARGUMENTS[:3]:
        if part not in row:
            raise _no_row(row, f"it has no {part}")
    return dict(row)


def _ends(row: Any) -> Iterator[str]:
    """Yield the states that a row names."""
    if not isinstance(row, dict):
        yield from (
            str(end)
            for end in (getattr(row, "source", None), getattr(row, "dest", None))
            if end is not None
        )
        return
    yield from (name for name in map(_name, _many(row["source"])) if name != _ANYWHERE)
    if row["dest"] is not None and _name(row["dest"]) != _SAME:
        yield _name(row["dest"])


def _spread(row: dict[str, Any], known: tuple[str, ...]) -> Iterator[Edge]:
    """Yield an edge for each source of a row that is a mapping."""
    sources = [_name(one) for one in _many(row["source"])]
    dest = row["dest"]
    guards = [callback_name(one) for name in _GUARDS for one in _many(row.get(name))]
    guards += [f"not {callback_name(one)}" for one in _many(row.get("unless"))]
    effects = tuple(callback_name(one) for name in _EFFECTS for one in _many(row.get(name)))
    for source in known if sources == [_ANYWHERE] else sources:
        yield Edge(
            trigger=_name(row["trigger"]),
            source=source,
            dest=source if dest is None or _name(dest) == _SAME else _name(dest),
            guards=tuple(guards),
            effects=(*effects, "skip_event") if row.get("skip") else effects,
            prepare=tuple(map(callback_name, _many(row.get("prepare")))),
            before=tuple(map(callback_name, _many(row.get("before")))),
            after=tuple(map(callback_name, _many(row.get("after")))),
            reason=str(row.get("reason", "")),
            internal=dest is None,
            fault=bool(row.get("fault", False)),
        )


def _many(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(state: Any) -> str:
    return str(getattr(state, "name", state))


def _no_row(row: Any, why: object) -> DiagramError:
    return DiagramError(f"{row!r} is not a row: {why}", hint="a row has trigger, source and dest")


def _edge(row: Any) -> Edge:
    try:
        trigger, source, dest = row.trigger, row.source, row.dest
    except AttributeError as error:
        raise _no_row(row, error) from error
    effects = _names(row, _EFFECTS)
    return Edge(
        trigger=str(trigger),
        source=str(source),
        dest=str(source if dest is None else dest),
        guards=_names(row, _GUARDS),
        effects=(*effects, "skip_event") if getattr(row, "skip", False) else effects,
        prepare=_names(row, ("prepare",)),
        before=_names(row, ("before",)),
        after=_names(row, ("after",)),
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
