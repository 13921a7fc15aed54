"""What a command did, as a person at a terminal sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Result(NamedTuple):
    """The exit status and what was printed."""

    status: int
    out: str
    err: str

    @property
    def told_shortly(self) -> bool:
        """Tell whether the error is one line and a hint, and nothing went to stdout."""
        rows = self.err.splitlines()
        return (
            not self.out
            and len(rows) == 2
            and rows[0].startswith("goalfsm: ")
            and rows[1].startswith("Hint: ")
        )


Cli = Callable[..., Result]
