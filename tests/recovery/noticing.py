"""Judging a table by its changes: each row dropped or altered once must be noticed by something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

Rows = TypeVar("Rows")


class Judged(NamedTuple):
    """How many changes were made, what noticed them, and which of them nothing noticed."""

    noticed: Counter[str]
    missed: list[str]

    def __str__(self) -> str:
        changes = self.noticed.total() + len(self.missed)
        return f"{changes} changes, noticed by {dict(self.noticed)}, missed {len(self.missed)}"


def judge(changes: Iterable[tuple[str, Rows]], noticed_by: Callable[[Rows], str | None]) -> Judged:
    """Ask ``noticed_by`` about each change, a description and the changed rows."""
    judged = Judged(Counter(), [])
    for what, rows in changes:
        notice = noticed_by(rows)
        if notice is None:
            judged.missed.append(what)
        else:
            judged.noticed[notice] += 1
    return judged
