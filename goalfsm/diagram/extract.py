"""A live ``transitions`` machine -> the diagram of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.diagram.live import (
    AUTO_PREFIX,
    callback_name,
    ends_of,
    events_of,
    guards_of,
    own_name,
    separator_of,
    state_name,
    states_of,
    transitions_of,
)
from goalfsm.diagram.model import Diagram, DiagramError, Direction, Edge, Node, NodeKind, ordered

if TYPE_CHECKING:
    from transitions import Machine

_NOT_NAMES: Final = ("transitions.", "builtins", "types", "unittest.mock")
"""Where classes come from that say nothing of what a machine is for."""


def extract(
    machine: Machine, *, title: str = "", direction: Direction = "TB", auto: bool = False
) -> Diagram:
    """Return the diagram of ``machine``.

    ``auto`` keeps the ``to_STATE`` triggers that the library adds for every state. Final states
    are those that the machine declares so. Without ``title`` the title is the machine's: its name,
    else the class of its one model, else its own class.
    """
    if not hasattr(machine, "events") or not hasattr(machine, "states"):
        raise DiagramError(
            f"{type(machine).__name__} is not a machine",
            hint="pass a transitions.Machine, or a diagram",
        )
    separator = separator_of(machine)
    nodes: list[Node] = []
    defaults: list[str] = []
    declared: list[str] = []
    regions: set[str] = set()
    for path, state in states_of(machine.states.values()):
        name = separator.join(path)
        is_region = separator.join(path) in regions
        nodes.append(_node(path, state, separator, is_region=is_region))
        defaults += [separator.join((*path, child)) for child in _names(state, "initial")]
        regions.update(_regions(path, state, separator))
        if getattr(state, "final", False):
            declared.append(name)
    known = {node.name for node in nodes}
    edges = ordered(
        edge
        for scope, event in events_of(machine)
        if auto or not _is_automatic(machine, event, known, separator)
        for edge in _edges(event, scope, known, separator)
    )
    starts = [
        _outermost(name, nodes, defaults) for name in _names(machine, "initial") if name in known
    ]
    return Diagram(
        title=title or _title(machine),
        states=tuple(nodes),
        edges=edges,
        initial=tuple(dict.fromkeys(starts)),
        defaults=tuple(defaults),
        finals=tuple(declared),
        direction=direction,
    )


def beside(diagrams: Mapping[str, Diagram], *, title: str = "") -> Diagram:
    """Return one diagram of machines that drive one model: regions that are active at once.

    ``diagrams`` are by what each is called there; their states are named after it.
    """
    nodes: list[Node] = []
    edges: list[Edge] = []
    defaults: list[str] = []
    finals: list[str] = []
    for key, drawn in diagrams.items():
        full = {node.name: f"{key}/{node.name}" for node in drawn.states}
        nodes.append(Node(name=key, label=drawn.title, kind="region"))
        for node in drawn.states:
            parent = full.get(node.parent or "", key)
            changes = {"name": full[node.name], "label": node.text, "parent": parent}
            nodes.append(msgspec.structs.replace(node, **changes))
        for edge in drawn.edges:
            ends = {"source": full[edge.source], "dest": full[edge.dest]}
            edges.append(msgspec.structs.replace(edge, **ends))
        defaults += [full[name] for name in (*drawn.initial, *drawn.defaults)]
        finals += [full[name] for name in drawn.finals]
    return Diagram(
        title=title,
        states=tuple(nodes),
        edges=tuple(edges),
        defaults=tuple(defaults),
        finals=tuple(finals),
    )


def _names(holder: Any, attribute: str) -> list[str]:
    value = getattr(holder, attribute, None)
    if value is None or isinstance(value, bool):
        return []
    many = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return [state_name(one) for one in many]


def _regions(path: tuple[str, ...], state: Any, separator: str) -> set[str]:
    """Return the states nested in ``state`` that are active at once: those it starts together."""
    together = getattr(state, "initial", None)
    if not isinstance(together, list | tuple) or not getattr(state, "states", None):
        return set()
    return {separator.join((*path, child)) for child in _names(state, "initial")}


def _node(path: tuple[str, ...], state: Any, separator: str, *, is_region: bool) -> Node:
    label = getattr(state, "label", "") or (path[-1] if len(path) > 1 else "")
    kind: NodeKind = "region" if is_region else "state"
    if _regions(path, state, separator):
        kind = "parallel"
    return Node(
        name=separator.join(path),
        label=str(label),
        kind=kind,
        parent=separator.join(path[:-1]) or None,
        entry=_callbacks(state, "on_enter"),
        exit=_callbacks(state, "on_exit"),
        note=_note(state),
        tags=tuple(map(str, _many(getattr(state, "tags", None)))),
        timeout=getattr(state, "timeout", None) or 0,
        on_timeout=_callbacks(state, "on_timeout"),
    )


def _note(state: Any) -> str:
    """Return what a state says of itself in its ``note``, or its ``description``, on one line."""
    found = getattr(state, "note", None) or getattr(state, "description", None)
    return " ".join(found.split()) if isinstance(found, str) else ""


def _many(value: Any) -> list[Any]:
    """Return the parts of what may be several, or one: a text is one, not its letters."""
    if value is None:
        return []
    return [value] if isinstance(value, str) or not isinstance(value, Iterable) else list(value)


def _callbacks(holder: Any, *attributes: str) -> tuple[str, ...]:
    found = (
        callback_name(function)
        for attribute in attributes
        for function in _many(getattr(holder, attribute, None))
    )
    return tuple(found)


def _is_automatic(machine: Any, event: Any, known: set[str], separator: str) -> bool:
    """Tell whether the library added this event so that every state can be entered."""
    if not getattr(machine, "auto_transitions", True):
        return False
    names = {AUTO_PREFIX + name.replace(separator, "_"): name for name in known}
    names |= {AUTO_PREFIX + name: name for name in known}
    dest = names.get(event.name)
    rows = list(transitions_of(event))
    return (
        dest is not None
        and len(event.transitions) >= len(machine.states)
        and all(row.dest == dest for row in rows)
        and not any(row.conditions or row.before or row.after or row.prepare for row in rows)
    )


def _edges(event: Any, scope: tuple[str, ...], known: set[str], separator: str) -> Iterator[Edge]:
    for row in transitions_of(event):
        source, dest = ends_of(row, scope, known, separator)
        yield Edge(
            trigger=str(getattr(row, "label", "") or event.name),
            source=source,
            dest=dest,
            guards=guards_of(row, callback_name),
            prepare=_callbacks(row, "prepare"),
            before=_callbacks(row, "before"),
            after=_callbacks(row, "after"),
            reason=str(getattr(row, "reason", "")),
            internal=row.dest is None,
        )


def _outermost(name: str, nodes: Sequence[Node], defaults: Sequence[str]) -> str:
    """Return the state to enter so that ``name`` is entered with it by default."""
    parents = {node.name: node.parent for node in nodes}
    while name in defaults and (parent := parents[name]) is not None:
        name = parent
    return name


def _title(machine: Any) -> str:
    """Return what a machine is called: by its name, its one kind of model or its own class."""
    if name := own_name(machine):
        return name
    models = {type(model) for model in getattr(machine, "models", ()) if model is not machine}
    kinds = models if len(models) == 1 else {type(machine)}
    return next((kind.__name__ for kind in kinds if not kind.__module__.startswith(_NOT_NAMES)), "")
