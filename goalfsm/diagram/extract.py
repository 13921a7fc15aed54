"""A live ``transitions`` machine -> the diagram of it.

Any machine of that library does: flat or hierarchical, locked or asynchronous. Only what it
holds is read; nothing is triggered and no callback is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from goalfsm.diagram.model import Diagram, DiagramError, Direction, Edge, Node

if TYPE_CHECKING:
    from transitions import Machine

AUTO_PREFIX: Final = "to_"


def extract(
    machine: Machine, *, title: str = "", direction: Direction = "TB", auto: bool = False
) -> Diagram:
    """Return the diagram of ``machine``.

    ``auto`` keeps the ``to_STATE`` triggers that the library adds for every state. States that
    are declared final are; where none is, those that nothing leaves are.
    """
    if not hasattr(machine, "events") or not hasattr(machine, "states"):
        raise DiagramError(
            f"{type(machine).__name__} is not a machine",
            hint="pass a transitions.Machine, or a diagram",
        )
    separator = getattr(getattr(machine, "state_cls", None), "separator", "_")
    nodes: list[Node] = []
    defaults: list[str] = []
    declared: list[str] = []
    for path, state in _states(machine.states.values()):
        name = separator.join(path)
        nodes.append(_node(path, state, separator))
        defaults += [separator.join((*path, child)) for child in _names(state, "initial")]
        if getattr(state, "final", False):
            declared.append(name)
    known = {node.name for node in nodes}
    edges = [
        edge
        for scope, events in _events(machine)
        for event in events
        if auto or not _is_automatic(machine, event, known, separator)
        for edge in _edges(event, scope, known, separator)
    ]
    starts = [
        _outermost(name, nodes, defaults) for name in _names(machine, "initial") if name in known
    ]
    return Diagram(
        title=title or _title(machine),
        states=tuple(nodes),
        edges=tuple(edges),
        initial=tuple(dict.fromkeys(starts)),
        defaults=tuple(defaults),
        finals=tuple(declared) or _ends(nodes, edges),
        direction=direction,
    )


def _states(
    states: Iterable[Any], prefix: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for state in states:
        path = (*prefix, _name(state))
        yield path, state
        yield from _states(getattr(state, "states", {}).values(), path)


def _name(state: Any) -> str:
    """Return the name of a state, or of what stands for one."""
    name = getattr(state, "_name", state)
    return str(name.name) if isinstance(name, Enum) else str(getattr(name, "name", name))


def _names(holder: Any, attribute: str) -> list[str]:
    value = getattr(holder, attribute, None)
    if value is None or isinstance(value, bool):
        return []
    many = value if isinstance(value, list | tuple | set | frozenset) else [value]
    return [_name(one) for one in many]


def _node(path: Sequence[str], state: Any, separator: str) -> Node:
    label = getattr(state, "label", "") or (path[-1] if len(path) > 1 else "")
    tags = [str(tag) for tag in getattr(state, "tags", None) or ()]
    timeout = getattr(state, "timeout", 0)
    notes = [*([f"after {timeout} s"] if timeout else []), *tags]
    return Node(
        name=separator.join(path),
        label=str(label),
        parent=separator.join(path[:-1]) or None,
        entry=_callbacks(state, "on_enter"),
        exit=_callbacks(state, "on_exit"),
        note=", ".join(notes),
    )


def _callbacks(holder: Any, *attributes: str) -> tuple[str, ...]:
    found = (
        callback_name(function)
        for attribute in attributes
        for function in getattr(holder, attribute, None) or ()
    )
    return tuple(dict.fromkeys(found))


def callback_name(function: object) -> str:
    """Return what a callback or condition is called: a name, never an address in memory."""
    if isinstance(function, str):
        return function
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{callback_name(function.func)}({', '.join(given)})"
    name = getattr(function, "name", None) or getattr(function, "__name__", None)
    if not isinstance(name, str):
        name = type(function).__name__
    return "lambda" if name == "<lambda>" else name


def _events(machine: Any) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Yield the events of every scope: those of the machine, then those inside nested states."""
    yield (), list(machine.events.values())
    for path, state in _states(machine.states.values()):
        events = getattr(state, "events", None)
        if events:
            yield path, list(events.values())


def _is_automatic(machine: Any, event: Any, known: set[str], separator: str) -> bool:
    """Tell whether the library added this event so that every state can be entered."""
    if not getattr(machine, "auto_transitions", True):
        return False
    names = {AUTO_PREFIX + name.replace(separator, "_"): name for name in known}
    names |= {AUTO_PREFIX + name: name for name in known}
    dest = names.get(event.name)
    rows = [row for rows in event.transitions.values() for row in rows]
    return (
        dest is not None
        and len(event.transitions) >= len(machine.states)
        and all(row.dest == dest for row in rows)
        and not any(row.conditions or row.before or row.after or row.prepare for row in rows)
    )


def _edges(event: Any, scope: tuple[str, ...], known: set[str], separator: str) -> Iterator[Edge]:
    def resolve(name: Any) -> str:
        local = separator.join((*scope, _name(name)))
        return local if local in known else _name(name)

    for rows in event.transitions.values():
        for row in rows:
            source = resolve(row.source)
            yield Edge(
                trigger=str(getattr(row, "label", "") or event.name),
                source=source,
                dest=source if row.dest is None else resolve(row.dest),
                guards=tuple(
                    callback_name(check.func)
                    if check.target
                    else f"not {callback_name(check.func)}"
                    for check in row.conditions
                ),
                effects=_callbacks(row, "prepare", "before", "after"),
                reason=str(getattr(row, "reason", "")),
                internal=row.dest is None,
            )


def _outermost(name: str, nodes: Sequence[Node], defaults: Sequence[str]) -> str:
    """Return the state to enter so that ``name`` is entered with it by default."""
    parents = {node.name: node.parent for node in nodes}
    while name in defaults and (parent := parents[name]) is not None:
        name = parent
    return name


def _ends(nodes: Sequence[Node], edges: Sequence[Edge]) -> tuple[str, ...]:
    """Return the states that are entered and never left, nor what they are nested in."""
    parents = {node.name: node.parent for node in nodes}
    moves = [edge for edge in edges if edge.source != edge.dest]
    left = {edge.source for edge in moves}
    entered = {edge.dest for edge in moves}
    compound = set(parents.values())

    def chain(name: str | None) -> Iterator[str]:
        while name is not None:
            yield name
            name = parents[name]

    # Where nothing leads, nothing ends: a machine without edges has no end.
    return tuple(
        node.name
        for node in nodes
        if node.name not in compound
        and left.isdisjoint(chain(node.name))
        and not entered.isdisjoint(chain(node.name))
    )


def _title(machine: Any) -> str:
    return str(getattr(machine, "name", "") or "").removesuffix(": ")
