"""Goals of pi, as its extension pi-codex-goal keeps them: custom entries of a session.

A session is a tree by ``parentId`` in JSON lines, version 3 (and 2, which differs in other
entries): only the branch that ends with the newest entry counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from goalfsm.importers.foreign import (
    Foreign,
    ImportUnreadable,
    Standing,
    count,
    each_of,
    home,
    rows_of,
    text,
)

_OURS: Final = "pi-codex-goal"
_VERSIONS: Final = (2, 3)
_KNOWN: Final = 1
"""The version of the extension's entries that is read."""
_STATUSES: Final[dict[str, Standing]] = {
    "active": "active",
    "paused": "paused",
    "blocked": "blocked",
    "budgetLimited": "budget_limited",
    "usageLimited": "usage_limited",
    "complete": "complete",
}
_Row = dict[str, Any]


def read(path: Path | None) -> list[Foreign | ImportUnreadable]:
    """Return the goals of a session, of a folder of sessions, or of pi's home.

    Of a folder, what cannot be read stands in the place of its goal.
    """
    named = home("PI_CODING_AGENT_DIR", ".pi/agent") / "sessions" if path is None else path
    if named.is_file():
        return [*_goals(named)]
    if not named.is_dir():
        raise ImportUnreadable(
            f"there is no {named}",
            hint="pi writes sessions below ~/.pi/agent/sessions; the path names them or one",
        )
    return each_of(named, _goals)


def _goals(path: Path) -> list[Foreign]:
    """Return the goal that the session has by now, if it has one."""
    rows = rows_of(path)
    head = next(rows, None)
    if head is None or head.get("type") != "session":
        raise ImportUnreadable(f"{path} is no session of pi: it does not begin with one")
    if head.get("version") not in _VERSIONS:
        raise ImportUnreadable(
            f"{path} is a session of version {head.get('version', 1)!r}",
            hint="pi rewrites it as version 3 when it opens it",
        )
    goal = _last(_branch(list(rows)), path)
    return [] if goal is None else [_goal(goal, head, path)]


def _branch(rows: list[_Row]) -> list[_Row]:
    """Return the entries from the root to the newest one, in this order."""
    known = {row["id"]: row for row in rows if isinstance(row.get("id"), str)}
    found: list[_Row] = []
    seen: set[str] = set()
    at = next((row["id"] for row in reversed(rows) if row.get("id") in known), None)
    while at is not None and at in known and at not in seen:
        seen.add(at)
        found.append(known[at])
        at = known[at].get("parentId")
    return found[::-1]


def _last(branch: list[_Row], path: Path) -> _Row | None:
    """Return the goal after all entries, None where there is none."""
    goal: _Row | None = None
    for row in branch:
        said = row.get("data")
        if row.get("type") != "custom" or row.get("customType") != _OURS:
            continue
        if not isinstance(said, dict) or said.get("version") != _KNOWN:
            raise ImportUnreadable(
                f"{path}: an entry of {_OURS} is of a version that is not known",
                hint="this reads entries of version 1",
            )
        match said.get("kind"):
            case "set":
                goal = said.get("goal") if isinstance(said.get("goal"), dict) else None
            case "usage" if goal is not None and goal.get("goalId") == said.get("goalId"):
                usage, status = said.get("usage"), said.get("status", goal.get("status"))
                goal = goal | {"usage": usage, "status": status}
            case "clear":
                goal = None
            case _:  # what it notes of recovery is its own
                pass
    return goal


def _goal(goal: _Row, head: _Row, path: Path) -> Foreign:
    session = text(head.get("id"), "a session", path)
    status = _STATUSES.get(str(goal.get("status")))
    if status is None:
        raise ImportUnreadable(f"{path}: its goal has the status {goal.get('status')!r}")
    usage = goal.get("usage")
    used = usage if isinstance(usage, dict) else {}
    cwd = head.get("cwd")
    return Foreign(
        source=f"pi:{session}/{goal.get('goalId')}",
        name=f"pi-{session}",
        objective=text(goal.get("objective"), "an objective", path),
        status=status,
        token_budget=count(goal.get("tokenBudget")) or None,
        tokens=count(used.get("tokensUsed")),
        seconds=count(used.get("activeSeconds")),
        created_at=count(goal.get("createdAt")) or None,
        cwd=cwd if isinstance(cwd, str) else None,
    )
