"""A node as a process, for takeovers: it notes what it begins, and may stand still at it for ever.

``python -m tests.cluster.standing_still DSN NAME LOG [still]``
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from goalfsm.cluster.engine import ClusterEngine
from goalfsm.daemon.stages.notifications import CALLBACK, Notifier
from goalfsm.session.policy import Policy
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import CallableWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from goalfsm.daemon.stages.performers import CallbackCall
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Claim

WAIT_S: Final = 6.0
"""For how long a goal waits by a timer: longer than a lease lasts."""
DONE: Final = w.ToolCalled(
    id=1, name="update_goal", arguments={"status": "complete", "evidence": [{"text": "seen"}]}
)
TOO_LONG: Final = w.ErrorReported(message="prompt is too long: 250000 tokens > 200000 maximum")


class Holder:
    """What a node does, thread by thread: the thread's name says what is tried."""

    def __init__(self, name: str, log: Path, *, still: bool) -> None:
        self.name, self.log, self.still = name, log, still

    def note(self, what: str) -> None:
        """Write a line of the log, whole."""
        line = f"{what} {self.name} {time.time_ns()}\n"
        descriptor = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    async def begin(self, what: str) -> None:
        """Note that something begins, and stand still at it where this node does."""
        self.note(what)
        if self.still:
            await asyncio.Event().wait()

    async def turn(self, work: w.Work) -> AsyncIterator[w.TurnEvent | str]:
        """Do a turn: the first asks for what is tried, the second one completes the goal."""
        self.note("turn")
        yield w.UsageReported(key="one", input_tokens=10, output_tokens=5)
        yield w.ProgressReported()
        first = work.turn == 1
        if first and work.thread_id == "timer":
            yield w.WaitDeclared(for_="timer", seconds=WAIT_S)
        elif first and work.thread_id == "process":
            pid = int(self.log.with_name("pid").read_text("utf-8"))
            yield w.WaitDeclared(for_="process", pid=pid)
        elif first and work.thread_id == "compaction":
            yield TOO_LONG
        else:
            yield DONE

    async def compact(self, work: w.Work) -> bool:
        """Shorten the context."""
        del work
        await self.begin("compaction")
        return True

    async def check(self, goal: Goal, claim: Claim) -> bool:
        """Verify a claim."""
        del goal, claim
        await self.begin("verifier")
        return True

    async def call(self, call: CallbackCall) -> None:
        """Tell somebody that a goal has ended."""
        if call.thread_id == "callback":
            await self.begin("callback")

    async def serve(self, dsn: str) -> None:
        """Serve until killed."""
        engine = ClusterEngine(
            dsn,
            workers=CallableWorker(self.turn, compact=self.compact),
            policy=Policy(no_progress=0),
            machine=Notifier.machine(),
            callbacks={CALLBACK: self.call},
            verifiers={"check": self.check},
            name=self.name,
            grace_s=0,
        )
        async with engine:
            self.note("there")
            await engine.wait()


if __name__ == "__main__":
    dsn, name, log, *still = sys.argv[1:]
    asyncio.run(Holder(name, Path(log), still=bool(still)).serve(dsn))
