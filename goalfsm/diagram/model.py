"""What a picture shows, free of how it is drawn: every renderer reads these values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from goalfsm.errors import GoalError

Direction: TypeAlias = Literal["TB", "LR"]
"""Where a drawing runs to: from top to bottom or from left to right."""

NodeKind: TypeAlias = Literal["state", "parallel", "region", "decision", "outcome", "any"]
"""What a node is.

The states nested in a ``parallel`` one are all active at once, and each of these is a ``region``.
``any`` stands for several states that share an edge; the others are what their names say.
"""


class DiagramError(GoalError):
    """A diagram cannot be made or drawn as asked; nothing was written."""

    code = "diagram_invalid"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A state, or a step of a flow. ``label`` empty shows the name.

    ``parent`` is the state that this one is nested in; ``entry`` and ``exit`` are what entering
    and leaving it does; ``note`` is one line about it. After ``timeout`` seconds in the state
    ``on_timeout`` is called; 0 is no timeout.
    """

    name: str
    label: str = ""
    kind: NodeKind = "state"
    parent: str | None = None
    entry: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    note: str = ""
    tags: tuple[str, ...] = ()
    timeout: float = 0
    on_timeout: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return what is shown as the node's name."""
        return self.label or self.name


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """One transition of a drawing. An ``internal`` one neither leaves nor enters a state.

    ``prepare`` is called before the guards are asked, also where they refuse; ``before`` and
    ``after`` are called around the change of state, and ``effects`` are what taking the edge does
    where nobody says when. A guard that must be false reads ``not name``. ``order`` is the place
    in which the edge is tried among those of its source and trigger, from 1; 0 is an edge that is
    alone. ``count`` is how often a path took it; a ``fault`` is nothing that is done: it befalls.
    """

    source: str
    dest: str
    trigger: str = ""
    guards: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    order: int = 0
    reason: str = ""
    internal: bool = False
    fault: bool = False
    count: int = 0


def ordered(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    """Return ``edges``, each of several rows of one source and trigger with its place among them.

    The edges have to come in the order in which a machine tries them.
    """
    edges = tuple(edges)
    several = Counter((edge.source, edge.trigger) for edge in edges)
    tried: Counter[tuple[str, str]] = Counter()
    found = []
    for edge in edges:
        key = (edge.source, edge.trigger)
        tried[key] += 1
        alone = several[key] == 1
        found.append(edge if alone else msgspec.structs.replace(edge, order=tried[key]))
    return tuple(found)


class Diagram(msgspec.Struct, frozen=True, kw_only=True, tag="diagram"):
    """A machine as a graph. ``flow`` says that it is an order of decisions, not of states.

    ``initial`` is where it starts, ``defaults`` are the nested states that are entered with their
    parent; ``highlight`` is where a model is now.
    """

    title: str
    states: tuple[Node, ...]
    edges: tuple[Edge, ...] = ()
    initial: tuple[str, ...] = ()
    defaults: tuple[str, ...] = ()
    finals: tuple[str, ...] = ()
    highlight: tuple[str, ...] = ()
    direction: Direction = "TB"
    flow: bool = False

    def __post_init__(self) -> None:
        """Refuse names that nothing defines, and a nesting that goes round in circles."""
        names = [node.name for node in self.states]
        known = set(names)
        if len(known) != len(names):
            twice = sorted({name for name in names if names.count(name) > 1})
            raise DiagramError(
                f"a state is defined twice: {', '.join(twice)}", hint="give each its own name"
            )
        used = {
            *(end for edge in self.edges for end in (edge.source, edge.dest)),
            *(node.parent for node in self.states if node.parent is not None),
            *self.initial,
            *self.defaults,
            *self.finals,
            *self.highlight,
        }
        if unknown := sorted(used - known):
            raise DiagramError(
                f"unknown state {', '.join(map(repr, unknown))}",
                hint=f"use one of {', '.join(names) or '(there is none)'}",
            )
        for node in self.states:
            self.ancestors(node.name)

    def ancestors(self, name: str) -> tuple[str, ...]:
        """Return the states that ``name`` is nested in, innermost first."""
        parents = {node.name: node.parent for node in self.states}
        chain: list[str] = []
        parent = parents[name]
        while parent is not None:
            if parent == name or parent in chain:
                raise DiagramError(f"{name!r} is nested in itself", hint="remove one parent")
            chain.append(parent)
            parent = parents[parent]
        return tuple(chain)


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a sequence: who sends and receives messages."""

    name: str
    label: str = ""

    @property
    def text(self) -> str:
        """Return what is shown as the column's head."""
        return self.label or self.name


class Message(msgspec.Struct, frozen=True, kw_only=True, tag="message"):
    """One arrow of a sequence; ``reply`` draws it dashed."""

    source: str
    dest: str
    text: str
    reply: bool = False


class Remark(msgspec.Struct, frozen=True, kw_only=True, tag="remark"):
    """A note over one column, or over all from the first to the last that is named."""

    over: tuple[str, ...]
    text: str


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag="frame"):
    """Steps that repeat, or that happen only sometimes; ``text`` says when."""

    kind: Literal["loop", "opt"]
    text: str
    steps: tuple[Step, ...]


Step: TypeAlias = Message | Remark | Frame


class Sequence(msgspec.Struct, frozen=True, kw_only=True, tag="sequence"):
    """Who tells whom what, in order."""

    title: str
    participants: tuple[Participant, ...]
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Refuse a step that names nobody, or somebody who takes no part."""
        known = {participant.name for participant in self.participants}
        for step, _ in self.walk():
            match step:
                case Message(source=source, dest=dest):
                    named = {source, dest}
                case Remark(over=over):
                    named = set(over) or {""}
                case Frame():
                    named = set()
            if unknown := sorted(named - known):
                raise DiagramError(
                    f"{', '.join(map(repr, unknown))} takes no part in the sequence",
                    hint=f"use one of {', '.join(sorted(known))}",
                )

    def walk(self) -> tuple[tuple[Step, int], ...]:
        """Return every step with its depth, a frame before the steps in it."""
        found: list[tuple[Step, int]] = []
        queue: list[tuple[Step, int]] = [(step, 0) for step in reversed(self.steps)]
        while queue:
            step, depth = queue.pop()
            found.append((step, depth))
            if isinstance(step, Frame):
                queue.extend((inner, depth + 1) for inner in reversed(step.steps))
        return tuple(found)


Drawing: TypeAlias = Diagram | Sequence
"""What can be drawn."""
