"""One turn of an agent: a supervised process, and the dialect that it speaks."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.agents.claude import Claude
from goalfsm.workers.agents.codex import Codex
from goalfsm.workers.agents.dialect import Dialect, Task
from goalfsm.workers.agents.pi import Pi
from goalfsm.workers.agents.piped import PipedProcess
from goalfsm.workers.agents.whole_lines import MAX_LINE, Lines
from goalfsm.workers.endings import ended, lost
from goalfsm.workers.environment import worker_environment
from goalfsm.workers.isolating import (
    NOTHING_OUTLIVES,
    refusal,
    starter,
    waits_for_a_process,
)
from goalfsm.workers.output import KEEP_TEXT, BoundedText
from goalfsm.workers.protocol import (
    ErrorReported,
    Exited,
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
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.spawning import SpawnError, check_program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from goalfsm.workers.agents.piped import Channel
    from goalfsm.workers.agents.spec import AgentSpec
    from goalfsm.workers.isolating import Isolation
    from goalfsm.workers.supervisor.client import Supervisor

_DIALECTS: Final[Mapping[str, type[Dialect]]] = {"codex": Codex, "claude": Claude, "pi": Pi}

INTERRUPT_S: Final = 2.0
"""How long an agent may take to stop its turn by itself, before it gets SIGTERM."""
LEAVE_S: Final = 5.0
"""How long an agent may take to exit when its turn is over and its stdin has ended."""
MAX_RETRY_S: Final = 3600.0
"""How long an agent's own wait before a retry is not taken for silence."""
_MAX_EVENTS_WAITING: Final = 1024
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


class AgentRun:
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
        """Prepare; nothing is started before `events` is iterated.

        Raises GoalError without a ``supervisor``, where the run would start a process.
        """
        self._isolation = isolation
        self._spec = spec
        self._supervisor = supervisor
        self._work = work
        self._grace = grace_s
        self._compact = compact
        self._events: deque[TurnEvent] = deque()
        self._answer = BoundedText(KEEP_TEXT)
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._lines = Lines()
        self._keep: set[int] = set()
        self._unanswered: set[str | int] = set()
        self._calls = 0
        self._aborted = False
        self._failed = False
        self._late: ErrorReported | None = None
        self._begun = self._heard = asyncio.get_running_loop().time()
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
        self._process.keep = self._keep

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

    def answer(self, call_id: str | int, result: ToolResult) -> bool:
        """Answer a goal tool that is still open; False when it is not."""
        if call_id not in self._unanswered:
            return False
        self._unanswered.discard(call_id)
        self._sign()
        self._dialect.answer(call_id, result)
        return self._write()

    def spare(self, pid: int) -> None:
        """Let a process go on when the turn has ended by itself: the goal waits for it."""
        self._keep.add(pid)

    async def abort(self) -> None:
        """Have the agent stop its turn, end it, and return when it is over."""
        if not self._aborted:
            self._aborted = True
            self._stop()
        await self._done.wait()

    # Starting.

    async def _start(self) -> TurnEvent:
        launch = self._dialect.launch()
        env = {**self._dialect.task.env, **launch.env}
        argv, cwd = [*launch.argv], self._spec.cwd
        if self._spec.isolate:
            check_program(argv, cwd, env)
            argv = starter(argv, cwd, self._isolation)
        child = await self._process.start(argv, cwd=cwd, env=env)
        self._process.write(b"".join(launch.lines))
        if self._is_ended:
            self._process.end_soon()
        return Spawned(pid=child.pid, pgid=child.pgid, start_time=child.start_time)

    def _not_started(self, error: GoalError) -> tuple[TurnEvent, ...]:
        exited = Exited(ok=False, aborted=self._aborted)
        if self._aborted:
            return (exited,)
        lost = isinstance(error, SpawnError) and error.stage == "lost"
        hint = f". Hint: {error.hint}" if error.hint else ""
        reported = ErrorReported(
            message=f"{error}{hint}",
            kind="lost" if lost else "spawn",
            source="spawn",
            code=error.code,
        )
        return (reported, exited)

    # Listening. What has no `async` is called by the loop, not by the generator.

    async def _listen(self) -> AsyncGenerator[TurnEvent, None]:
        while True:
            while self._events:
                yield self._events.popleft()
            self._process.hold(held=False)
            if self._process.is_over:
                return
            self._wake.clear()
            if not self._events:
                await self._something()

    def _sign(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    def _output(self, data: bytes) -> None:
        for line in self._lines.feed(data):
            if line is None:
                self._take([Skipped(reason=f"too long: over {MAX_LINE:,} bytes")])
            else:
                self._take(self._dialect.hear(line, time.time()))
        self._write()
        if self._dialect.over:
            self._leave()
        if len(self._events) > _MAX_EVENTS_WAITING:
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
    def _is_ended(self) -> bool:
        return self._aborted or self._late is not None

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

    # Time limits.

    async def _something(self) -> None:
        """Return when there is something new, or when a time limit was passed."""
        limit, _ = self._limit()
        try:
            async with asyncio.timeout_at(limit):
                await self._wake.wait()
        except TimeoutError:
            limit, late = self._limit()
            if limit is not None and asyncio.get_running_loop().time() >= limit:
                self._late = late
                self._stop()

    def _limit(self) -> tuple[float | None, ErrorReported | None]:
        """Return when the next time limit is passed (loop time), and what it means."""
        work = self._work
        limits: list[tuple[float, str, str]] = []
        if self._is_ended or self._dialect.over or self._process.has_exited:
            return None, None
        if (seconds := work.turn_timeout_s) is not None:
            message = f"the turn timed out after {seconds:g} s"
            limits.append((self._begun + seconds, "turn_timeout", message))
        # While it waits for an answer of ours, silence is not its fault.
        waits = self._unanswered or self._dialect.is_asking
        if (seconds := work.silence_timeout_s) is not None and not waits:
            message = f"the turn timed out: no output for {seconds:g} s"
            limits.append((self._heard + seconds, "silence_timeout", message))
        if not limits:
            return None, None
        at, code, message = min(limits)
        return at, ErrorReported(message=message, kind="timeout", code=code)

    # The end.

    def _verdict(self) -> tuple[TurnEvent, ...]:
        """Return the error that the end means, if any, and the end."""
        code, process = self._process.code, self._process
        failure = refusal(code, process.messages) if self._spec.isolate else None
        failure = None if self._aborted else failure or self._failure(code)
        exited = Exited(
            ok=not (self._aborted or self._failed or failure),
            status=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            aborted=self._aborted,
            stderr_tail=process.messages,
            left=process.left,
        )
        return (exited,) if failure is None else (failure, exited)

    def _failure(self, code: int | None) -> ErrorReported | None:
        """Return what the end of the process says, where the agent itself has said nothing."""
        name = self._dialect.name
        if self._late is not None:
            return self._late
        if self._process.left:
            return lost(name, self._process.left)
        if self._dialect.over or self._failed:
            return None
        if code is None:
            return lost(name)
        words = self._process.messages.strip()
        return ended(name, code, words, where=" in the middle of its turn")
