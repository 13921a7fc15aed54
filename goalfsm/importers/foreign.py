"""A goal as another program left it, and what reading its files may come to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from goalfsm.errors import GoalError
from goalfsm.files import open_regular
from goalfsm.text import line

Standing = Literal["active", "paused", "blocked", "usage_limited", "budget_limited", "complete"]
_MOST_BYTES: Final = 64 * 1024 * 1024
"""Most bytes of one line of a session: more is no session."""


class ImportUnreadable(GoalError):
    """A file of another program is not what it should be; nothing was imported."""

    code = "import_unreadable"
    hint = "name a file that the program wrote itself, or leave the path out to read its home"


class Foreign(msgspec.Struct, frozen=True, kw_only=True):
    """One goal of another program.

    ``source`` names it there, ``name`` is the thread that it becomes here. ``tokens`` and
    ``seconds`` are what it has used, ``created_at`` is in unix seconds, ``cwd`` the directory that
    it was worked on in; None where the program does not say.
    """

    source: str
    name: str
    objective: str
    status: Standing
    token_budget: int | None = None
    tokens: int = 0
    seconds: int = 0
    created_at: int | None = None
    cwd: str | None = None
    note: str = ""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of all that was read: it changes when the goal does there."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


def rows_of(path: Path, *, having: bytes = b"") -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; raise ImportUnreadable for anything else.

    Lines without ``having`` are passed over. A last line without an end is left out where it is
    no object yet: its program is writing it.
    """
    try:
        with open_regular(path) as file:
            for number, row in enumerate(iter(lambda: file.readline(_MOST_BYTES), b""), 1):
                if not row.strip() or having not in row:
                    continue
                try:
                    yield _object(row, path, number)
                except ImportUnreadable:
                    if row.endswith(b"\n") or number == 1 or len(row) >= _MOST_BYTES:
                        raise
    except OSError as error:
        raise ImportUnreadable(f"{path} cannot be read: {error.strerror}") from error


def each_of(
    folder: Path, read: Callable[[Path], list[Foreign]]
) -> list[Foreign | ImportUnreadable]:
    """Return the goals of all sessions below a folder, and what could not be read of them."""
    found: list[Foreign | ImportUnreadable] = []
    for session in sorted(folder.rglob("*.jsonl")):
        try:
            found += read(session)
        except ImportUnreadable as error:
            found.append(error)
    return found


def _object(row: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(row)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ImportUnreadable(f"{path}, line {number}, is no JSON object")
    return found


def home(variable: str, default: str) -> Path:
    """Return the folder that a program keeps its files in: by its variable, or as usual."""
    named = os.environ.get(variable)
    return Path(named) if named else Path.home() / default


def count(value: object) -> int:
    """Return a count that a file gives, 0 for anything that is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, int(value)) if value == value and abs(value) < 2**53 else 0  # noqa: PLR0124  no number


def text(value: object, what: str, path: Path) -> str:
    """Return a text that a file has to give; raise ImportUnreadable for anything else."""
    if not isinstance(value, str) or not value.strip():
        raise ImportUnreadable(f"{path}: a goal without {what}: {line(str(value))[:80]}")
    return value
