"""Run any program as a worker: its prompt goes in, JSON lines or plain text come out.

The protocol is written down for authors of workers in ``docs/worker-protocol.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.isolating import NOTHING_OUTLIVES, Isolation, waits_for_a_process
from goalfsm.workers.lines import OutputReader, other_format
from goalfsm.workers.output import KEEP_TEXT, ended, lost
from goalfsm.workers.piped import PipedProcess
from goalfsm.workers.protocol import (
    Capability,
    ErrorReported,
    ModelTurnStarted,
    Skipped,
    Spawned,
    ToolCalled,
    ToolResult,
    TurnEvent,
    WaitDeclared,
    Work,
)
from goalfsm.workers.spec import CommandSpec, plain, worker_environment
from goalfsm.workers.supervised import MAX_EVENTS_WAITING, SupervisedRun, SupervisedWorker
from goalfsm.workers.supervisor import identity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from goalfsm.workers.supervisor.client import Child, Supervisor


_MAX_BYTES_WAITING: Final = 4 * 1024 * 1024
_MAX_ARGUMENT: Final = 128 * 1024 - 1
"""Most bytes of one argument on Linux, without the byte that ends it."""
_ON_STDIN: Final = (
    "The whole prompt is on standard input: read it to its end, then do what it says."
)


class CommandRun(SupervisedRun):
    """Drives one process from its start until nothing of its group is left."""

    def __init__(  # noqa: PLR0913 - a run is what it is given
        self,
        spec: CommandSpec,
        supervisor: Supervisor,
        work: Work,
        *,
        grace_s: float,
        tool_directory: str | None,
        isolation_of: Isolation | None = None,
    ) -> None:
        """Start no process before `events` is iterated."""
        super().__init__(work, cwd=spec.cwd, isolate=spec.isolate, isolation=isolation_of)
        self._spec = spec
        self._tool_directory = tool_directory
        self._reader = OutputReader(spec.output, keep=KEEP_TEXT)
        self._process = self._program = PipedProcess(
            supervisor,
            work.run_id,
            heard=self._output,
            signs=self._sign,
            gone=self._gone,
            grace_s=grace_s,
        )
        self._backlog = 0
        self._too_long = False

    async def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield what happens; closing the generator early ends the run at once."""
        try:
            try:
                child = await self._start()
            except GoalError as error:
                for event in self._not_started(error):
                    yield event
                return
            yield Spawned(pid=child.pid, pgid=child.pgid, start_time=child.start_time)
            async for event in self._listen():
                yield event
            for event in self._verdict():
                yield event
        finally:
            await self._process.dismantle()
            self._done.set()

    def send(self, line: Mapping[str, object]) -> bool:
        """Write a JSON line to the program; False when it cannot get it."""
        if self._reader.mode == "text":
            return False
        return self._process.write(msgspec.json.encode(line) + b"\n")

    def steer(self, message_id: str, text: str) -> bool:
        """Send a ``steer`` line; False when the program's stdin is closed."""
        return self.send({"type": "steer", "id": message_id, "text": text})

    def _give(self, call_id: str | int, result: ToolResult) -> bool:
        told = msgspec.to_builtins(result)
        return self.send({"type": "tool_result", "id": call_id, **told, "ok": result.ok})

    def _stop(self) -> None:
        self._process.end_soon()

    # Starting.

    async def _start(self) -> Child:
        """Start the program and give it its prompt; GoalError when it cannot be started."""
        spec, work = self._spec, self._work
        argv = list(spec.argv)
        if spec.prompt_arg:
            prompt = plain(work.prompt)
            self._too_long = len(prompt.encode()) > _MAX_ARGUMENT
            argv.append(_ON_STDIN if self._too_long else prompt)
        env = worker_environment(
            work,
            names=spec.env_names,
            cwd=spec.cwd,
            tool_directory=self._tool_directory,
            isolated=spec.isolate,
        )
        needs_input = spec.keeps_stdin or not spec.prompt_arg or self._too_long
        child = await self._program.start(
            self._confined(argv, env), cwd=spec.cwd, env=env, needs_input=needs_input
        )
        if needs_input:
            self._give_prompt()
        if self._is_ended:
            self._process.end_soon()
        return child

    def _give_prompt(self) -> None:
        prompt = self._work.prompt
        if self._spec.keeps_stdin and not (self._too_long and self._spec.stdin == "auto"):
            if not self._spec.prompt_arg or self._too_long:
                self.send({"type": "prompt", "text": prompt})
            return
        self._process.write(prompt.encode("utf-8", "replace"))
        self._process.end_input()

    # Listening. What follows is called by the loop, not by the generator.

    def _output(self, data: bytes) -> None:
        self._take(self._reader.feed(data))
        for call_id in self._reader.unanswered:
            self._refuse(call_id)
        self._reader.unanswered.clear()
        if self._reader.mode == "text":
            # Plain text has no use for lines; a program that reads to the end may go on.
            self._process.end_input()
        self._backlog += len(data)
        full = len(self._events) > MAX_EVENTS_WAITING or self._backlog > _MAX_BYTES_WAITING
        if self._events and full:
            self._process.hold(held=True)

    def _caught_up(self) -> None:
        self._backlog = 0
        super()._caught_up()

    def _refuse(self, call_id: str | int) -> None:
        """Answer a call that is not carried out: its program may wait for that."""
        refused = {"ok": False, "error": "this turn reported too much", "code": "too_much"}
        self.send({"type": "tool_result", "id": call_id, **refused})

    def _take(self, events: list[TurnEvent]) -> None:
        for event in events:
            if isinstance(event, ErrorReported):
                self._failed = True
            elif isinstance(event, ModelTurnStarted):
                # Another model call begins: what failed before was not the end of it.
                self._failed = False
            elif isinstance(event, ToolCalled) and self._is_no_wait(event):
                refused = msgspec.to_builtins(NOTHING_OUTLIVES)
                self.send({"type": "tool_result", "id": event.id, **refused})
                continue
            elif isinstance(event, ToolCalled) and self._spec.keeps_stdin:
                self._unanswered.add(event.id)
            elif isinstance(event, WaitDeclared) and event.pid is not None and self._spec.isolate:
                # Its numbers are those of its own namespace, which ends with the turn.
                event = Skipped(reason="invalid wait: nothing of an isolated turn outlives it")  # noqa: PLW2901
            elif isinstance(event, WaitDeclared) and event.pid is not None:
                self.spare(event.pid)
                started = identity.start_time(event.pid) or None
                event = msgspec.structs.replace(event, start_time=started)  # noqa: PLW2901
            self._events.append(event)
        if events:
            self._wake.set()

    def _is_no_wait(self, call: ToolCalled) -> bool:
        return self._spec.isolate and waits_for_a_process(call)

    def _gone(self) -> None:
        self._take(self._reader.finish())
        self._done.set()
        self._wake.set()

    # The end.

    def _failure(self, code: int | None) -> ErrorReported | None:
        name = Path(self._spec.argv[0]).name
        if code is None:
            return lost(name, self._process.left)
        if self._failed:
            # What the program itself reported says more than its status.
            return None
        if code == 0:
            return self._misunderstood(name)
        # The program's own words: what it says to people, or else the end of what it answered.
        words = self._process.messages.strip() or self._reader.words.strip()
        return self._refused(code) or ended(name, code, words)

    def _misunderstood(self, name: str) -> ErrorReported | None:
        """Return the refusal of a turn that went well, but in a format that says nothing here."""
        tongue = self._reader.tongue
        if tongue is None:
            return None
        return ErrorReported(
            message=f"{name}: {other_format(tongue)}",
            source="exit",
            code="other_format",
            failure="invalid_request",
        )


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
        super().__init__(isolate=spec.isolate)
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

    async def _prepare(self, work: Work, isolation: Isolation | None) -> CommandRun:
        return CommandRun(
            self.spec,
            self._supervisor,
            work,
            grace_s=self._grace,
            tool_directory=self._tool_directory,
            isolation_of=isolation,
        )
