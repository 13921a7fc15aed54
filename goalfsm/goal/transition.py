"""Deciding what a request does to a goal: a plan, or the rule that refuses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from msgspec.structs import replace

from goalfsm.goal.machine import FORGET, GoalMachine, default_machine
from goalfsm.goal.model import (
    ABSENT,
    ACTIVE,
    BLOCKED,
    COMPLETE,
    HINTS,
    LIMITED,
    PAUSED,
    Goal,
    Rejection,
    Source,
    Status,
    no_row,
    rejected,
    used_up,
)
from recovery.observers import OBSERVERS, fired

Persist = Literal["set", "clear", "defer", "skip"]


class Set(msgspec.Struct, frozen=True, tag=True):
    """Store a goal that was already decided."""

    next_goal: Goal
    source: Source = "command"


class Clear(msgspec.Struct, frozen=True, tag=True):
    """Give the goal up, whatever its status."""

    source: Source = "command"


class AbortPause(msgspec.Struct, frozen=True, tag=True):
    """Pause because the running turn was interrupted."""


class ResumeActive(msgspec.Struct, frozen=True, tag=True):
    """Take a paused or blocked goal up again."""


class RecoveryPause(msgspec.Struct, frozen=True, tag=True):
    """Pause because recovery gave up."""

    reason: str


class RecoveryShutdownPause(msgspec.Struct, frozen=True, tag=True):
    """Pause because the host shuts down while recovery is pending."""

    reason: str


class RuntimeAccounting(msgspec.Struct, frozen=True, tag=True):
    """Store the goal as accounting left it; only usage, limit and time may differ."""

    next_goal: Goal


class Fire(msgspec.Struct, frozen=True, tag=True):
    """Fire a trigger of the machine, an embedder's own included; ``reason`` goes with its plan."""

    trigger: str
    source: Source = "command"
    reason: str = ""


Request = (
    Set
    | Clear
    | AbortPause
    | ResumeActive
    | RecoveryPause
    | RecoveryShutdownPause
    | RuntimeAccounting
    | Fire
)


class Plan(msgspec.Struct, frozen=True, gc=False):
    """The goal after a request and what has to be done around its commit.

    ``persist``: ``set`` and ``clear`` write history at once, ``defer`` leaves that to the flush
    policy, ``skip`` has nothing to write.
    """

    persist: Persist
    next_goal: Goal | None
    source: Source
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    reason: str = ""
    trigger: str = ""


_CLEARED: Final = ("stop_status_refresh",)
_MARKS: Final[dict[str, str]] = {
    COMPLETE: "complete",
    BLOCKED: "block",
    PAUSED: "pause",
    ACTIVE: "resume",
    LIMITED: "limit",
}


def mark(
    goal: Goal | None, status: Status, now: int, machine: GoalMachine | None = None
) -> tuple[Goal, str] | Rejection:
    """Return ``goal`` with the asked status and a code, or why not.

    Resuming without budget left ends in ``budgetLimited``. Codes: ``marked``,
    ``already_complete``, ``already_blocked``.
    """
    marked = plan(goal, Fire(_MARKS[status]), now, machine)
    if isinstance(marked, Rejection):
        return marked
    assert marked.next_goal is not None  # noqa: S101  no mark clears a goal
    return marked.next_goal, f"already_{status}" if marked.persist == "skip" else "marked"


def plan(
    goal: Goal | None, request: Request, now: int, machine: GoalMachine | None = None
) -> Plan | Rejection:
    """Return the goal after ``request`` and the effects to do, or why not.

    ``now`` is unix seconds; it becomes ``updated_at`` where the status changes.
    """
    if machine is None:
        machine = default_machine()
    # The hottest call there is: no match, which would ask for each class in turn.
    if request.__class__ is not Fire:
        return _PLANNERS[request.__class__](machine, goal, request, now)
    trigger = request.trigger
    if goal is None:
        return no_row(goal, trigger)
    rows = machine.table.get((goal.status, trigger))
    if rows is None:
        return no_row(goal, trigger)
    for row in rows:
        guard = row.guard
        if guard is None or guard(goal):
            if OBSERVERS:
                fired(machine, row)
            persist = row.persist
            after: Goal | None = goal
            if persist == "set":
                after = replace(goal, status=row.dest, updated_at=now)
            elif persist == "clear":
                after = None
            return Plan(persist, after, request.source, row.effects, (), request.reason, trigger)
    return rejected("status_not_allowed", trigger, goal, rows[-1].guard_name)


def _plan_clear(
    machine: GoalMachine, goal: Goal | None, request: Clear, now: int
) -> Plan | Rejection:
    if goal is None:
        return Plan("clear", None, request.source, FORGET, _CLEARED, "", "clear")
    cleared = plan(goal, Fire("clear", request.source), now, machine)
    return cleared if isinstance(cleared, Rejection) else replace(cleared, after=_CLEARED)


def _plan_runtime(trigger: str) -> Callable[..., Plan | Rejection]:
    fire = Fire(trigger, "runtime")

    def planner(
        machine: GoalMachine, goal: Goal | None, _request: Request, now: int
    ) -> Plan | Rejection:
        return _strict(plan(goal, fire, now, machine))

    return planner


def _plan_recovery(trigger: str) -> Callable[..., Plan | Rejection]:
    def planner(
        machine: GoalMachine,
        goal: Goal | None,
        request: RecoveryPause | RecoveryShutdownPause,
        now: int,
    ) -> Plan | Rejection:
        return _strict(plan(goal, Fire(trigger, "runtime", request.reason), now, machine))

    return planner


def _strict(outcome: Plan | Rejection) -> Plan | Rejection:
    """Return ``outcome`` with the one code that the runtime's own requests are refused with."""
    if isinstance(outcome, Rejection) and outcome.code != "no_goal":
        return outcome._replace(code="status_not_allowed", hint=HINTS["status_not_allowed"])
    return outcome


def plan_set(machine: GoalMachine, goal: Goal | None, request: Set, _now: int) -> Plan:
    """Return how a goal that was decided already is stored: nothing can refuse it."""
    next_goal, source = request.next_goal, request.source
    if goal is None or goal.goal_id != next_goal.goal_id:
        if OBSERVERS:
            _stored(machine, goal, "create" if goal is None else "replace", next_goal)
        return Plan("set", next_goal, source, FORGET, (), "", "set")
    # Who pauses a goal by a command, or takes a stopped one up, has looked: recovery is over.
    taken_up = goal.status in _STOPPED and next_goal.status == ACTIVE
    looked = source == "command" and (next_goal.status == PAUSED or taken_up)
    after = ("reset_recovery",) if looked else ()
    if goal == next_goal:
        return Plan("skip", next_goal, source, (), after, "", "set")
    entered = machine.on_enter.get(next_goal.status, ())
    return Plan("set", next_goal, source, entered, after, "", "set")


def _plan_accounting(
    machine: GoalMachine, goal: Goal | None, request: RuntimeAccounting, _now: int
) -> Plan | Rejection:
    next_goal = request.next_goal
    code, guard = _accounting_fault(goal, next_goal)
    if code is not None:
        return rejected(code, "account", goal, guard)
    assert goal is not None  # noqa: S101  without one there is a fault
    if OBSERVERS:
        _stored(machine, goal, "account", next_goal)
    entered = machine.on_enter.get(next_goal.status, ())
    # Another status is told at once, usage alone by a later entry.
    persist: Persist = "set" if goal.status != next_goal.status else "defer"
    return Plan(persist, next_goal, "runtime", entered, (), "", "account")


def _stored(machine: GoalMachine, before: Goal | None, trigger: str, after: Goal) -> None:
    """Tell of the row by which a goal that was decided elsewhere got where a plan stores it."""
    status = ABSENT if before is None else before.status
    for row in machine.table.get((status, trigger), ()):
        if row.dest == after.status:
            fired(machine, row)
            break


_ACCOUNTED: Final = (ACTIVE, LIMITED)
_STOPPED: Final = (PAUSED, BLOCKED)


def _accounting_fault(goal: Goal | None, after: Goal) -> tuple[str | None, str | None]:
    """Return the first accounting rule that ``after`` breaks, with the field that shows it."""
    if goal is None:
        return "no_goal", None
    rules: tuple[tuple[bool, str, str], ...] = (
        (goal.goal_id != after.goal_id, "goal_id_mismatch", "goal_id"),
        (goal.status not in _ACCOUNTED, "status_not_allowed", "status"),
        (after.status not in _ACCOUNTED, "next_status_not_allowed", "status"),
        (goal.status == LIMITED and after.status == ACTIVE, "limited_to_active", "status"),
        (goal.objective != after.objective, "objective_changed", "objective"),
        (_budgets(goal) != _budgets(after), "budget_changed", "token_budget"),
        (goal.created_at != after.created_at, "created_at_changed", "created_at"),
        (after.updated_at < goal.updated_at, "updated_at_decreased", "updated_at"),
        (after.tokens_used < goal.tokens_used, "tokens_decreased", "tokens_used"),
        (after.active_seconds < goal.active_seconds, "seconds_decreased", "active_seconds"),
        (after.cost_used < goal.cost_used, "cost_decreased", "cost_used"),
        (_unchanged(goal, after), "nothing_changed", "tokens_used"),
    )
    for broken, code, field in rules:
        if broken:
            return code, field
    if after.status != LIMITED:
        return None, None
    if not any(budget is not None for budget in (*_budgets(after), after.max_continuations)):
        return "limited_without_budget", "token_budget"
    if not _limit_holds(after):
        return "limited_under_budget", "tokens_used"
    return None, None


def _unchanged(goal: Goal, after: Goal) -> bool:
    """Tell whether accounting has nothing to say but the time at which it looked."""
    return goal == after or replace(goal, updated_at=after.updated_at) == after


def _budgets(goal: Goal) -> tuple[Any, ...]:
    return goal.token_budget, goal.time_budget_seconds, goal.cost_budget


def _limit_holds(goal: Goal) -> bool:
    return used_up(goal) is not None or goal.limited_by == "continuations"


_PLANNERS: Final[Mapping[type, Callable[..., Plan | Rejection]]] = MappingProxyType(
    {
        Set: plan_set,
        Clear: _plan_clear,
        RuntimeAccounting: _plan_accounting,
        AbortPause: _plan_runtime("abort_pause"),
        ResumeActive: _plan_runtime("resume"),
        RecoveryPause: _plan_recovery("recovery_pause"),
        RecoveryShutdownPause: _plan_recovery("recovery_shutdown_pause"),
    }
)
