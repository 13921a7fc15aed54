"""The goal machine: ``TRANSITIONS`` is its definition.

It is built into a ``transitions.Machine`` and compiled from that for the hot path. Guards and
effects are named and come from registries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.goal.compiler import Guard, MachineError, Row, Table, build_machine, compile_machine
from goalfsm.goal.model import (
    ABSENT,
    ACTIVE,
    BLOCKED,
    COMPLETE,
    LIMITED,
    PAUSED,
    STATUSES,
    Goal,
    used_up,
)

if TYPE_CHECKING:
    from transitions import Machine

STATES: Final = STATUSES

# Effects of entering a status, whatever led there.
ON_ENTER: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        ACTIVE: ("clear_budget_warning",),
        PAUSED: ("clear_continuation", "clear_active_accounting", "clear_budget_warning"),
        BLOCKED: ("clear_continuation", "clear_active_accounting", "clear_budget_warning"),
        COMPLETE: (
            "clear_continuation",
            "clear_active_accounting",
            "reset_recovery",
            "clear_budget_warning",
        ),
        LIMITED: ("clear_continuation", "clear_active_accounting", "reset_recovery"),
    }
)
# A successor inherits nothing of the goal before it, whatever status it starts in.
FORGET: Final = (
    "clear_continuation",
    "clear_active_accounting",
    "reset_recovery",
    "clear_budget_warning",
)

_STOPPED: Final = (PAUSED, BLOCKED)
_UNFINISHED: Final = (ACTIVE, PAUSED, BLOCKED, LIMITED)

TRANSITIONS: Final[tuple[Row, ...]] = (
    Row(
        "create", ABSENT, ACTIVE, actions=FORGET, reason="a person or the model gives an objective"
    ),
    *(
        Row(
            "replace",
            status,
            ACTIVE,
            actions=FORGET,
            reason="a new objective takes the thread over",
        )
        for status in STATES
    ),
    *(
        Row("clear", status, ABSENT, actions=FORGET, reason="a person gives the goal up")
        for status in STATES
    ),
    *(
        Row("complete", status, COMPLETE, reason="the objective is verifiably met")
        for status in _UNFINISHED
    ),
    Row("complete", COMPLETE, None, reason="it already is complete"),
    Row("block", ACTIVE, BLOCKED, reason="nothing can go on without somebody else"),
    Row("block", BLOCKED, None, reason="it already is blocked"),
    Row("pause", ACTIVE, PAUSED, reason="a person or a rule stops the work for now"),
    Row(
        "abort_pause",
        ACTIVE,
        PAUSED,
        actions=("clear_continuation", "clear_active_accounting", "reset_recovery"),
        reason="a person interrupted the running turn",
    ),
    Row(
        "recovery_pause",
        ACTIVE,
        PAUSED,
        actions=("clear_continuation", "set_recovery_paused_attention"),
        reason="recovery gave up; somebody has to look",
    ),
    Row(
        "recovery_shutdown_pause",
        ACTIVE,
        PAUSED,
        actions=(
            "clear_continuation",
            "clear_host_overflow_recovery",
            "set_recovery_paused_attention",
        ),
        reason="the host shuts down while recovery is pending",
    ),
    *(
        row
        for status in _STOPPED
        for row in (
            Row(
                "resume",
                status,
                ACTIVE,
                when="under_budget",
                actions=("clear_continuation", "reset_recovery"),
                reason="a person or a due time takes the goal up again",
            ),
            Row(
                "resume",
                status,
                LIMITED,
                actions=("clear_continuation", "reset_recovery"),
                reason="there is no budget left to resume with",
            ),
        )
    ),
    *(
        Row("limit", status, LIMITED, reason="a budget is used up")
        for status in (ACTIVE, PAUSED, BLOCKED)
    ),
    Row("limit", LIMITED, LIMITED, reason="the limit is marked again"),
    Row("account", ACTIVE, LIMITED, when="over_budget", reason="the charge crossed a budget"),
    Row("account", ACTIVE, ACTIVE, reason="usage was charged"),
    Row("account", LIMITED, LIMITED, reason="the wind-down turn was charged"),
    Row(
        "raise_budget",
        LIMITED,
        ACTIVE,
        when="under_budget",
        actions=("clear_continuation",),
        reason="a person gave more budget than is used",
    ),
    Row("raise_budget", LIMITED, None, reason="the new budget is used up as well"),
    *(
        Row("raise_budget", status, None, reason="the budget changes, the status does not")
        for status in (ACTIVE, PAUSED, BLOCKED)
    ),
    *(
        Row("edit", status, None, reason="the objective changes; id and usage stay")
        for status in _UNFINISHED
    ),
)


def continuations_spent(goal: Goal) -> bool:
    """Tell whether ``goal`` is limited by its continuations and was not given more of them."""
    if goal.limited_by != "continuations":
        return False
    most = goal.max_continuations
    return most is None or (most != 0 and most <= goal.continuations)


def under_budget(goal: Goal) -> bool:
    """Tell whether every budget has something left."""
    # Without budgets, which is most goals, nothing needs to be compared.
    if (
        goal.token_budget is None
        and goal.limited_by is None
        and goal.time_budget_seconds is None
        and goal.cost_budget is None
    ):
        return True
    return used_up(goal) is None and not continuations_spent(goal)


def over_budget(goal: Goal) -> bool:
    """Tell whether some budget is used up."""
    return used_up(goal) is not None


GUARDS: Final[Mapping[str, Guard]] = MappingProxyType(
    {"under_budget": under_budget, "over_budget": over_budget}
)
TRIGGERS: Final = frozenset(row.trigger for row in TRANSITIONS)
"""The triggers of our own table; an embedder's have other names."""
EFFECTS: Final = frozenset(
    {effect for row in TRANSITIONS for effect in row.actions}
    | {effect for effects in ON_ENTER.values() for effect in effects}
)
FINALS: Final = frozenset({COMPLETE, ABSENT})
"""Where a goal may rest for ever: no trigger has to leave these."""


class GoalMachine(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled machine with the definition it came from.

    ``extended()`` gives a new machine with more rows, guards and callbacks; this one stays.
    """

    table: Table
    on_enter: Mapping[str, tuple[str, ...]]
    rows: tuple[Row, ...]
    guards: Mapping[str, Guard]
    effects: frozenset[str]

    def extended(
        self,
        rows: Iterable[Row] = (),
        *,
        guards: Mapping[str, Guard] | None = None,
        effects: Iterable[str] = (),
        on_enter: Mapping[str, str] | None = None,
    ) -> GoalMachine:
        """Return a machine with ``rows`` before ours and ``on_enter`` callbacks by status.

        A callback is the name that the daemon knows a callable by; it runs after the commit, at
        least once. Raises ``MachineError`` when the result is inconsistent.
        """
        callbacks = dict(self.on_enter)
        names: set[str] = set(effects)
        for status, name in (on_enter or {}).items():
            effect = callback_effect(name)
            names.add(effect)
            callbacks[status] = (*callbacks.get(status, ()), effect)
        return goal_machine(
            (*rows, *self.rows),
            guards={**self.guards, **(guards or {})},
            effects=self.effects | names,
            on_enter=callbacks,
        )


CALLBACK_PREFIX: Final = "callback:"


def callback_effect(name: str) -> str:
    """Return the effect that calls the embedder's callback ``name``."""
    return CALLBACK_PREFIX + name


def build(
    rows: Iterable[Row] = TRANSITIONS,
    *,
    guards: Mapping[str, Guard] = GUARDS,
    effects: frozenset[str] = EFFECTS,
    on_enter: Mapping[str, tuple[str, ...]] = ON_ENTER,
) -> Machine:
    """Build the ``transitions.Machine`` of ``rows``, without a model.

    Raises ``MachineError`` for an unknown status, guard or effect, and for a row that gives one of
    our own triggers another meaning.
    """
    rows = tuple(rows)
    machine = build_machine(rows, STATES, guards=guards, effects=effects, on_enter=on_enter)
    for row in rows:
        _check_meaning(row)
    return machine


def _check_meaning(row: Row) -> None:
    """Keep what our own triggers stand for: commands rely on it."""
    if row.source == ABSENT and row.trigger != "create":
        raise MachineError(
            f"{row.trigger}: without a goal only create is asked", hint="start at a status"
        )
    if row.trigger in {"create", "replace"} and row.dest != ACTIVE:
        raise MachineError(f"{row.trigger}: a new goal is active", hint=f"lead to {ACTIVE}")
    if row.trigger in TRIGGERS and (row.dest == ABSENT) != (row.trigger == "clear"):
        raise MachineError(
            f"{row.trigger}: clear, and nothing else of ours, gives a goal up",
            hint="use a trigger of your own",
        )


def goal_machine(
    rows: Iterable[Row] = TRANSITIONS,
    *,
    guards: Mapping[str, Guard] = GUARDS,
    effects: frozenset[str] = EFFECTS,
    on_enter: Mapping[str, tuple[str, ...]] = ON_ENTER,
) -> GoalMachine:
    """Build and compile a machine; see ``build`` and ``compile_machine`` for what they refuse."""
    rows = tuple(rows)
    machine = build(rows, guards=guards, effects=effects, on_enter=on_enter)
    return GoalMachine(
        table=compile_machine(machine, finals=FINALS),
        on_enter=on_enter,
        rows=rows,
        guards=guards,
        effects=effects,
    )


@cache
def default_machine() -> GoalMachine:
    """Return the machine of ``TRANSITIONS``, compiled once."""
    return goal_machine()
