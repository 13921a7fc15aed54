"""A durable goal engine for agent daemons.

Give a thread an objective; goalfsm keeps an agent working on it until it is verifiably complete,
blocked, paused or out of budget, and can always say why it did or did not continue.

Everything here is imported on first use, so that ``import goalfsm`` stays light: the pure session
needs neither asyncio nor a store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.lazy import exports

if TYPE_CHECKING:
    from goalfsm.compiler import Row
    from goalfsm.continuation import Continue, Stop, Wait, decide, is_success
    from goalfsm.daemon.engine import Engine
    from goalfsm.errors import GoalError
    from goalfsm.machine import STATES, TRANSITIONS, GoalMachine, default_machine, goal_machine
    from goalfsm.model import Criterion, Evidence, Goal, Limits, Usage, Verifier
    from goalfsm.session import Context, Decision, Policy, Reply, Session, Step
    from goalfsm.session.handle import handle
    from goalfsm.session.waits import next_wake
    from goalfsm.status import project
    from goalfsm.transition import Plan, Rejection, plan

__version__ = "0.1.0"

_HOMES = {
    "Context": "goalfsm.session.state",
    "Continue": "goalfsm.continuation",
    "Criterion": "goalfsm.model",
    "Decision": "goalfsm.session.state",
    "Engine": "goalfsm.daemon.engine",
    "Evidence": "goalfsm.model",
    "Goal": "goalfsm.model",
    "GoalError": "goalfsm.errors",
    "GoalMachine": "goalfsm.machine",
    "Limits": "goalfsm.model",
    "Plan": "goalfsm.transition",
    "Policy": "goalfsm.session.policy",
    "Rejection": "goalfsm.transition",
    "Reply": "goalfsm.session.state",
    "Row": "goalfsm.compiler",
    "STATES": "goalfsm.machine",
    "Session": "goalfsm.session.state",
    "Step": "goalfsm.session.state",
    "Stop": "goalfsm.continuation",
    "TRANSITIONS": "goalfsm.machine",
    "Usage": "goalfsm.model",
    "Verifier": "goalfsm.model",
    "Wait": "goalfsm.continuation",
    "decide": "goalfsm.continuation",
    "default_machine": "goalfsm.machine",
    "goal_machine": "goalfsm.machine",
    "handle": "goalfsm.session.handle",
    "is_success": "goalfsm.continuation",
    "next_wake": "goalfsm.session.waits",
    "plan": "goalfsm.transition",
    "project": "goalfsm.status",
}

__all__ = [
    "STATES",
    "TRANSITIONS",
    "Context",
    "Continue",
    "Criterion",
    "Decision",
    "Engine",
    "Evidence",
    "Goal",
    "GoalError",
    "GoalMachine",
    "Limits",
    "Plan",
    "Policy",
    "Rejection",
    "Reply",
    "Row",
    "Session",
    "Step",
    "Stop",
    "Usage",
    "Verifier",
    "Wait",
    "__version__",
    "decide",
    "default_machine",
    "goal_machine",
    "handle",
    "is_success",
    "next_wake",
    "plan",
    "project",
]

__getattr__, __dir__ = exports(globals(), _HOMES, __all__)
