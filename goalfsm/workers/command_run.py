"""One run of a program: its pipes, its time limits, and what its end means."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.endings import ended, lost
from goalfsm.workers.environment import plain, worker_environment
from goalfsm.workers.isolating import (
    NOTHING_OUTLIVES,
    refusal,
    starter,
    waits_for_a_process,
)
from goalfsm.workers.lines import OutputReader, other_format
from goalfsm.workers.output import Tail
from goalfsm.workers.protocol import (
    ErrorReported,
    Exited,
    ModelTurnStarted,
    Skipped,
    Spawned,
    ToolCalled,
    ToolResult,
    TurnEvent,
    WaitDeclared,
    Work,
)
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.pipes import InputPipe, OutputPipe
from goalfsm.workers.supervisor.spawning import SpawnError, check_program, spawn_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from goalfsm.workers.isolating import Isolation
    from goalfsm.workers.spec import CommandSpec
    from goalfsm.workers.supervisor.client import Child, Supervisor

_MAX_EVENTS_WAITING: Final = 1024
_MAX_BYTES_WAITING: Final = 4 * 1024 * 1024
_MAX_ARGUMENT: Final = 128 * 1024 - 1
"""Most bytes of one argument on Linux, without the byte that ends it."""
_ON_STDIN: Final = (
    "The whole prompt is on standard input: read it to its end, then do what it says."
)


class CommandRun:
    """Drives one process from its start until nothing of its group is left."""

    def __init__(  # noqa: PLR0913 - a run is what it is given
        self,
        spec: CommandSpec,
        supervisor: Supervisor,
        work: Work,
        *,
        grace_s: float,
        keep_output: int,
        tool_directory: str | None,
        isolation_of: Isolation | None = None,
    ) -> None:
        """Prepare; nothing is started before `events` is iterated."""
        self._spec = spec
        self._supervisor = supervisor
        self._work = work
        self._grace = grace_s
        self._tool_directory = tool_directory
        self._isolation = isolation_of
        self._reader = OutputReader(spec.output, keep=keep_output)
        self._messages = Tail()
        self._stdin: InputPipe | None = None
        self._stdout: OutputPipe | None = None
        self._stderr: OutputPipe | None = None
        self._child: Child | None = None
        self._events: deque[TurnEvent] = deque()
        self._backlog = 0
        self._wake = asyncio.Event()
        self._over = asyncio.Event()
        self._aborted = False
        self._too_long = False
        self._late: ErrorReported | None = None
        self._reported = False
        self._unanswered: set[str | int] = set()
        self._kept: set[int] = set()
        self._left: tuple[int, ...] = ()
        self._begun = self._heard = asyncio.get_running_loop().time()

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
            while True:
                while self._events:
                    yield self._events.popleft()
                self._backlog = 0
                if self._stdout is not None:
                    self._stdout.resume()
                if self._over.is_set():
                    break
                await self._something()
            for event in self._verdict(child):
                yield event
        finally:
            await self._dismantle()

    def send(self, line: Mapping[str, object]) -> bool:
        """Write a JSON line to the program; False when it cannot get it."""
        if self._stdin is None or self._reader.mode == "text":
            return False
        return self._stdin.write(msgspec.json.encode(line) + b"\n")

    def answer(self, call_id: str | int, result: ToolResult) -> bool:
        """Answer a tool call that is still open; False when it is not."""
        if call_id not in self._unanswered:
            return False
        self._unanswered.discard(call_id)
        self._heard = asyncio.get_running_loop().time()
        self._wake.set()
        told = msgspec.to_builtins(result)
        return self.send({"type": "tool_result", "id": call_id, **told, "ok": result.ok})

    def spare(self, pid: int) -> None:
        """Let a process go on when the turn has ended by itself: the goal waits for it."""
        self._kept.add(pid)

    async def abort(self) -> None:
        """End the run and return when it is over."""
        self._aborted = True
        if self._child is not None:
            await self._supervisor.end(self._work.run_id, grace_s=self._grace)
        await self._over.wait()

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
        if spec.isolate:
            check_program(argv, spec.cwd, env)
            argv = starter(argv, spec.cwd, self._isolation)
        needs_input = spec.keeps_stdin or not spec.prompt_arg or self._too_long
        with contextlib.ExitStack() as opened:
            theirs, ours = self._open(opened, needs_input=needs_input)
            child = await self._supervisor.spawn(
                work.run_id,
                argv,
                cwd=spec.cwd,
                env=env,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
            )
            # Ours now stay open; theirs must not, or their end would never be seen.
            opened.pop_all()
            for fd in theirs:
                os.close(fd)
        self._child = child
        self._stdout = OutputPipe(ours[1], self._output)
        self._stderr = OutputPipe(ours[2], self._message)
        child.exited.add_done_callback(self._exited)
        if needs_input:
            self._stdin = InputPipe(ours[0])
            self._give_prompt(self._stdin)
        if self._aborted:
            self._supervisor.end_soon(work.run_id, grace_s=self._grace)
        return child

    def _open(
        self, opened: contextlib.ExitStack, *, needs_input: bool
    ) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Return the child's three descriptors and our ends; ``opened`` closes them all."""

        def pipe() -> tuple[int, int]:
            ends = os.pipe()
            for fd in ends:
                opened.callback(os.close, fd)
            return ends

        try:
            if needs_input:
                child_in, our_in = pipe()
            else:
                child_in, our_in = os.open(os.devnull, os.O_RDONLY), -1
                opened.callback(os.close, child_in)
            our_out, child_out = pipe()
            our_err, child_err = pipe()
        except OSError as error:
            raise spawn_error("fork", error.errno or 0, self._spec.argv, self._spec.cwd) from None
        return (child_in, child_out, child_err), (our_in, our_out, our_err)

    def _give_prompt(self, stdin: InputPipe) -> None:
        prompt = self._work.prompt
        if self._spec.keeps_stdin and not (self._too_long and self._spec.stdin == "auto"):
            if not self._spec.prompt_arg or self._too_long:
                self.send({"type": "prompt", "text": prompt})
            return
        stdin.write(prompt.encode("utf-8", "replace"))
        stdin.end()

    def _not_started(self, error: GoalError) -> tuple[TurnEvent, ...]:
        exited = Exited(ok=False, aborted=self._aborted)
        if self._aborted:
            return (exited,)
        lost = isinstance(error, SpawnError) and error.stage == "lost"
        hint = f" Hint: {error.hint}" if error.hint else ""
        return (
            ErrorReported(
                message=f"{error}.{hint}",
                kind="lost" if lost else "spawn",
                source="spawn",
                # Descriptors, processes and memory come back when others let go of them.
                failure="transient" if error.code == "spawn_unavailable" else None,
                code=error.code,
            ),
            exited,
        )

    # Listening. What follows is called by the loop, not by the generator.

    def _output(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._take(self._reader.feed(data))
        for call_id in self._reader.unanswered:
            self._refuse(call_id)
        self._reader.unanswered.clear()
        if self._stdin is not None and self._reader.mode == "text":
            # Plain text has no use for lines; a program that reads to the end may go on.
            self._stdin.end()
        self._backlog += len(data)
        full = len(self._events) > _MAX_EVENTS_WAITING or self._backlog > _MAX_BYTES_WAITING
        if self._events and full and self._stdout is not None:
            self._stdout.pause()

    def _refuse(self, call_id: str | int) -> None:
        """Answer a call that is not carried out: its program may wait for that."""
        refused = {"ok": False, "error": "this turn reported too much", "code": "too_much"}
        self.send({"type": "tool_result", "id": call_id, **refused})

    def _message(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._messages.add(data)

    def _take(self, events: list[TurnEvent]) -> None:
        for event in events:
            if isinstance(event, ErrorReported):
                self._reported = True
            elif isinstance(event, ModelTurnStarted):
                # Another model call begins: what failed before was not the end of it.
                self._reported = False
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

    def _exited(self, _: asyncio.Future[int | None]) -> None:
        """End what the first process left behind, except what the goal waits for."""
        for pipe in (self._stdout, self._stderr):
            if pipe is not None:
                pipe.drain()
        keep = () if self._aborted or self._late is not None else tuple(self._kept)
        gone = self._supervisor.end_soon(self._work.run_id, grace_s=self._grace, keep=keep)
        gone.add_done_callback(self._gone)

    def _gone(self, gone: asyncio.Future[tuple[int, ...]]) -> None:
        """Read the rest: nobody of the run can write any more."""
        if not gone.cancelled():
            self._left = gone.result()
        for pipe in (self._stdout, self._stderr):
            if pipe is not None:
                pipe.drain()
                pipe.close()
        if self._stdin is not None:
            self._stdin.close()
        self._take(self._reader.finish())
        self._over.set()
        self._wake.set()

    # Time limits.

    async def _something(self) -> None:
        """Return when there is something new, or when a time limit was passed."""
        self._wake.clear()
        if self._events or self._over.is_set():
            return
        limit, _, _ = self._limit()
        try:
            async with asyncio.timeout_at(limit):
                await self._wake.wait()
        except TimeoutError:
            self._check_time()

    def _limit(self) -> tuple[float | None, str, str]:
        """Return when the next time limit is passed (loop time), and what to say then."""
        work = self._work
        limits: list[tuple[float, str, str]] = []
        if self._late is not None or (self._child is not None and self._child.exited.done()):
            return None, "", ""
        if (seconds := work.turn_timeout_s) is not None:
            message = f"the turn timed out after {seconds:g} s"
            limits.append((self._begun + seconds, "turn_timeout", message))
        # While it waits for an answer of ours, silence is not its fault.
        if (seconds := work.silence_timeout_s) is not None and not self._unanswered:
            message = f"the turn timed out: no output for {seconds:g} s"
            limits.append((self._heard + seconds, "silence_timeout", message))
        return min(limits) if limits else (None, "", "")

    def _check_time(self) -> None:
        limit, code, message = self._limit()
        if limit is None or asyncio.get_running_loop().time() < limit:
            return
        self._late = ErrorReported(message=message, kind="timeout", code=code)
        self._supervisor.end_soon(self._work.run_id, grace_s=self._grace)

    # The end.

    def _verdict(self, child: Child) -> tuple[TurnEvent, ...]:
        """Return the error that the end means, if any, and the end."""
        status = child.exited.result()
        code = None if status is None else os.waitstatus_to_exitcode(status)
        messages = self._messages.text()
        failure = self._failure(code, messages)
        exited = Exited(
            ok=code == 0 and failure is None and not self._reported and not self._aborted,
            status=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            aborted=self._aborted,
            stderr_tail=messages,
            left=self._left,
        )
        return (exited,) if failure is None else (failure, exited)

    def _failure(self, code: int | None, messages: str) -> ErrorReported | None:
        if self._aborted or self._late is not None:
            return None if self._aborted else self._late
        name = Path(self._spec.argv[0]).name
        if code is None:
            return lost(name, self._left)
        if self._reported:
            # What the program itself reported says more than its status.
            return None
        if code == 0:
            return self._misunderstood(name)
        if self._spec.isolate and (refused := refusal(code, messages)) is not None:
            return refused
        # The program's own words: what it says to people, or else the end of what it answered.
        return ended(name, code, messages.strip() or self._reader.words.strip())

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

    async def _dismantle(self) -> None:
        """Leave nothing behind, however the generator ended."""
        child = self._child
        if child is not None and not self._over.is_set():
            child.exited.remove_done_callback(self._exited)
            ending = self._supervisor.end_soon(self._work.run_id)
        else:
            ending = None
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()
        if ending is not None:
            await asyncio.shield(ending)
        self._over.set()
