"""Run any program as a worker: its prompt goes in, JSON lines or plain text come out.

The protocol is written down for authors of workers in ``docs/worker-protocol.md``.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from goalfsm.workers.command_run import CommandRun
from goalfsm.workers.protocol import Capability, TurnEvent, Work
from goalfsm.workers.spec import CommandSpec
from goalfsm.workers.supervised import SupervisedWorker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from goalfsm.workers.supervisor.client import Supervisor

GRACE_S: Final = 5.0


class CommandWorker(SupervisedWorker[CommandRun]):
    """Runs a program for each turn, under a supervisor. One worker may serve many runs."""

    def __init__(
        self,
        spec: CommandSpec,
        supervisor: Supervisor,
        *,
        grace_s: float = GRACE_S,
        tool_directory: str | None = None,
    ) -> None:
        """Run ``spec``; a run that is ended has ``grace_s`` seconds after SIGTERM.

        ``tool_directory`` holds the ``goalfsm`` that the program calls, by default this
        installation's.
        """
        super().__init__()
        self.spec = spec
        self._supervisor = supervisor
        self._grace = grace_s
        self._tool_directory = tool_directory

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return ``abort``, and what needs an open stdin when the program has one."""
        if self.spec.keeps_stdin:
            return frozenset({"abort", "steer", "tool_result"})
        return frozenset({"abort"})

    async def run(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        """Run the program for one turn and yield what it reports, `Exited` last."""
        async with self._isolated(work, wanted=self.spec.isolate) as isolation:
            run = CommandRun(
                self.spec,
                self._supervisor,
                work,
                grace_s=self._grace,
                tool_directory=self._tool_directory,
                isolation_of=isolation,
            )
            async with contextlib.aclosing(self._follow(run, work)) as events:
                async for event in events:
                    yield event

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Send a ``steer`` line; False when the program's stdin is closed."""
        run = self._runs.get(run_id)
        return run is not None and run.send(
            {"type": "steer", "id": message_id, "text": text},
        )
