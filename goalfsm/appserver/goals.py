"""A goal and its turns as clients of Codex's app-server see them, and what they ask, as our events.

Everything here is pure: it is given the goal as it stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

from goalfsm.appserver.protocol import ORIGINS, STATUSES, Params, RequestRejected, Status
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, LIMITED, PAUSED, Goal, Limits, Origin
from goalfsm.session import events as e
from recovery import Kind, classify

MAX_OBJECTIVE: Final = 4_000
"""Longest objective that a client may set, in characters."""
_FOUND_OUT: Final = frozenset({"usageLimited", "budgetLimited"})
"""What is found out and never set."""
_PAUSED: Final[Mapping[str, Status]] = {
    "recovery": "blocked",
    "no_progress": "blocked",
    "verification": "blocked",
    "usage_limit": "usageLimited",
}
_ERRORS: Final[Mapping[Kind, str]] = {
    "overflow": "contextWindowExceeded",
    "quota": "usageLimitExceeded",
    "rate_limited": "rateLimitExceeded",
    "transient": "internalServerError",
    "auth": "unauthorized",
}

DEPARTURES: Final = tuple(
    """
A new objective for a complete goal makes a new goal, which has used nothing.
A complete goal gets no other status or budget: a new objective or a clear follows it.
Only an active goal can be paused or blocked; one that has stopped keeps its status.
`usageLimited` and `budgetLimited` are found out and cannot be set.
After a budget is crossed one more turn winds the work down, and its use is counted.
A blocked claim of the model's blocks the goal only when three turns in a row made one.
Tokens that a turn reports after its goal has been completed or stopped are charged as well.
A turn whose goal is cleared is interrupted.
After a crash or an interrupt the next turn starts by itself.
A provider's failure that may pass is tried again before the goal is blocked.
A turn belongs to a goal, but under `--passthrough`: `turn/start` speaks to its next turn.
Goals cannot be disabled.
An objective has at most 4,000 characters here, and 8,000 elsewhere in goalfsm.
""".strip().splitlines()
)
"""Where a client meets something else than from Codex's own app-server, on purpose."""


class Asked(NamedTuple):
    """What a client asks a goal to be; None leaves it, ``lift`` drops its token budget."""

    objective: str | None = None
    status: str | None = None
    tokens: int | None = None
    lift: bool = False
    origin: Origin = "person"


def asked(params: Params) -> Asked:
    """Return what ``thread/goal/set`` asks for. Raises `RequestRejected`."""
    objective, status = params.text("objective"), params.choice("status", STATUSES)
    tokens, origin = params.integer("tokenBudget"), origin_of(params)
    if objective is not None:
        objective = objective.strip()
        if not objective:
            raise RequestRejected("goal objective must not be empty")
        if len(objective) > MAX_OBJECTIVE:
            raise RequestRejected(f"goal objective must be at most {MAX_OBJECTIVE} characters")
    if tokens is not None and tokens <= 0:
        raise RequestRejected("goal budgets must be positive when provided")
    if status in _FOUND_OUT:
        raise RequestRejected(f"goal status {status} is found out and cannot be set")
    return Asked(objective, status, tokens, "tokenBudget" in params and tokens is None, origin)


def origin_of(params: Params) -> Origin:
    """Return who asks: a person, or a program that may not do all that a person may."""
    return "system" if params.choice("origin", ORIGINS) == "automatic" else "person"


def events_for(goal: Goal | None, ask: Asked, thread_id: str) -> tuple[e.Command, ...]:
    """Return what has to happen to ``goal`` for it to be as asked, in order.

    Raises `RequestRejected` where there is no goal, or one that is over and gets no new objective.
    """
    if goal is None and ask.objective is None:
        raise RequestRejected(f"cannot update goal for thread {thread_id}: no goal exists")
    if goal is None or (goal.status == COMPLETE and ask.objective is not None):
        return _given(goal, ask)
    other_budget = ask.tokens not in {None, goal.token_budget} or (
        ask.lift and goal.token_budget is not None
    )
    if goal.status == COMPLETE and (ask.status not in {None, COMPLETE} or other_budget):
        raise RequestRejected(
            f"the goal of thread {thread_id} is complete: give it another objective"
        )
    done: list[e.Command] = []
    if ask.objective is not None and ask.objective != goal.objective:
        done.append(e.EditRequested(objective=ask.objective, origin=ask.origin))
    if ask.tokens is not None and ask.tokens != goal.token_budget:
        limits = Limits(tokens=ask.tokens)
        done.append(e.BudgetChanged(limits=limits, reopen=False, origin=ask.origin))
    if ask.lift and goal.token_budget is not None:
        freed = e.BudgetChanged(
            limits=Limits(), unlimited=("tokens",), reopen=False, origin=ask.origin
        )
        done.append(freed)
    return (*done, *_status(goal, ask))


def _given(before: Goal | None, ask: Asked) -> tuple[e.Command, ...]:
    kept = None if before is None or ask.lift else before.token_budget
    given = e.ObjectiveGiven(
        objective=ask.objective or "",
        limits=Limits(tokens=ask.tokens or kept),
        paused=ask.status not in {None, ACTIVE},
        origin=ask.origin,
    )
    return (given, *_declared(ask))


def _status(goal: Goal, ask: Asked) -> tuple[e.Command, ...]:
    if ask.status is None or ask.status == status_of(goal):
        return ()
    if ask.status == ACTIVE and goal.status == LIMITED:
        return (e.BudgetChanged(limits=Limits(), origin=ask.origin),)
    if ask.status == ACTIVE:
        return (e.ResumeRequested(origin=ask.origin),)
    if ask.status == PAUSED:
        # A limited goal does nothing that a pause could stop.
        return () if goal.status == LIMITED else (e.PauseRequested(origin=ask.origin),)
    return _declared(ask)


def _declared(ask: Asked) -> tuple[e.Command, ...]:
    if ask.status == BLOCKED:
        return (e.BlockRequested(origin=ask.origin),)
    if ask.status == COMPLETE:
        return (e.CompletionRequested(origin=ask.origin),)
    return ()


def status_of(goal: Goal) -> Status:
    """Return which of the six statuses a goal has."""
    if goal.status == PAUSED:
        return _PAUSED.get(goal.pause_reason or "", "paused")
    return goal.status


def shown(goal: Goal, thread_id: str) -> dict[str, Any]:
    """Return the goal as a client reads it; times are unix seconds."""
    return {
        "threadId": thread_id,
        "objective": goal.objective,
        "status": status_of(goal),
        "tokenBudget": goal.token_budget,
        "tokensUsed": goal.tokens_used,
        "timeUsedSeconds": goal.active_seconds,
        "createdAt": goal.created_at,
        "updatedAt": goal.updated_at,
    }


def mark(goal: Goal | None) -> tuple[Any, ...] | None:
    """Return what a goal is told by: it is told again where this is another."""
    if goal is None:
        return None
    return goal.goal_id, goal.objective, status_of(goal), goal.token_budget, goal.tokens_used


def turn(
    run_id: str,
    status: Literal["completed", "interrupted", "failed", "inProgress"] = "inProgress",
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a turn as a client reads it: what it said stays with its agent."""
    return {"id": run_id, "items": [], "itemsView": "notLoaded", "status": status, "error": error}


def message_id(run_id: str) -> str:
    """Return the id of what a turn says, which is one message."""
    return f"{run_id}/message"


def message(run_id: str, text: str) -> dict[str, Any]:
    """Return what a turn has said as a client reads it."""
    return {"type": "agentMessage", "id": message_id(run_id), "text": text}


def ended_turn(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the turn that a ``RunFinished`` or ``RunInterrupted``, as it is told, has ended."""
    run_id = event["run_id"]
    outcome = event.get("outcome", "aborted")
    if outcome == "aborted":
        return turn(run_id, "interrupted")
    if outcome == "finished":
        return turn(run_id, "completed")
    return turn(run_id, "failed", _error(event.get("message") or {}))


def _error(message: Mapping[str, Any]) -> dict[str, Any]:
    text = message.get("error") or "the turn failed"
    failure = classify(
        text,
        source=message.get("source", "unknown"),
        kind=message.get("failure"),
        status=message.get("status"),
        code=message.get("code"),
    )
    return {
        "message": text,
        "codexErrorInfo": _ERRORS.get(failure.kind, "other"),
        "additionalDetails": None,
    }


def thread(  # noqa: PLR0913  a thread's essentials
    thread_id: str, *, cwd: str, version: str, now: int, goal: Goal | None, ephemeral: bool = False
) -> dict[str, Any]:
    """Return what a client is told of a thread that it starts or takes up again.

    ``now`` is unix seconds. Which model works, and what it may do, is its agent's to know.
    """
    return {
        "thread": {
            "id": thread_id,
            "sessionId": thread_id,
            "projectId": None,
            "preview": "" if goal is None else goal.objective,
            "ephemeral": ephemeral,
            "modelProvider": "goalfsm",
            "createdAt": now if goal is None else goal.created_at,
            "updatedAt": now if goal is None else goal.updated_at,
            "status": {"type": "idle"},
            "path": None,
            "cwd": cwd,
            "cliVersion": version,
            "source": "appServer",
            "gitInfo": None,
            "name": None,
            "turns": [],
        },
        "model": "",
        "modelProvider": "goalfsm",
        "cwd": cwd,
        "approvalPolicy": "never",
        "approvalsReviewer": "user",
        "sandbox": {"type": "externalSandbox"},
        "reasoningEffort": None,
        "serviceTier": None,
    }
