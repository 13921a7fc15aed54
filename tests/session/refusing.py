"""Machines that refuse what the engine would do, and threads that have them."""

from __future__ import annotations

from goalfsm.goal.machine import GUARDS, TRANSITIONS, GoalMachine, goal_machine
from goalfsm.session import Policy
from goalfsm.testing.threads import CheckedThread


def refusing(*triggers: str) -> GoalMachine:
    """Return a machine in which these triggers have rows, and a guard that is against them."""
    rows = [row._replace(when="never") if row.trigger in triggers else row for row in TRANSITIONS]
    kept = [
        row
        for index, row in enumerate(rows)
        if (row.trigger, row.source) not in {(r.trigger, r.source) for r in rows[:index]}
        or row.when is None
    ]
    return goal_machine(kept, guards={**GUARDS, "never": lambda _: False})


def at_work(*triggers: str, policy: Policy | None = None, **given: object) -> CheckedThread:
    """Return a thread whose first turn runs."""
    thread = CheckedThread(policy, machine=refusing(*triggers))
    thread.give(**given)
    thread.dispatch()
    return thread
