"""How a firing row makes itself known, without a line of it in the code that fires rows.

Our four pure functions get another body while somebody watches: it calls their own with a table
whose guards tell of the row that they let through. A function keeps its identity, so it does not
matter who has imported it, or when. Machines of ``transitions`` tell through the one method that
executes transitions. A body is exchanged in one step, so that threads of the operating system which
decide meanwhile decide what they would; an observer is told of their rows as well.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType, MappingProxyType
from typing import Any, Protocol

import msgspec

from goalfsm.diagram.ours.table_rows import (
    TableRow,
    continuation_rows,
    recovery_rows,
    stale_work_rows,
)
from goalfsm.goal import transition as goal_transition
from goalfsm.goal.compiler import ABSENT, Compiled
from goalfsm.goal.machine import GoalMachine, default_machine
from goalfsm.goal.model import ACTIVE
from goalfsm.goal.transition import Plan, RuntimeAccounting, Set
from goalfsm.session import continuation
from recovery import machine as recovery
from recovery import stale_work


class Observer(Protocol):
    """Who is told of rows."""

    def on_goal_row(self, machine: GoalMachine | None, row: TableRow) -> None:
        """Take note of a row of a goal machine; None is the default one."""

    def on_row(self, name: str, row: TableRow) -> None:
        """Take note of a row of one of our other machines."""

    def on_transition(self, machine: Any, transition: Any) -> None:
        """Take note of a transition that a live machine executed."""


_observers: list[Observer] = []
_installed = contextlib.ExitStack()
_coming_and_going = threading.Lock()


@contextlib.contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Tell ``observer`` of every row that fires while inside."""
    with _coming_and_going:
        if not _observers:
            _install()
        _observers.append(observer)
    try:
        yield
    finally:
        with _coming_and_going:
            _observers.remove(observer)
            if not _observers:
                _installed.close()


def _install() -> None:
    _recording.clear()
    _replace_body(goal_transition.plan, _plan)
    _replace_body(recovery._move, _move)  # noqa: SLF001  the one place where phases move
    _replace_body(stale_work.reduce, _reduce)
    _replace_body(continuation.decide, _decide)
    _observe_transitions()


# The goal machine.

_recording: dict[int, tuple[GoalMachine, GoalMachine]] = {}
"""By the id of a machine: that machine, so that its id stays its own, and its recording copy."""


def _plan(own: Callable[..., Any]) -> Callable[..., Any]:
    def plan(goal: Any, request: Any, now: int, machine: GoalMachine | None = None) -> Any:
        machine = machine or default_machine()
        outcome = own(goal, request, now, _recorded(machine))
        if isinstance(outcome, Plan):
            _note_stored(machine, goal, request)
        return outcome

    return plan


def _recorded(machine: GoalMachine) -> GoalMachine:
    known = _recording.get(id(machine))
    if known is None:
        table = {
            key: tuple(_telling(machine, row) for row in rows)
            for key, rows in machine.table.items()
        }
        copy = msgspec.structs.replace(machine, table=MappingProxyType(table))
        known = _recording[id(machine)] = (machine, copy)
        # What plans for itself hands the copy on.
        _recording[id(copy)] = (copy, copy)
    return known[1]


def _telling(machine: GoalMachine, row: Compiled) -> Compiled:
    """Return a row whose guard tells when it lets the row fire."""
    own = row.guard
    guards = () if row.guard_name is None else (row.guard_name,)
    fired = TableRow(row.trigger, row.source, row.dest, guards)

    def guard(goal: Any) -> bool:
        if own is not None and not own(goal):
            return False
        _tell_goal(machine, fired)
        return True

    return msgspec.structs.replace(row, guard=guard)


def _note_stored(machine: GoalMachine, goal: Any, request: Any) -> None:
    """Note the rows of goals that were decided elsewhere and are only stored by a plan."""
    status = ABSENT if goal is None else goal.status
    match request:
        case Set(next_goal=after) if goal is None or goal.goal_id != after.goal_id:
            trigger, dest = "create" if goal is None else "replace", after.status
            if dest != ACTIVE:
                return
        case RuntimeAccounting(next_goal=after):
            trigger, dest = "account", after.status
        case _:
            return
    for row in machine.table.get((status, trigger), ()):
        if row.dest == dest:
            guards = () if row.guard_name is None else (row.guard_name,)
            _tell_goal(machine, TableRow(trigger, status, dest, guards))
            return


def _tell_goal(machine: GoalMachine, row: TableRow) -> None:
    default = machine is default_machine()
    for observer in tuple(_observers):
        observer.on_goal_row(None if default else machine, row)


# The recovery machine and the stale-work reducer.


def _move(own: Callable[..., Any]) -> Callable[..., Any]:
    rows = {(row.trigger, row.source): row for row in recovery_rows()}
    table = MappingProxyType(
        {
            key: step._replace(when=_noting("recovery", rows[key], step.when))
            for key, step in recovery.TABLE.items()
        }
    )

    def move(state: Any, trigger: Any, given: Any) -> Any:
        return own(state, trigger, table if given is recovery.TABLE else given)

    return move


def _reduce(own: Callable[..., Any]) -> Callable[..., Any]:
    rows = _in_order(stale_work_rows())
    telling = MappingProxyType(
        {
            (state, event): tuple(
                step._replace(when=_noting("stale-work", row, step.when))
                for step, row in zip(steps, rows[_tag(event), _tag(state)], strict=True)
            )
            for (state, event), steps in stale_work.TABLE.items()
        }
    )

    def reduce(state: Any, event: Any, *, table: Any = stale_work.TABLE) -> Any:
        return own(state, event, table=telling if table is stale_work.TABLE else table)

    return reduce


def _in_order(rows: Iterable[TableRow]) -> dict[tuple[str, str], list[TableRow]]:
    found: dict[tuple[str, str], list[TableRow]] = {}
    for row in rows:
        found.setdefault((row.trigger, row.source), []).append(row)
    return found


def _tag(kind: Any) -> str:
    return str(kind.__struct_config__.tag)


def _noting(name: str, row: TableRow, when: Callable[..., bool] | None) -> Callable[..., bool]:
    def holds(*looked_at: Any) -> bool:
        if when is not None and not when(*looked_at):
            return False
        for observer in tuple(_observers):
            observer.on_row(name, row)
        return True

    return holds


# The order of decisions.


def _decide(own: Callable[..., Any]) -> Callable[..., Any]:
    rows = {row.trigger: row for row in continuation_rows()}

    def decide(situation: Any, guards: Any = continuation.GUARDS) -> Any:
        verdict = own(situation, guards)
        if guards is continuation.GUARDS:
            for observer in tuple(_observers):
                observer.on_row("continuation", rows[verdict.guard])
        return verdict

    return decide


# Machines of the library.


def _observe_transitions() -> None:
    from transitions import Transition  # noqa: PLC0415  only when somebody watches
    from transitions.extensions.asyncio import AsyncTransition  # noqa: PLC0415

    for kind in (Transition, AsyncTransition):
        own = kind.execute
        setattr(kind, "execute", _executing(own))  # noqa: B010  another method, undone below
        _installed.callback(setattr, kind, "execute", own)


def _executing(own: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(own)
    def execute(transition: Any, event_data: Any) -> Any:
        done = own(transition, event_data)
        if inspect.isawaitable(done):
            return later(transition, event_data, done)
        if done:
            tell(transition, event_data)
        return done

    async def later(transition: Any, event_data: Any, awaitable: Any) -> Any:
        done = await awaitable
        if done:
            tell(transition, event_data)
        return done

    def tell(transition: Any, event_data: Any) -> None:
        for observer in tuple(_observers):
            observer.on_transition(event_data.machine, transition)

    return execute


# Functions.

_STAND_IN = "what a replaced body calls"


def _body(*args: Any, **options: Any) -> Any:
    call: Any = "what a replaced body calls"
    return call(*args, **options)


def _replace_body(
    function: Any, stand_in: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    """Have ``stand_in(own)`` run in place of a function, for all who hold it."""
    code = function.__code__
    own = FunctionType(
        code,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    own.__kwdefaults__ = function.__kwdefaults__
    # The body holds what it calls as its constant: nothing has to be looked up where it runs, and
    # whoever is inside when it is taken away still finds it.
    call = stand_in(own)
    constants = tuple(call if one == _STAND_IN else one for one in _body.__code__.co_consts)
    function.__code__ = _body.__code__.replace(co_consts=constants)
    _installed.callback(setattr, function, "__code__", code)
