"""Who looks on while rows fire: our machines tell of theirs, and so do those of ``transitions``.

Ours tell whoever is in `recovery.observers.OBSERVERS`, which is nobody as long as nobody looks on.
Machines of ``transitions`` tell through the one method that executes transitions. Threads of the
operating system that decide meanwhile decide what they would; an observer is told of their rows as
well.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Iterator
from typing import Any, Protocol

from goalfsm.diagram.live import telling
from goalfsm.diagram.ours.table_rows import TableRow, continuation_rows, plain_rows
from goalfsm.goal.compiler import Compiled
from goalfsm.goal.machine import GoalMachine, default_machine
from goalfsm.session import continuation
from recovery import machine as recovery
from recovery import stale_work
from recovery.observers import OBSERVERS


class Observer(Protocol):
    """An observer of rows: it is called with each row that fires."""

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
    _decisions()  # asks each guard: before anybody is told what they answer
    OBSERVERS.append(_fired)
    _installed.callback(OBSERVERS.remove, _fired)
    _observe_transitions()


# Our machines.


def _fired(table: object, row: Any) -> None:
    """Hand a row on in the terms of tables; other tables than ours count for no machine."""
    if isinstance(table, GoalMachine):
        _fired_goal(table, row)
    elif table is recovery.TABLE:
        _fired_row("recovery", *plain_rows((row,)))
    elif table is stale_work.TABLE:
        _fired_row("stale-work", *plain_rows((row,)))
    elif table is continuation.GUARDS:
        _fired_row("continuation", _decisions()[row.guard])


def _fired_goal(machine: GoalMachine, row: Compiled) -> None:
    guards = () if row.guard_name is None else (row.guard_name,)
    fired = TableRow(row.trigger, row.source, row.dest, guards)
    for observer in tuple(_observers):
        observer.on_goal_row(None if machine is default_machine() else machine, fired)


def _fired_row(name: str, row: TableRow) -> None:
    for observer in tuple(_observers):
        observer.on_row(name, row)


@functools.cache
def _decisions() -> dict[str, TableRow]:
    """Return the rows of the order of decisions by the guard that decides."""
    return {row.trigger: row for row in continuation_rows()}


# Machines of the library.


def _observe_transitions() -> None:
    from transitions import Transition  # noqa: PLC0415  only when somebody watches
    from transitions.extensions.asyncio import AsyncTransition  # noqa: PLC0415

    for kind in (Transition, AsyncTransition):
        own = kind.execute
        setattr(kind, "execute", telling(own, _executed))  # noqa: B010  undone below
        _installed.callback(setattr, kind, "execute", own)


def _executed(transition: Any, event_data: Any) -> None:
    for observer in tuple(_observers):
        observer.on_transition(event_data.machine, transition)
