"""A node's worker in process, and short waits."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

import pytest

from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker


class Turns:
    """A worker that answers at once, and claims completion in its ``last`` turn."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.seen: list[tuple[str, int, int]] = []

    async def turn(self, work: w.Work) -> AsyncIterator[w.TurnEvent | str]:
        self.seen.append((work.thread_id, work.turn, work.fence))
        yield w.UsageReported(key="call", input_tokens=10, output_tokens=5)
        yield f"step {work.turn}"
        if work.turn >= self.last:
            evidence = [{"text": "seen"}]
            arguments = {"status": "complete", "evidence": evidence}
            yield w.ToolCalled(id=1, name="update_goal", arguments=arguments)

    def worker(self) -> CallableWorker:
        return CallableWorker(self.turn)


@pytest.fixture
def turns() -> Turns:
    """Return a worker that is done after twenty turns: more than follow one another at once."""
    return Turns(20)
