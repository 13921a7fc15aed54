"""Run any program as a worker: its prompt goes in, JSON lines or plain text come out.

The protocol is written down for authors of workers in ``docs/worker-protocol.md``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from goalfsm.workers.command_run import CommandRun
from goalfsm.workers.isolating import Isolation, IsolationOf
from goalfsm.workers.output import KEEP_TEXT
from goalfsm.workers.protocol import Capability, RunOnly, ToolResult, TurnEvent, Work
from goalfsm.workers.spec import CommandSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from goalfsm.workers.supervisor.client import Supervisor

GRACE_S: Final = 5.0


class CommandWorker(RunOnly):
    """Runs a program for each turn, under a supervisor. One worker may serve many runs."""

    def __init__(
        self,
        spec: CommandSpec,
        supervisor: Supervisor,
        *,
        grace_s: float = GRACE_S,
        keep_output: int = KEEP_TEXT,
        tool_directory: str | None = None,
    ) -> None:
        """Run ``spec``; a run that is ended has ``grace_s`` seconds after SIGTERM.

        ``keep_output`` characters are kept of the beginning and of the end of an answer.
        ``tool_directory`` holds the ``goalfsm`` that the program calls, by default this
        installation's.
        """
        self._isolation: IsolationOf | None = None
        self.spec = spec
        self._supervisor = supervisor
        self._grace = grace_s
        self._keep = keep_output
        self._tool_directory = tool_directory
        self._runs: dict[str, CommandRun] = {}

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return ``abort``, and what needs an open stdin when the program has one."""
        if self.spec.keeps_stdin:
            return frozenset({"abort", "steer", "tool_result"})
        return frozenset({"abort"})

    def isolate_by(self, isolation: IsolationOf) -> None:
        """Have ``isolation`` say what isolated runs see, and provide it while each lasts."""
        self._isolation = isolation

    async def run(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        """Run the program for one turn and yield what it reports, `Exited` last."""
        async with contextlib.AsyncExitStack() as around:
            isolation = None
            if self.spec.isolate and self._isolation is not None:
                isolation = await around.enter_async_context(self._isolation(work))
            async with contextlib.aclosing(self._run(work, isolation)) as events:
                async for event in events:
                    yield event

    async def _run(
        self, work: Work, isolation: Isolation | None
    ) -> AsyncGenerator[TurnEvent, None]:
        run = CommandRun(
            self.spec,
            self._supervisor,
            work,
            grace_s=self._grace,
            keep_output=self._keep,
            tool_directory=self._tool_directory,
            isolation_of=isolation,
        )
        self._runs[work.run_id] = run
        events = run.events()
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            if self._runs.get(work.run_id) is run:
                del self._runs[work.run_id]

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Send a ``steer`` line; False when the program's stdin is closed."""
        run = self._runs.get(run_id)
        return run is not None and run.send(
            {"type": "steer", "id": message_id, "text": text},
        )

    async def abort(self, run_id: str) -> bool:
        """End the run's processes and return when they are gone."""
        run = self._runs.get(run_id)
        if run is None:
            return False
        await run.abort()
        return True

    def spare(self, run_id: str, pid: int) -> None:
        """Let a process of the run go on when its first process has ended."""
        run = self._runs.get(run_id)
        if run is not None:
            run.spare(pid)

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Send a ``tool_result`` line; False when nobody waits for it any more."""
        run = self._runs.get(run_id)
        return run is not None and run.answer(call_id, result)
