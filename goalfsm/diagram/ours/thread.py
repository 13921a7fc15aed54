"""Where a real thread is in a machine of ours, and the way it took there, from its journal.

The way through the machines that decide is found by deciding the journal again while somebody
writes down which of their rows are taken. The way of runs is what the journal proves of them, see
`goalfsm.diagram.ours.run_path`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec

from goalfsm.daemon.flow.replay import journal_of, replayed
from goalfsm.diagram.model import Diagram, DiagramError
from goalfsm.diagram.ours.machines import named, of_goal_machine
from goalfsm.diagram.ours.observing import observed_by
from goalfsm.diagram.ours.run_path import NOWHERE, RunPath, Step
from goalfsm.diagram.render import with_path
from goalfsm.goal.compiler import Compiled
from goalfsm.goal.machine import GoalMachine, default_machine
from goalfsm.goal.model import ABSENT, ACTIVE, LIMITED, Goal
from goalfsm.session import codec
from goalfsm.session.continuation import OTHERWISE
from goalfsm.session.state import Session
from goalfsm.session.thread import ReplayError
from recovery import stale_work

if TYPE_CHECKING:
    from goalfsm.diagram.ours.table_rows import TableRow
    from goalfsm.store.reading import Reading

SHOWN: Final = ("goal", "recovery", "stale-work", "continuation", "run")
"""The machines of ours that a thread is in."""
_PAGE: Final = 1_000


def of_thread(
    name: str, store: Reading, thread_id: str, *, machine: GoalMachine | None = None
) -> Diagram:
    """Return our machine ``name`` with where the thread is, and how often it took which edge.

    ``machine`` is the goal machine that its engine runs, if not ours. Nothing is written, and an
    engine in the same process goes on as it would. Raises ``DiagramError`` for another name, for a
    thread that the store does not have, and for a journal that begins under other rules or that
    the machine does not give again; ``run`` needs no rules.
    """
    if name not in SHOWN:
        raise DiagramError(
            f"a thread cannot be shown in {name!r}", hint=f"use one of {', '.join(SHOWN)}"
        )
    stored = store.sessions.load(thread_id)
    if stored is None:
        raise DiagramError(f"there is no thread {thread_id!r}", hint="goalfsm status --all")
    session = codec.decode(stored.state)
    rules = machine or default_machine()
    match name:
        case "goal":
            return _goal(store, thread_id, session, rules)
        case "continuation":
            return _decisions(store, thread_id)
        case "run":
            return _run(store, thread_id, session)
        case "recovery":
            return _observed(name, session.recovery.phase, store, thread_id, session, rules)
        case _:
            return _observed(name, _stale_state(session), store, thread_id, session, rules)


def _now(name: str, *states: str) -> Diagram:
    drawn = named(name)
    assert isinstance(drawn, Diagram)  # noqa: S101  only the sequence is none
    return msgspec.structs.replace(drawn, highlight=states)


def _stale_state(session: Session) -> str:
    states = {kind: state for state, kind in stale_work.STATES.items()}
    return states[type(session.stale)]


def _run(store: Reading, thread_id: str, session: Session) -> Diagram:
    """Return a run's life with the way of the thread's runs, and where the last one is."""
    path = RunPath()
    for row in journal_of(store, thread_id):
        path.take(codec.decode_event(row.event), row.epoch)
    run = session.run
    if run is not None:
        if store.drivers.runs(thread_id, run.run_id):
            path.running()
    elif session.continuation.queued is not None or session.wind_down == "owed":
        path.wanted()
    walked = with_path(_now("run"), path.steps)
    return msgspec.structs.replace(walked, highlight=() if path.at == NOWHERE else (path.at,))


def _decisions(store: Reading, thread_id: str) -> Diagram:
    """Return the decision order with the ways that decisions took, the last one's end marked."""
    drawn = _now("continuation")
    kinds = {node.name: node.kind for node in drawn.states}
    follows = {edge.source: edge.dest for edge in drawn.edges if edge.trigger == "no"}
    outcomes = {edge.source: edge.dest for edge in drawn.edges if edge.trigger == "yes"}
    steps: list[Step] = []
    for row in journal_of(store, thread_id):
        if row.decision is None:
            continue
        decision = codec.decode_decision(row.decision)
        if decision.decision == "refused":
            continue
        guard = decision.guard
        way: list[Step] = []
        at = drawn.initial[0]
        while kinds[at] == "decision" and at != guard:
            way.append((at, "no", follows[at]))
            at = follows[at]
        if at == guard:
            way.append((at, "yes", outcomes[at]))
        # A guard that is not in this order any more decided nothing that can be shown.
        if guard in {at, OTHERWISE.guard}:
            steps += way
    return with_path(drawn, steps)


class _Steps:
    """Keeps which rows of one machine fire in this thread of the operating system."""

    def __init__(self, name: str) -> None:
        self.taken: list[Step] = []
        self._name = name
        self._here = threading.get_ident()

    def on_row(self, name: str, row: TableRow) -> None:
        # An engine may decide in another one meanwhile.
        if name == self._name and threading.get_ident() == self._here:
            self.taken.append((row.source, row.trigger, row.dest))

    def on_goal_row(self, machine: GoalMachine | None, row: TableRow) -> None:
        """Leave it: of the goal machine also rows are told that are only asked about."""

    def on_transition(self, machine: Any, transition: Any) -> None:
        """Leave it: it is no machine of ours."""


def _observed(  # noqa: PLR0913, PLR0917  what a way is found from
    name: str, at: str, store: Reading, thread_id: str, session: Session, machine: GoalMachine
) -> Diagram:
    """Return a machine with the way that the thread took through it, and where it is: ``at``.

    An engine that takes a thread over lets go of stale work: that is no row, so none is counted.
    """
    steps = _Steps(name)
    with observed_by(steps):
        for _ in _replayed(store, thread_id, session, machine, show=f"{name} --highlight {at}"):
            pass
    return msgspec.structs.replace(with_path(_now(name), steps.taken), highlight=(at,))


def _replayed(
    store: Reading, thread_id: str, last: Session, machine: GoalMachine, *, show: str
) -> Iterator[tuple[Session, Session]]:
    """Decide the journal again; yield the session before and after every event.

    ``show`` is what draws the place alone: the advice where the journal cannot be decided again.
    """
    try:
        for _, before, ready in replayed(store, thread_id, last, machine):
            yield before, ready.state
    except ReplayError as error:
        if error.code == "state_differs":
            raise DiagramError(
                f"the journal of {thread_id!r} does not give its states again",
                hint="pass the goal machine that its engine runs to of_thread(), or draw where it "
                f"is now: goalfsm diagram {show}",
            ) from error
        raise DiagramError(
            f"the journal of {thread_id!r} was written under other rules",
            hint=f"draw where it is now: goalfsm diagram {show}",
        ) from error


def _goal(store: Reading, thread_id: str, session: Session, machine: GoalMachine) -> Diagram:
    """Return the goal machine with the way that the thread's goals took through it."""
    walked = with_path(of_goal_machine(machine), _goal_steps(store, thread_id, session, machine))
    return msgspec.structs.replace(walked, highlight=(_status(session.goal),))


def _goal_steps(
    store: Reading, thread_id: str, last: Session, machine: GoalMachine
) -> Iterator[Step]:
    """Yield the rows of the goal machine that the thread's events took, in order."""
    taken: list[Compiled] = []
    watched = msgspec.structs.replace(machine, table=_watched(machine, taken.append))
    show = f"goal --highlight {_status(last.goal)}"
    for before, after in _replayed(store, thread_id, last, watched, show=show):
        yield from _steps(before.goal, after.goal, taken, machine)
        taken.clear()


def _watched(
    machine: GoalMachine, take: Callable[[Compiled], None]
) -> Mapping[tuple[str, str], tuple[Compiled, ...]]:
    """Return the machine's table with guards that tell ``take`` which row is taken."""

    def watch(row: Compiled) -> Compiled:
        def holds(goal: Goal) -> bool:
            held = row.guard is None or row.guard(goal)
            if held:
                take(row)
            return held

        return msgspec.structs.replace(row, guard=holds)

    return MappingProxyType(
        {key: tuple(watch(row) for row in rows) for key, rows in machine.table.items()}
    )


def _steps(
    before: Goal | None, after: Goal | None, taken: list[Compiled], machine: GoalMachine
) -> Iterator[Step]:
    """Yield what one event did to the goal: rows that lead on from each other to its status."""
    at, end = _status(before), _status(after)
    if before is None or after is None or before.goal_id != after.goal_id:
        if before is not None or after is not None:
            trigger = "clear" if after is None else "create" if before is None else "replace"
            yield at, trigger, end
        return
    # A charge is no request: what it did shows in the goal alone.
    if _usage(before) != _usage(after) and (at, "account") in machine.table:
        crossed = at == ACTIVE and end == LIMITED and not taken
        dest = end if crossed else at
        yield at, "account", dest
        at = dest
    for row in taken:
        # A row that was asked about only, to see whether it would do, leads nowhere.
        if row.source == at and _leads_to(row, taken, end):
            yield at, row.trigger, row.dest
            at = row.dest


def _leads_to(row: Compiled, taken: list[Compiled], end: str) -> bool:
    return row.dest == end or any(
        later.source == row.dest for later in taken[taken.index(row) + 1 :]
    )


def _usage(goal: Goal) -> tuple[float, ...]:
    return goal.tokens_used, goal.active_seconds, goal.cost_used


def _status(goal: Goal | None) -> str:
    return ABSENT if goal is None else goal.status
