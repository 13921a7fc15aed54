"""Replays one line of the pure-function vectors: names are translated, nothing is decided."""

from __future__ import annotations

from typing import Any

import msgspec

from goalfsm import text
from goalfsm.goal import accounting, transition
from goalfsm.goal.model import Goal, Rejection, create

GOAL_FIELDS = (
    "goal_id",
    "objective",
    "status",
    "token_budget",
    "tokens_used",
    "active_seconds",
    "created_at",
    "updated_at",
)


def goal_in(data: dict[str, Any] | None) -> Goal | None:
    """Return the goal of a vector."""
    return None if data is None else msgspec.convert(data, Goal)


def goal_out(goal: Goal | None) -> dict[str, Any] | None:
    """Return the fields of a goal that the vectors know."""
    return None if goal is None else {name: getattr(goal, name) for name in GOAL_FIELDS}


def update_status(line: dict[str, Any]) -> dict[str, Any]:
    """Ask for a status."""
    current = goal_in(line["current"])
    marked = transition.mark(current, line["request"], line["now"])
    if isinstance(marked, transition.Rejection):
        return {"ok": False, "code": marked.code, "goal": line["current"]}
    goal, code = marked
    return {"ok": True, "code": code, "goal": goal_out(goal)}


def create_goal(line: dict[str, Any]) -> dict[str, Any]:
    """Create or replace a goal."""
    given = line["objective"]
    objective = given["text"] if "text" in given else given["repeat"] * given["times"]
    created = create(
        goal_in(line["current"]),
        objective=objective,
        token_budget=line["token_budget"],
        goal_id="NEW",
        now=line["now"],
        replace=line["op"] == "replace",
    )
    if isinstance(created, Rejection):
        kept = line["current"] if created.code == "goal_exists" else None
        return {"ok": False, "code": created.code, "goal": kept}
    shown = goal_out(created)
    assert shown is not None
    shown |= {"objective": None, "objective_length": len(created.objective)}
    return {"ok": True, "code": "created", "goal": shown}


def apply_usage(line: dict[str, Any]) -> dict[str, Any]:
    """Charge usage."""
    charge = accounting.apply_usage(
        goal_in(line["current"]),
        now=line["now"],
        tokens=line["tokens"],
        seconds=line["seconds"],
        expected_goal_id=line["expected_goal_id"],
        account_limited=line["account_budget_limited"],
    )
    return {
        "changed": charge.changed,
        "crossed_budget": charge.crossed is not None,
        "goal": goal_out(charge.goal),
    }


def live_usage(line: dict[str, Any]) -> dict[str, Any] | None:
    """Show a goal's running time."""
    clock = accounting.Clock(line["accounted_goal_id"], line["last_accounted_at_ms"])
    return goal_out(accounting.live(goal_in(line["current"]), clock, line["now_ms"]))


def format_text(line: dict[str, Any]) -> str:
    """Format a duration or a count."""
    return {
        "duration": text.duration,
        "compact_tokens": text.compact_tokens,
        "tokens": text.tokens,
    }[line["fn"]](line["value"])


def _request(data: dict[str, Any]) -> transition.Request:  # noqa: PLR0911  one a kind
    match data["kind"]:
        case "set":
            goal = goal_in(data["next_goal"])
            assert goal is not None
            return transition.Set(goal, data["source"])
        case "clear":
            return transition.Clear(data["source"])
        case "abort_pause":
            return transition.AbortPause()
        case "resume_active":
            return transition.ResumeActive()
        case "recovery_pause":
            return transition.RecoveryPause(data["recovery_reason"])
        case "recovery_shutdown_pause":
            return transition.RecoveryShutdownPause(data["recovery_reason"])
        case "runtime_accounting":
            goal = goal_in(data["next_goal"])
            assert goal is not None
            return transition.RuntimeAccounting(goal)
        case kind:
            raise AssertionError(f"unknown request {kind}")


def plan_transition(line: dict[str, Any]) -> dict[str, Any]:
    """Plan a request."""
    plan = transition.plan(goal_in(line["current"]), _request(line["request"]), line["now"])
    if isinstance(plan, transition.Rejection):
        return {"error": plan.code}

    def effect(name: str) -> dict[str, str]:
        carries = name == "set_recovery_paused_attention"
        return {"type": name, "reason": plan.reason} if carries else {"type": name}

    return {
        "persist": plan.persist,
        "next_goal": goal_out(plan.next_goal),
        "source": plan.source,
        "before_persist": [effect(name) for name in plan.before],
        "after_persist": [effect(name) for name in plan.after],
    }
