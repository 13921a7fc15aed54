"""The rows of a machine, whatever it is made of: the unit in which paths and coverage count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from goalfsm.diagram.live import (
    AUTO_PREFIX,
    callback_name,
    ends_of,
    events_of,
    guards_of,
    names_of_states,
    separator_of,
    transitions_of,
)
from goalfsm.errors import GoalError

if TYPE_CHECKING:
    from transitions import Machine


class TableRow(NamedTuple):
    """One transition: what triggers it, from where to where, and what has to hold for it.

    A guard that must not hold is written ``not NAME``. ``dest`` is the source where the
    transition is internal.
    """

    trigger: str
    source: str
    dest: str
    guards: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the row in words: ``resume: paused -> active [under_budget]``."""
        guards = f" [{', '.join(self.guards)}]" if self.guards else ""
        return f"{self.trigger}: {self.source} -> {self.dest}{guards}"


class MachineUnknown(GoalError, TypeError):
    """Something is no machine, or none that this can read."""

    code = "machine_unknown"
    hint = "pass a transitions.Machine, a GoalMachine, rows, or one of goal, recovery, stale-work"


class Names:
    """What guards are called: by their names, numbered where two of them share one."""

    def __init__(self) -> None:
        """Have named no guard yet."""
        self._of: dict[object, str] = {}
        self._taken: set[str] = set()

    def of(self, function: Any) -> str:
        """Return the name of a guard; equal guards have one name."""
        name = callback_name(function)
        named = isinstance(function, str) or isinstance(getattr(function, "name", None), str)
        key: object = name if named else function
        if key not in self._of:
            chosen, number = name, 2
            while chosen in self._taken:
                chosen, number = f"{name}#{number}", number + 1
            self._taken.add(chosen)
            self._of[key] = chosen
        return self._of[key]


def rows_of(machine: Machine, names: Names, *, auto: bool = False) -> dict[int, TableRow]:
    """Return the rows of a live machine by the ``id`` of their transition, in its order.

    ``auto`` keeps the ``to_STATE`` triggers that the library adds for every state.
    """
    found: dict[int, TableRow] = {}
    separator, known = separator_of(machine), names_of_states(machine)
    for scope, event in events_of(machine):
        if not auto and is_automatic(machine, event.name, known):
            continue
        for transition in transitions_of(event):
            source, dest = ends_of(transition, scope, known, separator)
            guards = guards_of(transition, names.of)
            found[id(transition)] = TableRow(event.name, source, dest, guards)
    return found


def is_automatic(machine: Any, trigger: str, known: Iterable[str]) -> bool:
    """Tell whether the library added this trigger so that every state can be entered."""
    if not getattr(machine, "auto_transitions", True) or not trigger.startswith(AUTO_PREFIX):
        return False
    separator = separator_of(machine)
    rest = trigger.removeprefix(AUTO_PREFIX)
    return any(rest in {name, name.replace(separator, "_")} for name in known)


# Our own tables.


def goal_rows(machine: Any = None) -> tuple[TableRow, ...]:
    """Return the rows of a goal machine, by default ours."""
    from goalfsm.goal.machine import default_machine  # noqa: PLC0415  only where it is used

    return plain_rows((machine or default_machine()).rows)


def recovery_rows() -> tuple[TableRow, ...]:
    """Return the rows of the recovery machine's phases."""
    from recovery.machine import PHASE_TRANSITIONS  # noqa: PLC0415

    return plain_rows(PHASE_TRANSITIONS)


def stale_work_rows() -> tuple[TableRow, ...]:
    """Return the rows of the stale-work reducer's lifecycle."""
    from recovery.stale_work import LIFECYCLE  # noqa: PLC0415

    return plain_rows(LIFECYCLE)


def continuation_rows() -> tuple[TableRow, ...]:
    """Return the order of decisions: what a yes to each guard leads to, and a no to the last."""
    from goalfsm.diagram.ours.decisions import decision_flow  # noqa: PLC0415
    from goalfsm.session.continuation import OTHERWISE  # noqa: PLC0415  only where it is used

    flow = decision_flow()
    labels = {node.name: node.text.lower() for node in flow.states}
    yes = [edge for edge in flow.edges if edge.trigger == "yes"]
    rows = [TableRow(edge.source, "asked", labels[edge.dest]) for edge in yes]
    return (*rows, TableRow(OTHERWISE.guard, "asked", "continue"))


OURS: Final[Mapping[str, Any]] = {
    "goal": goal_rows,
    "recovery": recovery_rows,
    "stale-work": stale_work_rows,
}
"""Our machines by the names that diagrams use, and what reads their rows."""
TABLES: Final[Mapping[str, Any]] = {**OURS, "continuation": continuation_rows}
"""The tables that decide: our machines, and the order of guards, in which nothing moves."""


def plain_rows(rows: Iterable[Any]) -> tuple[TableRow, ...]:
    """Return rows that have ``trigger``, ``source``, ``dest`` and ``when``; see `TableRow`."""
    made: list[TableRow] = []
    for row in rows:
        try:
            trigger, source, dest = row.trigger, row.source, row.dest
        except AttributeError as error:
            raise MachineUnknown(f"{row!r} is no row of a machine") from error
        when = getattr(row, "guards", None) or getattr(row, "when", None)
        guards = () if when is None else (when,) if isinstance(when, str) else tuple(when)
        made.append(TableRow(trigger, source, source if dest is None else dest, guards))
    return tuple(made)
