"""What a live machine does in a state on a trigger, for every outcome of its guards.

The machine itself is asked, so nested, parallel, queued, locked and asynchronous machines are
all read as they run. While it is asked, its guards answer as they are told, its callbacks and
its states' entry and exit are silent, and its models are left alone.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from transitions import MachineError

from goalfsm.diagram.live import (
    events_of,
    names_of_states,
    separator_of,
    state_name,
    states_of,
    telling,
    transitions_of,
)
from goalfsm.diagram.ours.table_rows import Names, TableRow, is_automatic, rows_of
from goalfsm.testing.loop import VirtualLoop

if TYPE_CHECKING:
    from transitions import Machine

_MISSING = object()


class Outcome(NamedTuple):
    """What happened: the answers that guards gave, the rows that fired, the state after it."""

    guards: tuple[tuple[str, bool], ...]
    rows: tuple[TableRow, ...]
    state: Any


class Probe:
    """What a machine is asked with in place of a model."""


class Explorer:
    """Asks one machine what its triggers do in its states."""

    def __init__(self, machine: Machine, *, auto: bool = False) -> None:
        """Ask ``machine``; ``auto``: also on the triggers that the library added."""
        self.machine = machine
        self.names = Names()
        self.rows = rows_of(machine, self.names, auto=auto)
        self.triggers = _triggers(machine, auto=auto)
        self._fired: list[TableRow] = []
        self._answer: Callable[[str], bool] = lambda _: True

    def initial(self, state: Any = None) -> Any:
        """Return the state that the machine starts in, or enters for ``state``."""
        machine: Any = self.machine
        start = machine.initial if state is None else state
        if start is None:
            return None
        resolve = getattr(machine, "_resolve_initial", None)
        if resolve is not None and not isinstance(start, list):
            start = resolve([], state_name(start).split(separator_of(machine)))
        probe = Probe()
        machine.set_state(start, probe)
        return getattr(probe, machine.model_attribute)

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Keep the machine silent while it is asked."""
        with contextlib.ExitStack() as undo:
            _mute(self.machine, undo)
            for transition in _transitions(self.machine):
                _override(transition, "execute", self._noting(transition), undo)
                for condition in transition.conditions:
                    _override(condition, "check", self._check(condition), undo)
            yield

    def outcomes(self, state: Any, trigger: str) -> Iterator[Outcome]:
        """Yield what ``trigger`` does in ``state``, once for each way that guards can answer."""
        pending: list[dict[str, bool]] = [{}]
        while pending:
            told = pending.pop()
            asked: dict[str, bool] = {}

            def answer(
                name: str, told: dict[str, bool] = told, asked: dict[str, bool] = asked
            ) -> bool:
                if name not in asked:
                    if name not in told:
                        pending.append({**asked, name: False})
                    asked[name] = told.get(name, True)
                return asked[name]

            self._answer = answer
            self._fired = []
            after = self._fire(state, trigger)
            yield Outcome(tuple(asked.items()), tuple(self._fired), after)

    def _fire(self, state: Any, trigger: str) -> Any:
        machine: Any = self.machine
        probe = Probe()
        attribute = machine.model_attribute
        setattr(probe, attribute, state)
        graphs = getattr(machine, "model_graphs", None)
        if graphs is not None:
            graphs[id(probe)] = _NoGraph()
        try:
            # A trigger that does not fit the state is an outcome as well.
            with contextlib.suppress(MachineError):
                fired = trigger_on(machine, probe, trigger)
                if inspect.isawaitable(fired):
                    _finish(fired)
        finally:
            if graphs is not None:
                graphs.pop(id(probe), None)
            getattr(machine, "model_context_map", {}).pop(id(probe), None)
        return getattr(probe, attribute)

    def _noting(self, transition: Any) -> Callable[..., Any]:
        """Return what executes a transition and notes that its row has fired."""

        def note(_event_data: Any) -> None:
            if (row := self.rows.get(id(transition))) is not None:
                self._fired.append(row)

        return telling(transition.execute, note)

    def _ask(self, name: str) -> bool:
        return self._answer(name)

    def _check(self, condition: Any) -> Callable[[Any], Any]:
        return answering(condition, self._ask, self.names)


def _transitions(machine: Any) -> Iterator[Any]:
    """Yield every transition of a machine, those inside nested states included."""
    for _, event in events_of(machine):
        yield from transitions_of(event)


def trigger_on(machine: Any, model: Any, trigger: str, **arguments: Any) -> Any:
    """Fire ``trigger`` on ``model``; an asynchronous machine gives something to await."""
    if hasattr(machine, "trigger_event"):
        return machine.trigger_event(model, trigger, **arguments)
    return machine.events[trigger].trigger(model, **arguments)


def answering(condition: Any, answer: Callable[[str], bool], names: Names) -> Callable[[Any], Any]:
    """Return what stands in for a condition's check: ``answer`` says what its guard returns."""
    name, target = names.of(condition.func), bool(condition.target)

    def check(_event_data: Any) -> bool:
        return answer(name) == target

    async def check_later(event_data: Any) -> bool:
        return check(event_data)

    return check_later if inspect.iscoroutinefunction(type(condition).check) else check


@contextlib.contextmanager
def forced(machine: Machine, guards: Mapping[str, bool]) -> Iterator[None]:
    """Have the guards of a machine answer as told, by name; others answer by themselves."""
    names = Names()
    rows_of(machine, names, auto=True)
    with contextlib.ExitStack() as undo:
        for transition in _transitions(machine):
            for condition in transition.conditions:
                if names.of(condition.func) in guards:
                    _override(
                        condition, "check", answering(condition, guards.__getitem__, names), undo
                    )
        yield


def _triggers(machine: Any, *, auto: bool) -> tuple[str, ...]:
    known = names_of_states(machine)
    names = dict.fromkeys(event.name for _, event in events_of(machine))
    return tuple(n for n in names if auto or not is_automatic(machine, n, known))


def _mute(machine: Any, undo: contextlib.ExitStack) -> None:
    """Have no callback called, neither of the machine nor of its states."""
    later = inspect.iscoroutinefunction(type(machine).callbacks)
    nothing = _nothing_later if later else _nothing
    for name in ("callbacks", "callback"):
        _override(machine, name, nothing, undo)
    for _, state in states_of(machine.states.values()):
        enters_later = inspect.iscoroutinefunction(type(state).enter)
        for name in ("enter", "exit"):
            _override(state, name, _nothing_later if enters_later else _nothing, undo)


def _override(holder: Any, name: str, value: Any, undo: contextlib.ExitStack) -> None:
    """Set an attribute on one object, until ``undo`` is left."""
    before = vars(holder).get(name, _MISSING)
    vars(holder)[name] = value

    def restore() -> None:
        if before is _MISSING:
            vars(holder).pop(name, None)
        else:
            vars(holder)[name] = before

    undo.callback(restore)


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """Do nothing."""


async def _nothing_later(*_args: Any, **_kwargs: Any) -> None:
    """Do nothing, as a coroutine."""


def _finish(awaitable: Any) -> None:
    async def main() -> None:
        await awaitable

    loop = VirtualLoop()
    try:
        loop.run(main())
    finally:
        loop.close()


class _NoGraph(defaultdict[str, Any]):
    """Stands for the graph of a model that nobody draws."""

    def __init__(self) -> None:
        super().__init__()

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return something that does nothing, whatever is asked of the graph."""
        return _nothing
