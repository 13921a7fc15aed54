"""Goals of Claude Code: the ``goal_status`` attachments of a session's transcript.

The last one says how the goal stands. What it used is said once it is met or given up.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final

from goalfsm.importers.foreign import (
    Foreign,
    ImportUnreadable,
    count,
    each_of,
    home,
    rows_of,
    text,
)
from goalfsm.text import line

_KIND: Final = "goal_status"
_NOTE: Final = 500
_Row = dict[str, Any]


def read(path: Path | None) -> list[Foreign | ImportUnreadable]:
    """Return the goals of a transcript, of a folder of them, or of Claude's home.

    Of a folder, what cannot be read stands in the place of its goal.
    """
    named = home("CLAUDE_CONFIG_DIR", ".claude") / "projects" if path is None else path
    if named.is_file():
        return [*_goals(named, list(rows_of(named)))]
    if not named.is_dir():
        raise ImportUnreadable(
            f"there is no {named}",
            hint="Claude Code writes transcripts below ~/.claude/projects; "
            "the path names them or one",
        )
    # Most rows have no goal, and are not looked into.
    return each_of(named, lambda one: _goals(one, list(rows_of(one, having=_KIND.encode()))))


def _goals(path: Path, rows: list[_Row]) -> list[Foreign]:
    """Return the goal that the transcript's session has or had last, unless it was given up."""
    told = [row for row in rows if _status(row) is not None]
    if not told:
        return []
    last = told[-1]
    status = _status(last) or {}
    if status.get("met") and status.get("sentinel"):
        return []  # cleared
    begun = next(row for row in reversed(told) if _begins(row, status) or row is told[0])
    session = text(last.get("sessionId"), "a session", path)
    reason = status.get("reason")
    cwd = last.get("cwd")
    standing: Any = "active"
    if status.get("met"):
        standing = "complete"
    elif status.get("failed"):
        standing = "blocked"
    return [
        Foreign(
            source=f"claude:{session}/{begun.get('uuid')}",
            name=f"claude-{session}",
            objective=text(status.get("condition"), "a condition", path),
            status=standing,
            tokens=count(status.get("tokens")),
            seconds=count(status.get("durationMs")) // 1000,
            created_at=_moment(begun.get("timestamp")),
            cwd=cwd if isinstance(cwd, str) else None,
            note=line(reason)[:_NOTE] if isinstance(reason, str) and standing == "blocked" else "",
        )
    ]


def _status(row: _Row) -> _Row | None:
    said = row.get("attachment")
    if row.get("type") != "attachment" or not isinstance(said, dict) or row.get("isSidechain"):
        return None
    return said if said.get("type") == _KIND else None


def _begins(row: _Row, status: _Row) -> bool:
    """Tell whether the row is where the goal was given."""
    said = _status(row) or {}
    given = bool(said.get("sentinel")) and not said.get("met")
    return given and said.get("condition") == status.get("condition")


def _moment(stamp: object) -> int | None:
    try:
        return int(datetime.fromisoformat(str(stamp)).timestamp())
    except ValueError:
        return None
