"""One turn of an agent: a supervised process, and the dialect that it speaks."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.agents.claude import Claude
from goalfsm.workers.agents.codex import Codex
from goalfsm.workers.agents.dialect import Dialect, Task
from goalfsm.workers.agents.jsonrpc import MAX_LINE, Lines
from goalfsm.workers.agents.pi import Pi
from goalfsm.workers.isolating import NOTHING_OUTLIVES, waits_for_a_process
from goalfsm.workers.output import KEEP_TEXT, BoundedText, ended, lost
from goalfsm.workers.piped import PipedProcess
from goalfsm.workers.protocol import (
    ErrorReported,
    RetryReported,
    Skipped,
    Spawned,
    Text,
    ToolCalled,
    ToolResult,
    TurnEvent,
    UsageReported,
    Work,
)
from goalfsm.workers.spec import worker_environment
from goalfsm.workers.supervised import MAX_EVENTS_WAITING, SupervisedRun
from goalfsm.workers.supervisor import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from goalfsm.workers.agents.spec import AgentSpec
    from goalfsm.workers.isolating import Isolation
    from goalfsm.workers.piped import Channel
    from goalfsm.workers.supervisor.client import Supervisor

_DIALECTS: Final[Mapping[str, type[Dialect]]] = {"codex": Codex, "claude": Claude, "pi": Pi}

INTERRUPT_S: Final = 2.0
"""How long an agent may take to stop its turn by itself, before it gets SIGTERM."""
LEAVE_S: Final = 5.0
"""How long an agent may take to exit when its turn is over and its stdin has ended."""
MAX_RETRY_S: Final = 3600.0
"""How long an agent's own wait before a retry is not taken for silence."""
_ATTEMPTS: Final = 2


def dialect_of(agent: str) -> type[Dialect]:
    """Return how an agent speaks; GoalError where what that needs is not installed."""
    if agent != "acp":
        return _DIALECTS[agent]
    try:
        from goalfsm.workers.agents.acp import Acp  # noqa: PLC0415  an extra, and slow to import
    except ImportError as error:
        raise GoalError(
            f"the Agent Client Protocol needs a library that is not installed: {error.name}",
            code="extra_missing",
            hint='pip install "goalfsm[acp]"',
        ) from None
    return Acp


class AgentRun(SupervisedRun):
    """Drives an agent from its start until nothing of its process group is left."""

    def __init__(  # noqa: PLR0913 - a run is what it is given
        self,
        spec: AgentSpec,
        supervisor: Supervisor | None,
        work: Work,
        *,
        grace_s: float,
        compact: bool = False,
        isolation: Isolation | None = None,
    ) -> None:
        """Start no process before `events` is iterated.

        Raises GoalError without a ``supervisor``, where the run would start a process.
        """
        super().__init__(work, cwd=spec.cwd, isolate=spec.isolate, isolation=isolation)
        self._spec = spec
        self._supervisor = supervisor
        self._grace = grace_s
        self._compact = compact
        self._answer = BoundedText(KEEP_TEXT)
        self._lines = Lines()
        self._calls = 0
        self._begin(attempt=0, lost=False)

    def _begin(self, *, attempt: int, lost: bool) -> None:
        """Prepare a process of its own and a dialect for it."""
        spec, work = self._spec, self._work
        task = Task(
            work=work,
            args=spec.args,
            cwd=spec.cwd,
            env=worker_environment(work, names=spec.env_names, cwd=spec.cwd, isolated=spec.isolate),
            compact=self._compact,
            attempt=attempt,
            lost=lost,
        )
        self._dialect = self._speak(task)
        self._lines = Lines()
        self._process = self._place()

    def _speak(self, task: Task) -> Dialect:
        return dialect_of(self._spec.agent)(task)

    def _place(self) -> Channel:
        if self._supervisor is None:
            raise GoalError(
                "an agent needs a supervisor for its processes",
                code="supervisor_missing",
                hint="give it to an Engine, or pass one: AgentWorker(spec, supervisor)",
            )
        return PipedProcess(
            self._supervisor,
            self._work.run_id,
            heard=self._output,
            signs=self._sign,
            gone=self._gone,
            grace_s=self._grace,
        )

    @property
    def changed(self) -> bool:
        """Return whether the session's context was shortened."""
        return self._dialect.changed

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield what happens; closing the generator early ends the run at once."""
        try:
            for attempt in range(_ATTEMPTS):
                if attempt:
                    self._begin(attempt=attempt, lost=True)
                try:
                    yield await self._start()
                except GoalError as error:
                    for event in self._not_started(error):
                        yield event
                    return
                async for event in self._listen():
                    yield event
                if not self._dialect.lost or self._dialect.task.lost or self._is_ended:
                    break
            for event in self._verdict():
                yield event
        finally:
            await self._process.dismantle()
            self._done.set()

    def steer(self, message_id: str, text: str) -> bool:
        """Hand the agent a person's message; False when it cannot take it now."""
        if self._aborted or self._late is not None or self._process.has_exited:
            return False
        return self._dialect.steer(message_id, text) and self._write()

    def _give(self, call_id: str | int, result: ToolResult) -> bool:
        self._dialect.answer(call_id, result)
        return self._write()

    # Starting.

    async def _start(self) -> TurnEvent:
        launch = self._dialect.launch()
        env = {**self._dialect.task.env, **launch.env}
        argv = self._confined(launch.argv, env)
        child = await self._process.start(argv, cwd=self._spec.cwd, env=env)
        self._process.write(b"".join(launch.lines))
        if self._is_ended:
            self._process.end_soon()
        return Spawned(pid=child.pid, pgid=child.pgid, start_time=child.start_time)

    # Listening. What follows is called by the loop, not by the generator.

    def _output(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line is None:
                self._take([Skipped(reason=f"too long: over {MAX_LINE:,} bytes")])
            else:
                self._take(self._dialect.hear(line, time.time()))
        self._write()
        if self._dialect.over:
            self._leave()
        if len(self._events) > MAX_EVENTS_WAITING:
            self._process.hold(held=True)

    def _take(self, events: Iterable[TurnEvent]) -> None:
        for event in events:
            match event:
                case Text(text=text):
                    if not (kept := self._answer.add(text)):
                        continue
                    self._events.append(Text(text=kept))
                    continue
                case UsageReported(key=""):
                    self._calls += 1
                    event = msgspec.structs.replace(event, key=str(self._calls))  # noqa: PLW2901
                case RetryReported(seconds=seconds):
                    self._heard += min(max(0.0, seconds), MAX_RETRY_S)
                case ToolCalled() if self._spec.isolate and waits_for_a_process(event):
                    self._dialect.answer(event.id, NOTHING_OUTLIVES)
                    continue
                case ToolCalled(id=call_id):
                    self._unanswered.add(call_id)
                    event = self._named(event)  # noqa: PLW2901
                case ErrorReported():
                    self._failed = True
            self._events.append(event)
        self._wake.set()

    def _named(self, call: ToolCalled) -> ToolCalled:
        """Say which process a declared wait is for, and let it go on when the turn ends."""
        pid = call.arguments.get("pid")
        if not waits_for_a_process(call) or not isinstance(pid, int) or pid <= 1:
            return call
        self.spare(pid)
        started = {"start_time": identity.start_time(pid) or None}
        return msgspec.structs.replace(call, arguments={**call.arguments, **started})

    def _write(self) -> bool:
        lines = self._dialect.take_lines()
        return not lines or self._process.write(lines)

    def _gone(self) -> None:
        self._dialect.ended(self._process.messages)
        if text := self._answer.finish():
            self._events.append(Text(text=text))
        self._wake.set()

    # Stopping.

    @property
    def _is_over(self) -> bool:
        return self._dialect.over

    @property
    def _is_asking(self) -> bool:
        return super()._is_asking or self._dialect.is_asking

    def _leave(self) -> None:
        """Let the agent go: its turn is over. One that stays is ended."""
        if self._process.has_exited:
            return
        self._process.end_input()
        asyncio.get_running_loop().call_later(LEAVE_S, self._end, self._process)

    def _stop(self) -> None:
        """Interrupt the agent, so that its session stays whole; then end it."""
        self._dialect.interrupt()
        self._write()
        if self._dialect.over:
            self._process.end_soon()
        else:
            asyncio.get_running_loop().call_later(INTERRUPT_S, self._end, self._process)

    def _end(self, process: Channel) -> None:
        if process is self._process and not process.has_exited:
            process.end_soon()

    # The end.

    def _failure(self, code: int | None) -> ErrorReported | None:
        """Return what the end of the process says, where the agent itself has said nothing."""
        name = self._dialect.name
        if (refused := self._refused(code)) is not None:
            return refused
        if self._process.left:
            return lost(name, self._process.left)
        if self._dialect.over or self._failed:
            return None
        if code is None:
            return lost(name)
        words = self._process.messages.strip()
        return ended(name, code, words, where=" in the middle of its turn")
