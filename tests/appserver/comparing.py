"""What two servers said to the same session, as lines, and where they differ."""

from __future__ import annotations

import difflib
import json
from typing import Any, NamedTuple

UNRECORDED = frozenset({22})
"""Answers that a recording leaves out: one that lists every method of Codex's."""


class Difference(NamedTuple):
    """Lines that follow one another in a recording, and what we say in their place."""

    recorded: tuple[str, ...]
    ours: tuple[str, ...]


class Lines:
    """The messages of one side; turns have the numbers of their order."""

    def __init__(self, thread_id: str) -> None:
        self._thread_id = thread_id
        self._turns: dict[str, int] = {}

    def of(self, messages: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
        """Return the answers and the notifications: when they cross, neither is wrong."""
        answers = [self._answer(message) for message in messages if "id" in message]
        return answers, [self._told(message) for message in messages if "method" in message]

    def _answer(self, message: dict[str, Any]) -> str:
        if "error" in message:
            error = message["error"]
            text = error["message"].replace(self._thread_id, "<id-1>")
            return f"{message['id']} error {error['code']}: {text}"
        result = message["result"]
        if result.get("goal"):
            return f"{message['id']} {self._goal(result['goal'])}"
        return f"{message['id']} {json.dumps(result)}"

    def _told(self, message: dict[str, Any]) -> str:
        method, params = message["method"], message["params"]
        assert params["threadId"] == self._thread_id
        if "turn" in params:
            turn = params["turn"]
            error = turn["error"]
            if isinstance(error, dict):
                error = error["codexErrorInfo"]
            return " ".join(filter(None, (method, self._turn(turn["id"]), turn["status"], error)))
        if "goal" in params:
            turn = "-" if params["turnId"] is None else self._turn(params["turnId"])
            return f"updated in {turn}: {self._goal(params['goal'])}"
        return method

    def _turn(self, turn_id: str) -> str:
        return f"turn {self._turns.setdefault(turn_id, len(self._turns) + 1)}"

    def _goal(self, goal: dict[str, Any]) -> str:
        assert goal["threadId"] == self._thread_id
        objective = goal["objective"]
        if len(set(objective)) == 1:
            objective = f"<{objective[0]} * {len(objective)}>"
        return (
            f"{goal['status']}, {goal['tokensUsed']} of {goal['tokenBudget']} tokens, "
            f"{goal['timeUsedSeconds']} s: {objective}"
        )


def differences(
    recorded: list[dict[str, Any]], ours: list[dict[str, Any]], thread_id: str
) -> list[Difference]:
    """Return where we differ, in order.

    An answer to a turn's request was not recorded, nor was what a turn says.
    """
    known = {message["id"] for message in recorded if "id" in message}
    ours = [
        message
        for message in ours
        if ("method" in message and not message["method"].startswith("item/"))
        or message.get("id") in known
        or ("error" in message and message["id"] not in UNRECORDED)
    ]
    found = []
    for theirs, mine in zip(Lines("<id-1>").of(recorded), Lines(thread_id).of(ours), strict=True):
        matcher = difflib.SequenceMatcher(None, theirs, mine, autojunk=False)
        found += [
            Difference(tuple(theirs[a:b]), tuple(mine[c:d]))
            for tag, a, b, c, d in matcher.get_opcodes()
            if tag != "equal"
        ]
    return found
