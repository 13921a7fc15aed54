"""Where the processor time of a turn goes: the engine's own functions, timed from outside."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from goalfsm.daemon.flow import decide, mailbox
from goalfsm.daemon.stages import run_control
from goalfsm.session.thread import GoalThread
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite.database import Database
from tests.bench.harness import Section, figure
from tests.bench.turns import WARM, played

_PARTS: Final[tuple[tuple[str, Any, str], ...]] = (
    ("SQLite: commits", Database, "write"),
    ("SQLite: reads", Database, "rows"),
    ("decide: handle()", GoalThread, "step"),
    ("decide: encode", decide, "prepare"),
    ("decide: the batch", mailbox.Mailbox, "_decide"),
    ("what follows a commit", mailbox.Mailbox, "_land"),
    ("what starts a run: its prompt, its task", run_control.RunControl, "_start"),
    ("the pump", Pump, "_flush"),
)


class Clock:
    """Adds up the time of functions, each without that of the others inside it."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = defaultdict(int)
        self._inside: list[int] = []

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            begun = time.thread_time_ns()
            self._inside.append(0)
            try:
                return function(*given, **named)
            finally:
                took = time.thread_time_ns() - begun
                self.spent[name] += took - self._inside.pop()
                if self._inside:
                    self._inside[-1] += took

        return timed


@contextmanager
def _timed(clock: Clock) -> Iterator[None]:
    with ExitStack() as stack:
        for name, owner, function in _PARTS:
            own = clock.around(name, getattr(owner, function))
            stack.enter_context(patch.object(owner, function, own))
        yield


def section(*, quick: bool) -> Section:
    """Return the parts, in microseconds a turn; what is left is asyncio's and the worker's."""
    turns = 100 if quick else 600
    clock = Clock()
    with tempfile.TemporaryDirectory() as scratch, _timed(clock):
        spent, _ = asyncio.run(played(Path(scratch) / "goals.db", turns))
    told = Section("Where the processor time of a turn goes")
    rest = spent / turns * 1e6
    for name, _, _ in _PARTS:
        # The warm turns are in there, too.
        took = clock.spent[name] / (turns + WARM) / 1000
        rest -= took
        told.figures.append(figure(name, [took], "µs"))
    told.figures.append(figure("all else: the loop, the worker, what it says", [rest], "µs"))
    return told
