"""What every message has to look like: as Codex prints it, or as it is written down here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator

from tests.agents import homes

STATUSES: Final = ["active", "paused", "blocked", "usageLimited", "budgetLimited", "complete"]
_TEXT: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}


def _object(required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required.split(), "properties": properties}


_GOAL: Final = _object(
    "threadId objective status tokensUsed timeUsedSeconds createdAt updatedAt",
    threadId=_TEXT,
    objective=_TEXT,
    status={"enum": STATUSES},
    tokenBudget={"type": ["integer", "null"]},
    tokensUsed=_INTEGER,
    timeUsedSeconds=_INTEGER,
    createdAt=_INTEGER,
    updatedAt=_INTEGER,
)
_TURN: Final = _object(
    "id items status",
    id=_TEXT,
    items={"type": "array"},
    status={"enum": ["completed", "interrupted", "failed", "inProgress"]},
    error={"anyOf": [{"type": "null"}, _object("message", message=_TEXT)]},
)
_MESSAGE: Final = _object("type id text", type={"enum": ["agentMessage"]}, id=_TEXT, text=_TEXT)
_TURN_TOLD: Final = _object("threadId turn", threadId=_TEXT, turn=_TURN)
WRITTEN: Final[dict[str, dict[str, Any]]] = {
    "thread/goal/set": _object("goal", goal=_GOAL),
    "thread/goal/get": _object("goal", goal={"anyOf": [{"type": "null"}, _GOAL]}),
    "thread/goal/clear": _object("cleared", cleared={"type": "boolean"}),
    "turn/start": _object("turn", turn=_TURN),
    "turn/steer": _object("turnId", turnId=_TEXT),
    # turnId is required by its types, if not by its schema.
    "thread/goal/updated": _object(
        "threadId turnId goal", threadId=_TEXT, turnId={"type": ["string", "null"]}, goal=_GOAL
    ),
    "thread/goal/cleared": _object("threadId", threadId=_TEXT),
    "turn/started": _TURN_TOLD,
    "turn/completed": _TURN_TOLD,
    "item/started": _object(
        "item startedAtMs threadId turnId",
        item=_MESSAGE,
        startedAtMs=_INTEGER,
        threadId=_TEXT,
        turnId=_TEXT,
    ),
    "item/agentMessage/delta": _object(
        "delta itemId threadId turnId", delta=_TEXT, itemId=_TEXT, threadId=_TEXT, turnId=_TEXT
    ),
    "item/completed": _object(
        "item completedAtMs threadId turnId",
        item=_MESSAGE,
        completedAtMs=_INTEGER,
        threadId=_TEXT,
        turnId=_TEXT,
    ),
}
"""The shapes by method: an answer's, or a notification's."""
_FILES: Final = {
    "initialize": "v1/InitializeResponse",
    "thread/start": "v2/ThreadStartResponse",
    "thread/resume": "v2/ThreadResumeResponse",
    "thread/goal/set": "v2/ThreadGoalSetResponse",
    "thread/goal/get": "v2/ThreadGoalGetResponse",
    "thread/goal/clear": "v2/ThreadGoalClearResponse",
    "turn/start": "v2/TurnStartResponse",
    "turn/steer": "v2/TurnSteerResponse",
    "turn/interrupt": "v2/TurnInterruptResponse",
    "thread/started": "v2/ThreadStartedNotification",
    "thread/goal/updated": "v2/ThreadGoalUpdatedNotification",
    "thread/goal/cleared": "v2/ThreadGoalClearedNotification",
    "turn/started": "v2/TurnStartedNotification",
    "turn/completed": "v2/TurnCompletedNotification",
    "item/started": "v2/ItemStartedNotification",
    "item/agentMessage/delta": "v2/AgentMessageDeltaNotification",
    "item/completed": "v2/ItemCompletedNotification",
}


def printed(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the shapes as the installed Codex prints them into ``folder``."""
    program = str(homes.NODE_MODULES / ".bin" / "codex")
    argv = [program, "app-server", "generate-json-schema", "--experimental", "--out", str(folder)]
    path = f"{homes.NODE}:/usr/bin:/bin"
    subprocess.run(argv, check=True, env={"PATH": path, "HOME": str(folder)}, timeout=60)
    return {
        method: json.loads((folder / f"{name}.json").read_text()) for method, name in _FILES.items()
    }


def requests(folder: Path) -> dict[str, Any]:
    """Return the shape of every request, once `printed` has filled ``folder``."""
    shape: dict[str, Any] = json.loads((folder / "ClientRequest.json").read_text())
    return shape


def check(shapes: dict[str, dict[str, Any]], method: str, message: Any) -> None:
    """Raise where a message has not the shape of its method."""
    if (shape := shapes.get(method)) is not None:
        Draft7Validator(shape).validate(message)
