"""The stale-work reducer: cancel a turn whose queued work was superseded, and skip its ends.

Queued work of a goal that was replaced, paused or cleared can still enter a run. While a turn
is being prepared the reducer notes what enters it; at the last moment before the provider is
called (``ContextAbort``) it asks for an abort when *all* of it is stale. The host does not know
that the turn is pointless, so its terminal events still arrive: late, twice, out of order or
never. They are owed: each is skipped once, so that it is not taken for the end of other work.

``LIFECYCLE`` is the whole behaviour: ``reduce`` looks up the row to take and does what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec

from recovery.obligations import (
    IDLE,
    MAX_TRACKED,
    NOTHING_OWED,
    AbortingTurn,
    AgentEnd,
    AwaitingTerminalCleanup,
    Cleanup,
    ContextAbort,
    Event,
    Idle,
    ObservingTurn,
    Settlement,
    State,
    TurnEnd,
    age,
    owe,
    refuse_anonymous,
    settle_agent_end,
    settle_turn_end,
)
from recovery.observers import OBSERVERS, fired

EffectName: TypeAlias = Literal["clear_accounting", "abort", "refresh_ui"]


class Plan(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What to do about an event: ``skip`` its ordinary handling; do ``effects`` in order."""

    skip: bool = False
    effects: tuple[EffectName, ...] = ()


class Reduction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The next state, and the plan; None when the question was an abort and there is none."""

    state: State
    plan: Plan | None


PASS: Final = Plan()
"""Handle the event as if there were no stale work."""


class Row(NamedTuple):
    """One transition of the lifecycle; rows of one trigger and source are tried in order.

    ``when`` names a guard, ``update`` what becomes of observation and obligations (None: all
    stays), ``actions`` the effects that the caller performs, ``skip`` whether it skips the event.
    """

    trigger: str
    source: str
    dest: str
    when: str | None = None
    update: str | None = None
    actions: tuple[EffectName, ...] = ()
    skip: bool = False
    reason: str = ""


IDLE_NAME: Final = "idle"
OBSERVING: Final = "observing_turn"
ABORTING: Final = "aborting_turn"
AWAITING: Final = "awaiting_terminal_cleanup"

STATES: Final[Mapping[str, type[State]]] = MappingProxyType(
    {
        IDLE_NAME: Idle,
        OBSERVING: ObservingTurn,
        ABORTING: AbortingTurn,
        AWAITING: AwaitingTerminalCleanup,
    }
)


_Effects: TypeAlias = tuple[EffectName, ...]
_CLEAR: Final[_Effects] = ("clear_accounting",)
_REFRESH: Final[_Effects] = ("refresh_ui",)
_CLEAR_REFRESH: Final[_Effects] = ("clear_accounting", "refresh_ui")
_ASK_ABORT: Final[_Effects] = ("clear_accounting", "abort", "refresh_ui")

LIFECYCLE: Final[tuple[Row, ...]] = (
    Row("runnable_work_started", IDLE_NAME, OBSERVING, update="note_runnable",
        reason="Work that may run entered the turn."),
    Row("runnable_work_started", AWAITING, OBSERVING, update="note_runnable",
        reason="Work that may run entered a later turn."),
    Row("runnable_work_started", OBSERVING, OBSERVING, "no_runnable_yet", "note_runnable",
        reason="One runnable message makes the whole turn worth running."),
    Row("stale_work_started", IDLE_NAME, OBSERVING, update="note_stale",
        reason="Superseded work entered the turn."),
    Row("stale_work_started", AWAITING, OBSERVING, update="note_stale",
        reason="Superseded work entered a later turn."),
    Row("stale_work_started", OBSERVING, OBSERVING, "unseen_goal", "note_stale",
        reason="Work of one more superseded goal entered the turn."),
    Row("context_abort", OBSERVING, ABORTING, "all_stale", "owe", _ASK_ABORT,
        reason="All that entered the turn is stale: it must not reach the provider."),
    Row("context_abort", OBSERVING, AWAITING, "owes", "refuse_anonymous",
        reason="The turn runs: from here an end that names no goal may be its own."),
    Row("context_abort", ABORTING, ABORTING, actions=_ASK_ABORT,
        reason="The host went on in spite of the abort: ask again."),
    Row("turn_start", OBSERVING, IDLE_NAME, "owes_nothing",
        reason="The observed turn is over and nothing is owed."),
    Row("turn_start", OBSERVING, AWAITING,
        reason="The observed turn is over; ends of aborted turns are still owed."),
    Row("turn_start", ABORTING, AWAITING, update="age", actions=_CLEAR,
        reason="The aborted turn is over; its ends are still owed."),
    Row("turn_end", ABORTING, ABORTING, "ends_aborted", "settle", _CLEAR_REFRESH, skip=True,
        reason="The aborted turn ended; its run has not."),
    Row("turn_end", ABORTING, ABORTING, "ends_again", None, _CLEAR_REFRESH, skip=True,
        reason="The host said once more that the aborted turn ended."),
    Row("turn_end", ABORTING, ABORTING, "settles", "settle", _REFRESH, skip=True,
        reason="A turn that was aborted earlier ended late."),
    Row("turn_end", OBSERVING, OBSERVING, "settles", "settle", _REFRESH, skip=True,
        reason="An aborted turn ended after new work had entered the next one."),
    Row("turn_end", AWAITING, IDLE_NAME, "settles_last", None, _REFRESH, skip=True,
        reason="The last end that was owed arrived."),
    Row("turn_end", AWAITING, AWAITING, "settles", "settle", _REFRESH, skip=True,
        reason="An aborted turn ended; more ends are owed."),
    Row("agent_end", ABORTING, IDLE_NAME, "settles_last", None, _CLEAR_REFRESH, skip=True,
        reason="The aborted run ended and nothing else is owed."),
    Row("agent_end", ABORTING, AWAITING, "ends_aborted", "settle", _CLEAR_REFRESH, skip=True,
        reason="The aborted run ended; more ends are owed."),
    Row("agent_end", ABORTING, ABORTING, "settles", "settle", _REFRESH, skip=True,
        reason="A run that was aborted earlier ended late."),
    Row("agent_end", OBSERVING, OBSERVING, "settles", "settle", _REFRESH, skip=True,
        reason="An aborted run ended after new work had entered the next turn."),
    Row("agent_end", AWAITING, IDLE_NAME, "settles_last", None, _REFRESH, skip=True,
        reason="The last end that was owed arrived."),
    Row("agent_end", AWAITING, AWAITING, "settles", "settle", _REFRESH, skip=True,
        reason="An aborted run ended; more ends are owed."),
    Row("tool_execution_end", ABORTING, ABORTING, actions=_CLEAR_REFRESH, skip=True,
        reason="A tool of the aborted turn charges nobody."),
    Row("session_before_compact", ABORTING, ABORTING, actions=_CLEAR_REFRESH, skip=True,
        reason="The aborted turn is not flushed to the history."),
    Row("session_compact", ABORTING, ABORTING, actions=_CLEAR_REFRESH, skip=True,
        reason="Compaction of the aborted turn continues nothing."),
    Row("session_shutdown", OBSERVING, IDLE_NAME,
        reason="No terminal event comes after shutdown."),
    Row("session_shutdown", AWAITING, IDLE_NAME,
        reason="Shutdown releases the ends that are owed."),
    Row("session_shutdown", ABORTING, IDLE_NAME, actions=_CLEAR,
        reason="Shutdown ends the abort and releases what it owes."),
    Row("user_input_clear_abort", ABORTING, AWAITING, update="age", actions=_CLEAR_REFRESH,
        reason="A person goes on: the aborted turn is history."),
    Row("before_agent_start_clear_abort", ABORTING, AWAITING, update="age", actions=_CLEAR,
        reason="Another run starts: the aborted turn is history."),
    Row("extension_continuation_clear_abort", ABORTING, AWAITING, update="age", actions=_CLEAR,
        reason="A continuation goes on: the aborted turn is history."),
)  # fmt: skip
"""The lifecycle, complete: an event without a matching row changes nothing and is let pass."""


class _Work(NamedTuple):
    """What a state consists of, whichever it is."""

    stale: tuple[str, ...] = ()
    runnable: bool = False
    turn_index: int | None = None
    cleanup: Cleanup = NOTHING_OWED


def _work_of(state: State) -> _Work:
    match state:
        case Idle():
            return _Work()
        case ObservingTurn():
            return _Work(
                state.stale_goal_ids,
                state.has_runnable_work,
                cleanup=state.cleanup or NOTHING_OWED,
            )
        case AbortingTurn():
            return _Work(turn_index=state.active_turn_index, cleanup=state.cleanup)
        case AwaitingTerminalCleanup():  # pragma: no branch - there is no fifth
            return _Work(cleanup=state.cleanup)


# An update sees the work, the event and, for a terminal event, what it settles.
_UPDATES: Final[Mapping[str, Callable[[_Work, Any, Any], _Work]]] = MappingProxyType(
    {
        "note_runnable": lambda work, _event, _: work._replace(runnable=True),
        "note_stale": lambda work, event, _: work._replace(
            stale=tuple(sorted((*work.stale, event.goal_id)))
        ),
        "owe": lambda work, event, _: work._replace(
            turn_index=event.turn_index, cleanup=owe(work.cleanup, event.turn_index, work.stale)
        ),
        "refuse_anonymous": lambda work, _event, _: work._replace(
            cleanup=refuse_anonymous(work.cleanup)
        ),
        "age": lambda work, _event, _: work._replace(cleanup=age(work.cleanup)),
        "settle": lambda work, _event, settlement: work._replace(cleanup=settlement.remaining),
    }
)

# A guard sees the state, the event and, for a terminal event, what it would settle.
_GUARDS: Final[Mapping[str, Callable[[Any, Any, Settlement | None], bool]]] = MappingProxyType(
    {
        "no_runnable_yet": lambda state, _event, _: not state.has_runnable_work,
        "unseen_goal": lambda state, event, _: (
            event.goal_id not in state.stale_goal_ids and len(state.stale_goal_ids) < MAX_TRACKED
        ),
        "all_stale": lambda state, _event, _: (
            bool(state.stale_goal_ids) and not state.has_runnable_work
        ),
        "owes": lambda state, _event, _: state.cleanup is not None,
        "owes_nothing": lambda state, _event, _: state.cleanup is None,
        "settles": lambda _state, _event, settlement: settlement is not None,
        "settles_last": lambda _state, _event, settlement: (
            settlement is not None and settlement.remaining == NOTHING_OWED
        ),
        "ends_aborted": lambda _state, _event, settlement: (
            settlement is not None and settlement.was_active
        ),
        "ends_again": lambda state, event, settlement: (
            settlement is None and event.turn_index == state.active_turn_index is not None
        ),
    }
)

_ENTER: Final[Mapping[str, Callable[[_Work], State]]] = MappingProxyType(
    {
        IDLE_NAME: lambda _work: IDLE,
        OBSERVING: lambda work: ObservingTurn(
            stale_goal_ids=work.stale,
            has_runnable_work=work.runnable,
            cleanup=None if work.cleanup == NOTHING_OWED else work.cleanup,
        ),
        ABORTING: lambda work: AbortingTurn(
            active_turn_index=work.turn_index, cleanup=work.cleanup
        ),
        AWAITING: lambda work: AwaitingTerminalCleanup(cleanup=work.cleanup),
    }
)

_TRIGGERS: Final[Mapping[str, type[Event]]] = MappingProxyType(
    {str(event.__struct_config__.tag): event for event in get_args(Event)}
)


class _Step(NamedTuple):
    """A row, ready to run: no name is looked up any more."""

    row: Row
    when: Callable[[Any, Any, Settlement | None], bool] | None
    update: Callable[..., _Work] | None
    stays: bool
    enter: Callable[[_Work], State]
    plan: Plan | None


Table: TypeAlias = Mapping[tuple[type, type], tuple[_Step, ...]]


# Where a guard or an update finds what it looks at: in events of these triggers, in a state.
_TERMINAL: Final = frozenset({"turn_end", "agent_end"})
_OF_TRIGGER: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "note_stale": frozenset({"stale_work_started"}),
        "unseen_goal": frozenset({"stale_work_started"}),
        "owe": frozenset({"context_abort"}),
        "settle": _TERMINAL,
        "settles": _TERMINAL,
        "settles_last": _TERMINAL,
        "ends_aborted": _TERMINAL,
        "ends_again": frozenset({"turn_end"}),
    }
)
_OF_SOURCE: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("no_runnable_yet", "unseen_goal", "all_stale", "owes", "owes_nothing"), OBSERVING
        ),
        "ends_again": ABORTING,
    }
)


def compile_lifecycle(rows: Iterable[Row]) -> Table:
    """Return ``rows`` ready to run.

    Raise ValueError for a row that names an unknown trigger, state, guard or update, or one that
    does not fit its trigger or source, and for a row that can never be taken because an earlier
    row of its trigger and source has no guard.
    """
    table: dict[tuple[type, type], tuple[_Step, ...]] = {}
    for row in rows:
        fault = _fault(row)
        if fault is not None:
            message = f"{fault}: {row}"
            raise ValueError(message)
        key = STATES[row.source], _TRIGGERS[row.trigger]
        before = table.get(key, ())
        if before and before[-1].when is None:
            message = f"shadowed by an earlier row without a guard: {row}"
            raise ValueError(message)
        plan = Plan(skip=row.skip, effects=row.actions)
        step = _Step(
            row=row,
            when=None if row.when is None else _GUARDS[row.when],
            update=None if row.update is None else _UPDATES[row.update],
            stays=row.update is None and row.source == row.dest,
            enter=_ENTER[row.dest],
            plan=_unplanned(_TRIGGERS[row.trigger]) if plan == PASS else plan,
        )
        table[key] = (*before, step)
    return MappingProxyType(table)


def _fault(row: Row) -> str | None:
    """Return what is wrong with ``row`` by itself, or None."""
    if row.trigger not in _TRIGGERS or row.source not in STATES or row.dest not in STATES:
        return "unknown trigger or state"
    if row.when not in {None, *_GUARDS} or row.update not in {None, *_UPDATES}:
        return "unknown guard or update"
    for name in (row.when, row.update):
        if name is not None and row.trigger not in _OF_TRIGGER.get(name, _TRIGGERS):
            return "the trigger has nothing for the guard or the update"
    if row.when is not None and _OF_SOURCE.get(row.when, row.source) != row.source:
        return "the source has nothing for the guard"
    if row.update == "settle" and row.when is None:
        return "only a guard can tell that there is something to settle"
    return None


def _unplanned(event_type: type) -> Plan | None:
    """Return the plan where there is nothing to do: whether to abort is then answered by none."""
    return None if event_type is ContextAbort else PASS


TABLE: Final = compile_lifecycle(LIFECYCLE)


def reduce(state: State, event: Event, *, table: Table = TABLE) -> Reduction:
    """Return the state after ``event`` and what to do about it; never raise, never mutate.

    The same state object comes back when nothing changes. ``table`` is the lifecycle to run.
    """
    event_type = event.__class__
    steps = table.get((state.__class__, event_type))
    if steps is not None:
        settlement = None
        if isinstance(event, TurnEnd | AgentEnd):
            work = _work_of(state)
            if isinstance(event, TurnEnd):
                settlement = settle_turn_end(work.cleanup, event.turn_index, work.turn_index)
            else:
                settlement = settle_agent_end(work.cleanup, event.messages)
        for row, when, update, stays, enter, plan in steps:
            if when is None or when(state, event, settlement):
                if OBSERVERS:
                    fired(table, row)
                if stays:
                    return Reduction(state=state, plan=plan)
                work = _work_of(state)
                if update is not None:
                    work = update(work, event, settlement)
                return Reduction(state=enter(work), plan=plan)
    return Reduction(state=state, plan=_unplanned(event_type))
