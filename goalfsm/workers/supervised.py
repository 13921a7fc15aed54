"""What a turn is, whatever its program speaks: what waits to be told, time limits, its end."""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from goalfsm.workers.isolating import refusal, starter
from goalfsm.workers.protocol import ErrorReported, Exited, RunOnly
from goalfsm.workers.supervisor.spawning import SpawnError, check_program

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from goalfsm.errors import GoalError
    from goalfsm.workers.isolating import Isolation, IsolationOf
    from goalfsm.workers.piped import Channel
    from goalfsm.workers.protocol import ToolResult, TurnEvent, Work

MAX_EVENTS_WAITING: Final = 1024


_SHORT_OF_ROOM: Final = frozenset({"spawn_unavailable", "supervisor_unavailable"})


class SupervisedRun(abc.ABC):
    """One turn of a program under the supervisor, until nothing of its group is left."""

    _process: Channel

    def __init__(
        self, work: Work, *, cwd: str | None, isolate: bool, isolation: Isolation | None
    ) -> None:
        """Start no process yet; ``cwd`` and ``isolation`` say where it will run."""
        self._work = work
        self._cwd = cwd
        self._isolate = isolate
        self._isolation = isolation
        self._events: deque[TurnEvent] = deque()
        self._wake = asyncio.Event()
        self._done = asyncio.Event()
        self._unanswered: set[str | int] = set()
        self._aborted = False
        self._failed = False
        """Whether the program itself has said that the turn failed."""
        self._late: ErrorReported | None = None
        self._begun = self._heard = asyncio.get_running_loop().time()

    def spare(self, pid: int) -> None:
        """Let a process go on when the turn has ended by itself: the goal waits for it."""
        self._process.keep.add(pid)

    async def abort(self) -> None:
        """End the run and return when it is over."""
        if not self._aborted:
            self._aborted = True
            self._end_early()
        await self._done.wait()

    # For the kinds of runs.

    @abc.abstractmethod
    def events(self) -> AsyncGenerator[TurnEvent, None]:
        """Run the program and yield what it reports, `Exited` last."""

    @abc.abstractmethod
    def steer(self, message_id: str, text: str) -> bool:
        """Hand the program a person's message; False when it cannot take it now."""

    def answer(self, call_id: str | int, result: ToolResult) -> bool:
        """Answer a goal tool; False when nobody waits for the answer any more."""
        if call_id not in self._unanswered:
            return False
        self._unanswered.discard(call_id)
        self._sign()
        # From now on its silence counts again.
        self._wake.set()
        return self._give(call_id, result)

    @abc.abstractmethod
    def _give(self, call_id: str | int, result: ToolResult) -> bool:
        """Write the answer of a tool to the program; False when it cannot get it."""

    @abc.abstractmethod
    def _stop(self) -> None:
        """Have the program end its turn."""

    @property
    def _is_over(self) -> bool:
        """Tell whether the turn is over, though its process may still be there."""
        return False

    @property
    def _is_asking(self) -> bool:
        """Tell whether the turn waits for somebody else than the program."""
        return bool(self._unanswered)

    @property
    def _is_ended(self) -> bool:
        return self._aborted or self._late is not None

    def _sign(self) -> None:
        """Take note of a sign of life."""
        self._heard = asyncio.get_running_loop().time()

    def _confined(self, argv: Sequence[str], env: Mapping[str, str]) -> list[str]:
        """Return what is started in place of ``argv`` where the run is isolated."""
        if not self._isolate:
            return [*argv]
        check_program(argv, self._cwd, env)
        return starter(argv, self._cwd, self._isolation)

    def _not_started(self, error: GoalError) -> tuple[TurnEvent, ...]:
        exited = Exited(ok=False, aborted=self._aborted)
        if self._aborted:
            return (exited,)
        lost = isinstance(error, SpawnError) and error.stage == "lost"
        reported = ErrorReported(
            message=f"{error}. Hint: {error.hint}" if error.hint else f"{error}",
            kind="lost" if lost else "spawn",
            source="spawn",
            # Descriptors, processes and memory come back when others let go of them.
            failure="transient" if error.code in _SHORT_OF_ROOM else None,
            code=error.code,
        )
        return (reported, exited)

    async def _listen(self) -> AsyncGenerator[TurnEvent, None]:
        """Yield what is told until nothing of the process is left."""
        while True:
            while self._events:
                yield self._events.popleft()
            self._caught_up()
            if self._process.is_over:
                return
            self._wake.clear()
            if not self._events:
                await self._something()

    def _caught_up(self) -> None:
        """Read on: all that was told is known."""
        self._process.hold(held=False)

    def _end_early(self) -> None:
        # What a goal waits for goes on only behind a turn that has ended by itself.
        self._process.keep.clear()
        self._stop()

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
                self._end_early()

    def _limit(self) -> tuple[float | None, ErrorReported | None]:
        """Return when the next time limit is passed (loop time), and what it means."""
        work = self._work
        limits: list[tuple[float, str, str]] = []
        if self._is_ended or self._is_over or self._process.has_exited:
            return None, None
        if (seconds := work.turn_timeout_s) is not None:
            message = f"the turn timed out after {seconds:g} s"
            limits.append((self._begun + seconds, "turn_timeout", message))
        # While it waits for an answer of ours, silence is not its fault.
        if (seconds := work.silence_timeout_s) is not None and not self._is_asking:
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
        failure = None if self._aborted else self._late or self._failure(code)
        exited = Exited(
            ok=not (self._aborted or self._failed or failure),
            status=code if code is not None and code >= 0 else None,
            signal=-code if code is not None and code < 0 else None,
            aborted=self._aborted,
            stderr_tail=process.messages,
            left=process.left,
        )
        return (exited,) if failure is None else (failure, exited)

    @abc.abstractmethod
    def _failure(self, code: int | None) -> ErrorReported | None:
        """Return what the end of the process says, where nobody has ended it early."""

    def _refused(self, code: int | None) -> ErrorReported | None:
        """Return why the isolation refused the program, None where it did not."""
        return refusal(code, self._process.messages) if self._isolate else None


_Run = TypeVar("_Run", bound=SupervisedRun)


class SupervisedWorker(RunOnly, Generic[_Run]):
    """A worker that runs a program for each turn, under a supervisor. It may serve many runs."""

    def __init__(self, *, isolate: bool) -> None:
        """Begin without a run; ``isolate`` has each see what an isolation leaves to it."""
        self._isolate = isolate
        self._isolation: IsolationOf | None = None
        self._runs: dict[str, _Run] = {}

    async def run(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        """Run the program for one turn and yield what it reports, `Exited` last."""
        async with self._isolated(work) as isolation:
            # As long as it lasts it can be spoken to.
            run = self._runs[work.run_id] = await self._prepare(work, isolation)
            try:
                async with contextlib.aclosing(run.events()) as events:
                    async for event in events:
                        yield event
            finally:
                if self._runs.get(work.run_id) is run:
                    del self._runs[work.run_id]

    @abc.abstractmethod
    async def _prepare(self, work: Work, isolation: Isolation | None) -> _Run:
        """Return the run of a turn; nothing is started yet."""

    def isolate_by(self, isolation: IsolationOf) -> None:
        """Have ``isolation`` say what isolated runs see, and provide it while each lasts."""
        self._isolation = isolation

    async def abort(self, run_id: str) -> bool:
        """End the run's processes and return when they are gone."""
        run = self._runs.get(run_id)
        if run is None:
            return False
        await run.abort()
        return True

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Hand the program a person's message; False when it cannot take it now."""
        run = self._runs.get(run_id)
        return run is not None and run.steer(message_id, text)

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Answer a goal tool; False when nobody waits for the answer any more."""
        run = self._runs.get(run_id)
        return run is not None and run.answer(call_id, result)

    def spare(self, run_id: str, pid: int) -> None:
        """Let a process of the run go on when its program has ended."""
        run = self._runs.get(run_id)
        if run is not None:
            run.spare(pid)

    def _isolated(self, work: Work) -> contextlib.AbstractAsyncContextManager[Isolation | None]:
        """Provide what an isolated run sees while it lasts; None for one that is not."""
        if not self._isolate or self._isolation is None:
            return contextlib.nullcontext()
        return self._isolation(work)
