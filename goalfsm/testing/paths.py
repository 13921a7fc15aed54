"""The shortest path to every row of a machine, as test cases.

A path is a row of triggers from the initial state, each with the outcome of the guards that are
asked on the way: following it fires its last row and no shorter path does. So a test that is run
for each path has been to every corner of the machine, and each case is as small as can be.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from goalfsm.diagram.live import state_name
from goalfsm.diagram.ours.table_rows import OURS, MachineUnknown, TableRow, plain_rows
from goalfsm.errors import GoalError

if TYPE_CHECKING:
    import pytest
    from transitions import Machine

_NOT: Final = "not "
_UNREACHABLE: Final = ("refuse", "skip")
MOST_STATES: Final = 20_000
"""How many states, or combinations of parallel ones, are visited at most."""


class Unreachable(GoalError, AssertionError):
    """No path leads to some rows."""

    code = "unreachable"
    hint = "remove them, or pass unreachable='skip'; auto=True also follows to_STATE triggers"


class TooManyStates(GoalError):
    """The machine has more combinations of states than are worth visiting."""

    code = "too_many_states"
    hint = "split the machine, or take paths of its parts"


class WentAstray(AssertionError):
    """The machine did something else than the path says."""


class Step(NamedTuple):
    """One trigger on a path; ``guards`` are the answers that were needed, by name, in order."""

    trigger: str
    source: str
    dest: str
    guards: tuple[tuple[str, bool], ...] = ()

    def __str__(self) -> str:
        """Return the step in words."""
        told = ", ".join(name if holds else f"not {name}" for name, holds in self.guards)
        return f"{self.trigger}{f' [{told}]' if told else ''} -> {self.dest}"


class Path(NamedTuple):
    """The shortest way to fire ``row``: its last step does."""

    row: TableRow
    initial: str
    steps: tuple[Step, ...]

    @property
    def id(self) -> str:
        """Return what a test case is called: its row."""
        return str(self.row).replace(" ", "")

    @property
    def triggers(self) -> tuple[str, ...]:
        """Return the triggers, in order."""
        return tuple(step.trigger for step in self.steps)

    def __str__(self) -> str:
        """Return the whole way in words."""
        return f"{self.initial}: {', '.join(map(str, self.steps))}"

    def walk(
        self,
        machine: Machine,
        model: Any = None,
        *,
        guards: bool = True,
        arguments: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Follow the path on a live machine with its callbacks, and return the model.

        ``model`` is the machine's own unless another is given, and has to be in the initial
        state. ``guards`` False lets the guards answer by themselves, for a test that arranges
        that they do; ``arguments`` are keyword arguments by trigger. An asynchronous machine
        gives a coroutine. Raises `WentAstray` where the machine does something else.
        """
        model = _model_of(machine) if model is None else model
        fired = self._fire_all(machine, model, guards, arguments or {})
        if _is_asynchronous(machine):
            return _walk_later(fired, model)
        for _ in fired:
            pass
        return model

    def _fire_all(
        self,
        machine: Any,
        model: Any,
        guards: bool,  # noqa: FBT001  walk() names it
        arguments: Mapping[str, Mapping[str, Any]],
    ) -> Iterable[Any]:
        from goalfsm.testing.exploring import forced, trigger_on  # noqa: PLC0415

        self._arrived(machine, model, self.initial, "the start")
        for step in self.steps:
            with forced(machine, dict(step.guards) if guards else {}):
                yield trigger_on(machine, model, step.trigger, **arguments.get(step.trigger, {}))
            self._arrived(machine, model, step.dest, str(step))

    def _arrived(self, machine: Any, model: Any, state: str, where: str) -> None:
        now = state_name(getattr(model, machine.model_attribute))
        if now != state:
            raise WentAstray(f"in {now}, not in {state}, after {where}; the path is {self}")


async def _walk_later(fired: Iterable[Any], model: Any) -> Any:
    for awaitable in fired:
        await awaitable
    return model


def _is_asynchronous(machine: Any) -> bool:
    return inspect.iscoroutinefunction(type(machine).callbacks)


def _model_of(machine: Any) -> Any:
    if len(machine.models) != 1:
        raise GoalError(
            f"the machine has {len(machine.models)} models",
            code="model_missing",
            hint="pass the model that the path is to be walked with",
        )
    return machine.models[0]


def paths_of(
    machine: Any, *, initial: Any = None, auto: bool = False, unreachable: str = "refuse"
) -> tuple[Path, ...]:
    """Return the shortest path to every row of a machine, in the order of its rows.

    ``machine`` is a ``transitions`` machine of any kind, a function or class that makes one, a
    `goalfsm.goal.machine.GoalMachine`, rows with ``trigger``, ``source``, ``dest`` and ``when``, or
    the name of one of ours: ``goal``, ``recovery``, ``stale-work``. ``initial`` is where paths
    begin, by default where the machine does. ``auto`` follows ``to_STATE`` triggers as well.
    Raises `Unreachable` for rows that no path leads to, unless ``unreachable`` is ``skip``, which
    leaves them out, and not ``refuse``.
    """
    from goalfsm.testing.exploring import Explorer  # noqa: PLC0415

    _check_unreachable(unreachable)
    explorer = Explorer(live_machine(machine), auto=auto)
    start = explorer.initial(initial)
    if start is None:
        raise GoalError(
            "the machine has no initial state", code="initial_missing", hint="pass initial="
        )
    first = state_name(start)
    found: dict[TableRow, Path] = {}
    ways: dict[str, tuple[Step, ...]] = {first: ()}
    frontier = deque([start])
    with explorer.asking():
        while frontier:
            state = frontier.popleft()
            here = state_name(state)
            for trigger in explorer.triggers:
                for outcome in explorer.outcomes(state, trigger):
                    if not outcome.rows:
                        continue
                    there = state_name(outcome.state)
                    way = (*ways[here], Step(trigger, here, there, outcome.guards))
                    for row in outcome.rows:
                        found.setdefault(row, Path(row, first, way))
                    if there not in ways:
                        ways[there] = way
                        frontier.append(outcome.state)
            if len(ways) > MOST_STATES:
                raise TooManyStates(f"more than {MOST_STATES} combinations of states")
    rows = dict.fromkeys(explorer.rows.values())
    lost = [row for row in rows if row not in found]
    if lost and unreachable != "skip":
        raise Unreachable("no path leads to " + "; ".join(map(str, lost)))
    return tuple(found[row] for row in rows if row in found)


def _check_unreachable(asked: str) -> None:
    if asked not in _UNREACHABLE:
        raise GoalError(
            f"unreachable={asked!r} is nothing that can be done with rows",
            code="option_invalid",
            hint=f"use one of {', '.join(_UNREACHABLE)}",
        )


def for_each_path(
    machine: Any, *, initial: Any = None, auto: bool = False, unreachable: str = "refuse"
) -> pytest.MarkDecorator:
    """Run a test once for each path of a machine; the test gets it as ``path``.

    See `paths_of` for the arguments.
    """
    import pytest  # noqa: PLC0415  only tests need it

    paths = paths_of(machine, initial=initial, auto=auto, unreachable=unreachable)
    return pytest.mark.parametrize("path", [pytest.param(path, id=path.id) for path in paths])


def live_machine(machine: Any) -> Machine:
    """Return a ``transitions`` machine for anything that `paths_of` takes."""
    from goalfsm.goal.machine import GoalMachine, build  # noqa: PLC0415  only where it is used

    if isinstance(machine, str) and machine in OURS:
        return _machine_of(OURS[machine]())
    if isinstance(machine, GoalMachine):
        return build(
            machine.rows, guards=machine.guards, effects=machine.effects, on_enter=machine.on_enter
        )
    if hasattr(machine, "events") and hasattr(machine, "states") and not isinstance(machine, type):
        made: Machine = machine
        return made
    if callable(machine):
        return _made(machine)
    if isinstance(machine, Iterable) and not isinstance(machine, str):
        return _machine_of(plain_rows(machine))
    raise MachineUnknown(f"{machine!r} is no machine")


def _made(factory: Callable[[], Any]) -> Machine:
    made = factory()
    if not (hasattr(made, "events") and hasattr(made, "states")):
        # A model often keeps its machine: look one step further.
        made = getattr(made, "machine", made)
    if not (hasattr(made, "events") and hasattr(made, "states")):
        raise MachineUnknown(f"{factory!r} makes {type(made).__name__}, which is no machine")
    machine: Machine = made
    return machine


def _machine_of(rows: Iterable[TableRow]) -> Machine:
    """Build a machine that begins where the first row does."""
    from transitions import Machine  # noqa: PLC0415

    rows = tuple(rows)
    if not rows:
        raise MachineUnknown("there are no rows")
    machine = Machine(
        model=None,
        states=list(dict.fromkeys(end for row in rows for end in (row.source, row.dest))),
        initial=rows[0].source,
        auto_transitions=False,
    )
    for row in rows:
        holds: list[Any] = [name for name in row.guards if not name.startswith(_NOT)]
        fails: list[Any] = [n.removeprefix(_NOT) for n in row.guards if n.startswith(_NOT)]
        machine.add_transition(row.trigger, row.source, row.dest, conditions=holds, unless=fails)
    return machine
