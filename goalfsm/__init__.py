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
    from goalfsm.daemon.engine import Engine
    from goalfsm.errors import GoalError
    from goalfsm.goal.compiler import Row
    from goalfsm.goal.machine import STATES, TRANSITIONS, GoalMachine, default_machine, goal_machine
    from goalfsm.goal.model import Criterion, Evidence, Goal, Limits, Usage, Verifier
    from goalfsm.goal.transition import Plan, Rejection, plan
    from goalfsm.session import effects, events
    from goalfsm.session.continuation import Continue, Stop, Wait, decide, is_success
    from goalfsm.session.policy import Policy
    from goalfsm.session.state import Context, Decision, Reply, Rules, Session, Step
    from goalfsm.session.thread import GoalThread, Ready, ReplayError, handle
    from goalfsm.session.wake import next_wake
    from goalfsm.views.status import project
    from goalfsm.workers.agents.spec import AgentSpec
    from goalfsm.workers.agents.worker import AgentWorker
    from goalfsm.workers.turn import Turn, TurnWorker, worker

__version__ = "0.1.0"

_HOMES = {
    "AgentSpec": "goalfsm.workers.agents.spec",
    "AgentWorker": "goalfsm.workers.agents.worker",
    "Context": "goalfsm.session.state",
    "Continue": "goalfsm.session.continuation",
    "Criterion": "goalfsm.goal.model",
    "Decision": "goalfsm.session.state",
    "Engine": "goalfsm.daemon.engine",
    "Evidence": "goalfsm.goal.model",
    "Goal": "goalfsm.goal.model",
    "GoalError": "goalfsm.errors",
    "GoalMachine": "goalfsm.goal.machine",
    "GoalThread": "goalfsm.session.thread",
    "Limits": "goalfsm.goal.model",
    "Plan": "goalfsm.goal.transition",
    "Policy": "goalfsm.session.policy",
    "Ready": "goalfsm.session.thread",
    "Rejection": "goalfsm.goal.transition",
    "ReplayError": "goalfsm.session.thread",
    "Reply": "goalfsm.session.state",
    "Row": "goalfsm.goal.compiler",
    "Rules": "goalfsm.session.state",
    "STATES": "goalfsm.goal.machine",
    "Session": "goalfsm.session.state",
    "Step": "goalfsm.session.state",
    "Stop": "goalfsm.session.continuation",
    "TRANSITIONS": "goalfsm.goal.machine",
    "Usage": "goalfsm.goal.model",
    "Verifier": "goalfsm.goal.model",
    "Wait": "goalfsm.session.continuation",
    "decide": "goalfsm.session.continuation",
    "default_machine": "goalfsm.goal.machine",
    "goal_machine": "goalfsm.goal.machine",
    "effects": "goalfsm.session",
    "events": "goalfsm.session",
    "handle": "goalfsm.session.thread",
    "is_success": "goalfsm.session.continuation",
    "next_wake": "goalfsm.session.wake",
    "plan": "goalfsm.goal.transition",
    "project": "goalfsm.views.status",
    "Turn": "goalfsm.workers.turn",
    "TurnWorker": "goalfsm.workers.turn",
    "worker": "goalfsm.workers.turn",
}

__all__ = [
    "STATES",
    "TRANSITIONS",
    "AgentSpec",
    "AgentWorker",
    "Context",
    "Continue",
    "Criterion",
    "Decision",
    "Engine",
    "Evidence",
    "Goal",
    "GoalError",
    "GoalMachine",
    "GoalThread",
    "Limits",
    "Plan",
    "Policy",
    "Ready",
    "Rejection",
    "ReplayError",
    "Reply",
    "Row",
    "Rules",
    "Session",
    "Step",
    "Stop",
    "Turn",
    "TurnWorker",
    "Usage",
    "Verifier",
    "Wait",
    "__version__",
    "decide",
    "default_machine",
    "effects",
    "events",
    "goal_machine",
    "handle",
    "is_success",
    "next_wake",
    "plan",
    "project",
    "worker",
]

__getattr__, __dir__ = exports(globals(), _HOMES, __all__)
