"""Rows of named guards and effects, built into a ``transitions.Machine``, compiled to a lookup.

``build()`` gives rows to ``transitions`` and ``compile_machine()`` walks the live machine, so that
what runs, what is drawn and what is tested is one thing. What the rows mean is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from goalfsm.errors import GoalError
from goalfsm.goal.model import ABSENT

if TYPE_CHECKING:
    from transitions import Machine

    from goalfsm.goal.model import Goal


Guard = Callable[["Goal"], bool]


class Row(NamedTuple):
    """One transition of the table. ``dest`` None keeps the status and fires no entry effect."""

    trigger: str
    source: str
    dest: str | None
    when: str | None = None
    actions: tuple[str, ...] = ()
    reason: str = ""


class MachineError(GoalError):
    """A machine definition is inconsistent; nothing was compiled."""

    code = "machine_invalid"


class Check:
    """A named guard in the form that ``transitions`` calls."""

    __slots__ = ("guard", "name")

    def __init__(self, name: str, guard: Guard) -> None:
        self.name = name
        self.guard = guard

    def __call__(self, goal: Goal, _effects: list[str] | None = None) -> bool:
        """Return the guard's answer."""
        return self.guard(goal)


class Emit:
    """A named effect in the form that ``transitions`` calls: it writes its name down."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, _goal: Goal, effects: list[str] | None = None) -> None:
        """Append the effect's name where the caller collects them."""
        if effects is not None and self.name not in effects:
            effects.append(self.name)


class Compiled(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the compiled table: guards are ready to call, effects are complete."""

    trigger: str
    source: str
    dest: str
    persist: Literal["set", "clear", "skip"]
    guard: Guard | None
    guard_name: str | None
    effects: tuple[str, ...]
    reason: str


Table = Mapping[tuple[str, str], tuple[Compiled, ...]]
"""What may happen, by status and trigger; the first row whose guard holds is taken."""


def build_machine(
    rows: Iterable[Row],
    states: tuple[str, ...],
    *,
    guards: Mapping[str, Guard],
    effects: frozenset[str],
    on_enter: Mapping[str, tuple[str, ...]],
) -> Machine:
    """Build the ``transitions.Machine`` of ``rows`` between ``ABSENT`` and ``states``.

    It has no model. Raises ``MachineError`` for an unknown status, guard or effect.
    """
    from transitions import Machine, State  # noqa: PLC0415  import goalfsm stays light

    known = (ABSENT, *states)
    for effect in [name for names in on_enter.values() for name in names if name not in effects]:
        raise MachineError(f"unknown effect {effect!r} on entry", hint="register the effect's name")
    for status in set(on_enter) - set(states):
        raise MachineError(
            f"unknown status {status!r} on entry", hint=f"use one of {', '.join(states)}"
        )
    machine = Machine(
        model=None,
        states=[
            State(name, on_enter=[Emit(effect) for effect in on_enter.get(name, ())])
            for name in known
        ],
        initial=ABSENT,
        auto_transitions=False,
        send_event=False,
    )
    for row in rows:
        _check_row(row, known, guards, effects)
        machine.add_transition(
            row.trigger,
            row.source,
            row.dest,
            conditions=[Check(row.when, guards[row.when])] if row.when else None,
            before=[Emit(effect) for effect in row.actions],
        )
        added: Any = machine.events[row.trigger].transitions[row.source][-1]
        added.reason = row.reason
    return machine


def _check_row(
    row: Row, known: tuple[str, ...], guards: Mapping[str, Guard], effects: frozenset[str]
) -> None:
    for state in (row.source, row.dest):
        if state is not None and state not in known:
            raise MachineError(
                f"{row.trigger}: unknown status {state!r}", hint=f"use one of {', '.join(known)}"
            )
    if row.when is not None and row.when not in guards:
        raise MachineError(f"{row.trigger}: unknown guard {row.when!r}", hint="register the guard")
    for effect in row.actions:
        if effect not in effects:
            raise MachineError(
                f"{row.trigger}: unknown effect {effect!r}", hint="register the effect's name"
            )


def compile_machine(machine: Machine, *, finals: frozenset[str]) -> Table:
    """Walk a live machine into its table, which nobody changes afterwards.

    Raises ``MachineError`` for what ``transitions`` accepts in silence: unreachable states, trap
    states outside ``finals`` and rows that an earlier unguarded row hides.
    """
    table: dict[tuple[str, str], tuple[Compiled, ...]] = {}
    reached: dict[str, set[str]] = {name: set() for name in machine.states}
    for trigger, event in machine.events.items():
        for source, candidates in event.transitions.items():
            compiled: list[Compiled] = []
            for transition in candidates:
                if compiled and compiled[-1].guard is None:
                    raise MachineError(
                        f"{trigger} from {source}: a row is hidden by an unguarded row before it",
                        hint="give the earlier row a guard or put it last",
                    )
                compiled.append(_compile_row(machine, trigger, transition))
                reached[source].add(compiled[-1].dest)
            table[source, trigger] = tuple(compiled)
    _check_graph(str(machine.initial), reached, finals)
    # No read-only view: looking through one costs a twentieth of a transition.
    return table


def _compile_row(machine: Machine, trigger: str, transition: Any) -> Compiled:
    conditions = [condition.func for condition in transition.conditions]
    if len(conditions) > 1 or not all(isinstance(check, Check) for check in conditions):
        raise MachineError(
            f"{trigger}: a row has one named guard at most", hint="combine the guards"
        )
    check = conditions[0] if conditions else None
    enters = transition.dest is not None
    dest = transition.dest if enters else transition.source
    marks = [*transition.before, *(machine.states[dest].on_enter if enters else ())]
    effects = tuple(dict.fromkeys(mark.name for mark in marks))
    return Compiled(
        trigger=trigger,
        source=transition.source,
        dest=dest,
        persist="skip" if not enters else "clear" if dest == ABSENT else "set",
        guard=check.guard if check else None,
        guard_name=check.name if check else None,
        effects=effects,
        reason=transition.reason,
    )


def _check_graph(initial: str, reached: Mapping[str, set[str]], finals: frozenset[str]) -> None:
    seen = {initial}
    frontier = [initial]
    while frontier:
        for dest in reached[frontier.pop()] - seen:
            seen.add(dest)
            frontier.append(dest)
    if lost := sorted(set(reached) - seen):
        raise MachineError(f"no path leads to {', '.join(lost)}", hint="add a row that enters it")
    traps = sorted(s for s, dests in reached.items() if dests <= {s} and s not in finals)
    if traps:
        raise MachineError(f"no row leaves {', '.join(traps)}", hint="add one or name it final")
