"""The goal's tools, defined once for every surface: what the model may ask for.

A surface shows ``TOOLS``, gives ``goalfsm.session.tool_requests.parse`` what the model sent, lets
the session decide on it, and shows ``goalfsm.views.tool_answers.respond``.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from goalfsm.goal.model import (
    MAX_COUNT,
    MAX_ITEMS,
    MAX_OBJECTIVE_LENGTH,
    MAX_TEXT_LENGTH,
)

ToolName = Literal["create_goal", "get_goal", "update_goal", "wait"]
WaitFor = Literal["timer", "process", "person", "event"]
WAITS_FOR: Final[tuple[WaitFor, ...]] = ("timer", "process", "person", "event")
MAX_WAIT_S: Final = 366 * 86_400


class ToolDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A tool as a host shows it to the model; ``parameters`` is a JSON schema."""

    name: ToolName
    description: str
    parameters: dict[str, Any]


_EVIDENCE_ITEM: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH},
        {
            "type": "object",
            "properties": {
                "text": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH},
                "criterion": {
                    "type": ["integer", "null"],
                    "minimum": 1,
                    "maximum": MAX_ITEMS,
                    "description": "Number of the criterion that this shows, from 1; null: all.",
                },
            },
            "required": ["text"],
            "additionalProperties": False,
        },
    ]
}

CREATE_GOAL: Final = ToolDefinition(
    name="create_goal",
    description=(
        "Give this thread a goal that is worked on over many turns until it is complete, blocked, "
        "paused or out of budget. Call it only when the person asks for a goal, not for an "
        "ordinary task. It fails while the thread has an unfinished goal. Set token_budget only "
        "when the person named one."
    ),
    parameters={
        "type": "object",
        "properties": {
            "objective": {
                "type": "string",
                "minLength": 1,
                "maxLength": MAX_OBJECTIVE_LENGTH,
                "description": "What is to be achieved, whole, and how one can tell that it is.",
            },
            "token_budget": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": MAX_COUNT,
                "description": "Most tokens that the goal may use; null for no limit.",
            },
            "criteria": {
                "type": ["array", "null"],
                "maxItems": MAX_ITEMS,
                "items": {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_LENGTH},
                "description": "What must each be shown before the goal is complete.",
            },
        },
        "required": ["objective"],
        "additionalProperties": False,
    },
)
GET_GOAL: Final = ToolDefinition(
    name="get_goal",
    description=(
        "Return this thread's goal: objective, criteria, status, use against the budgets, and "
        "how many blocked claims in a row are recorded."
    ),
    parameters={"type": "object", "properties": {}, "additionalProperties": False},
)
UPDATE_GOAL: Final = ToolDefinition(
    name="update_goal",
    description=(
        "Claim that this thread's goal is complete or blocked; nothing else can be set with it. "
        '"complete": only when every requirement of the whole objective is shown by current '
        "evidence and nothing is left to do, never because a budget is nearly used up or the "
        "turn ends. Evidence for each criterion is required where the goal has criteria; the "
        "goal's verifiers may check the claim before it counts. "
        '"blocked": only when the same obstacle stops every useful way forward and only somebody '
        "else can remove it; the goal is blocked after several turns in a row with such a claim, "
        "until then the call answers how many are recorded. Pausing, resuming, editing and "
        "budgets belong to the person."
    ),
    parameters={
        "type": "object",
        "properties": {
            "status": {"type": "string", "enum": ["complete", "blocked"]},
            "evidence": {
                "type": ["array", "null"],
                "maxItems": MAX_ITEMS,
                "items": _EVIDENCE_ITEM,
                "description": (
                    'With "complete": what shows it now, such as a command and its result, a '
                    "file, a test run."
                ),
            },
            "reason": {
                "type": ["string", "null"],
                "maxLength": MAX_TEXT_LENGTH,
                "description": 'With "blocked": the obstacle, and who can remove it how.',
            },
            "read": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": MAX_COUNT,
                "description": (
                    "Only after a call was refused as unread: the number that the refusal named, "
                    "once its texts are taken into account."
                ),
            },
        },
        "required": ["status"],
        "additionalProperties": False,
    },
)
WAIT: Final = ToolDefinition(
    name="wait",
    description=(
        "Declare that nothing useful can be done before something outside happens, then end the "
        "turn: no turn starts and no token is spent before that. Use it in place of polling: for "
        "a time, the end of a process, an answer of the person, or an event that somebody reports."
    ),
    parameters={
        "type": "object",
        "properties": {
            "for": {"type": "string", "enum": [*WAITS_FOR]},
            "seconds": {
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "maximum": MAX_WAIT_S,
                "description": "When a timer is due; for the others, how long to wait at most.",
            },
            "pid": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "The process to wait for; it goes on when the turn ends.",
            },
            "start_time": {
                "type": ["string", "null"],
                "description": "What tells the process from later ones; null where not known.",
            },
            "note": {
                "type": ["string", "null"],
                "maxLength": MAX_TEXT_LENGTH,
                "description": "What people see of it.",
            },
            "any": {
                "type": ["boolean", "null"],
                "description": (
                    "Several waits may be declared: all have to be over, or the first with true."
                ),
            },
        },
        "required": ["for"],
        "additionalProperties": False,
    },
)
TOOLS: Final[tuple[ToolDefinition, ...]] = (CREATE_GOAL, GET_GOAL, UPDATE_GOAL, WAIT)


BY_NAME: Final[dict[str, ToolDefinition]] = {tool.name: tool for tool in TOOLS}

READ: Final = "goal"
"""The code of the reply to ``get_goal``: its answer describes the goal."""

_SEPARATORS: Final = ("__", ".", "/", ":")


def canonical(name: str) -> str:
    """Return a tool's own name without the namespace that a host put before it.

    ``mcp__goalfsm__get_goal``, ``goalfsm.get_goal`` and ``goalfsm/get_goal`` are ``get_goal``.
    """
    for separator in _SEPARATORS:
        name = name.rpartition(separator)[2]
    return name
