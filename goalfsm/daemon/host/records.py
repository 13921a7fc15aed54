"""Where the record of a complete goal is written, for who writes it and who looks for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goalfsm.goal.model import COMPLETE

if TYPE_CHECKING:
    from goalfsm.goal.model import Goal

FOLDER: Final = "reports"
"""Where the records are, beside the database."""
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]+")
_MOST: Final = 80


def reports_folder(db: str) -> Path:
    """Return where records are written: beside the file ``db``, else in the user's state folder."""
    if db:
        return Path(db).parent / FOLDER
    from platformdirs import user_state_path  # noqa: PLC0415  most engines have a file

    return user_state_path("goalfsm", appauthor=False) / FOLDER


def record_path(db: str, thread_id: str, goal_id: str) -> Path:
    """Return the file of a goal's record."""
    return reports_folder(db) / file_name(thread_id, goal_id)


def file_name(thread_id: str, goal_id: str) -> str:
    """Return the name of a goal's record: no part of it leads out of its folder."""
    words = (_UNSAFE.sub("-", word).strip(".-")[:_MOST] for word in (thread_id, goal_id))
    return "-".join(word for word in words if word) + ".md"


def written(db: str, thread_id: str, goal: Goal | None) -> str:
    """Return the path of a goal's record on this machine; "" where none was written."""
    if goal is None or goal.status != COMPLETE:
        return ""
    path = record_path(db, thread_id, goal.goal_id)
    return str(path.absolute()) if path.is_file() else ""
