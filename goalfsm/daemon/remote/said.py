"""How much runs may say over sockets: all of it is kept in the journal, also what is refused."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from goalfsm.errors import GoalError

MAX_SAID: Final = 8 * 1024 * 1024
"""Most bytes of tool calls and waits of one turn, as of the lines that a worker prints."""
_MOST: Final = 10_000
"""Of so many threads it is known how much their turns have said."""


class Said:
    """Counts the bytes of each thread's turn; another turn starts afresh."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._of: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def add(self, thread_id: str, run_id: str, size: int) -> None:
        """Count ``size`` bytes of what a run said; raise GoalError where that is too much."""
        run, before = self._of.pop(thread_id, ("", 0))
        total = size + (before if run == run_id else 0)
        self._of[thread_id] = (run_id, total)
        if len(self._of) > _MOST:
            self._of.popitem(last=False)
        if total > MAX_SAID:
            raise GoalError(
                f"this turn has said too much: {MAX_SAID // 1024**2} MiB of tool calls",
                code="too_much",
                hint="end the turn; the next one may go on",
            )
