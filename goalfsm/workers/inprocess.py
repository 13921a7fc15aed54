"""Workers that run in this process: an async function, for embedders and tests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.workers.output import KEEP_TEXT, BoundedText
from goalfsm.workers.protocol import (
    Capability,
    Compaction,
    ErrorReported,
    Exited,
    ModelTurnStarted,
    Probe,
    RunOnly,
    Text,
    ToolResult,
    TurnEvent,
    UsageReported,
    Work,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TurnFunction = (
    Callable[[Work], AsyncIterator[TurnEvent | str]] | Callable[[Work], Awaitable[str | None]]
)
"""Yields events and texts, or returns the answer (None: an empty one)."""

_END: Final = object()
_CANCEL_AGAIN_S: Final = 1.0


class CallableWorker(RunOnly):
    """Runs a turn by calling a function.

    The function is an async generator that yields turn events, with text as plain strings,
    or a coroutine that returns the answer. When it raises, the turn fails with that
    exception. The time limits of the work, and an abort, cancel it; one that does not let
    itself be cancelled holds its thread, so that no second turn runs beside it. The optional
    functions give the worker the capabilities of the same name.
    """

    def __init__(  # noqa: PLR0913 - one parameter for each capability
        self,
        turn: TurnFunction,
        *,
        steer: Callable[[str, str, str], Awaitable[bool]] | None = None,
        compact: Callable[[Work], Awaitable[Compaction | bool]] | None = None,
        probe: Callable[[str], Awaitable[Probe]] | None = None,
        tool_result: Callable[[str, str | int, ToolResult], Awaitable[bool]] | None = None,
        keep_output: int = KEEP_TEXT,
    ) -> None:
        """Call ``turn`` for each turn."""
        self._turn = turn
        self._steer = steer
        self._compact = compact
        self._probe = probe
        self._tool_result = tool_result
        self._keep = keep_output
        self._runs: dict[str, _Turn] = {}

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return ``abort``, and what a function was given for."""
        given: dict[Capability, object] = {
            "abort": True,
            "steer": self._steer,
            "compact": self._compact,
            "probe": self._probe,
            "tool_result": self._tool_result,
        }
        return frozenset(name for name, function in given.items() if function is not None)

    async def run(self, work: Work) -> AsyncGenerator[TurnEvent, None]:
        """Call the function and yield what it reports, `Exited` last."""
        turn = self._runs[work.run_id] = _Turn(self._turn, work, self._keep)
        try:
            while (event := await turn.next()) is not None:
                yield event
            for event in turn.ending():
                yield event
        finally:
            await turn.close()
            if self._runs.get(work.run_id) is turn:
                del self._runs[work.run_id]

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Hand a message to the function given for it."""
        if self._steer is None or run_id not in self._runs:
            return False
        return await self._steer(run_id, message_id, text)

    async def abort(self, run_id: str) -> bool:
        """Cancel the function and return when it has ended."""
        turn = self._runs.get(run_id)
        if turn is None:
            return False
        await turn.abort()
        return True

    async def compact(self, work: Work) -> Compaction:
        """Shorten the context with the function given for it."""
        said = False if self._compact is None else await self._compact(work)
        return said if isinstance(said, Compaction) else Compaction(changed=said)

    async def probe(self, run_id: str) -> Probe:
        """Ask the ``probe`` function that the worker was made with; "unknown" without one."""
        return Probe(state="unknown") if self._probe is None else await self._probe(run_id)

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Hand the answer to the function given for it."""
        if self._tool_result is None or run_id not in self._runs:
            return False
        return await self._tool_result(run_id, call_id, result)


class _Turn:
    """One call of the function, step by step, each in a task that can be cancelled."""

    def __init__(self, turn: TurnFunction, work: Work, keep: int) -> None:
        self._work = work
        self._answer = BoundedText(keep)
        self._steps = _steps(turn, work)
        self._step: asyncio.Task[object] | None = None
        self._begun = asyncio.get_running_loop().time()
        self._calls = 0
        self._aborted = False
        self._failure: ErrorReported | None = None
        self._reported = False

    async def next(self) -> TurnEvent | None:
        """Return the next event, None at the end."""
        while not self._aborted and self._failure is None:
            given = await self._advance()
            if given is _END:
                break
            event = Text(text=given) if isinstance(given, str) else given
            if isinstance(event, Text):
                text = self._answer.add(event.text)
                if not text:
                    continue
                event = Text(text=text)
            elif isinstance(event, UsageReported):
                self._calls += 1
                event = msgspec.structs.replace(event, key=event.key or str(self._calls))
            elif isinstance(event, ErrorReported):
                self._reported = True
            elif isinstance(event, ModelTurnStarted):
                self._reported = False
            elif isinstance(event, Exited):
                continue  # The end is ours to state.
            elif not isinstance(event, TurnEvent):
                self._failure = ErrorReported(
                    message=f"the worker yielded {type(given).__name__}, which is no turn event",
                    kind="exception",
                    code="worker_invalid",
                )
                break
            return event
        return None

    def ending(self) -> tuple[TurnEvent, ...]:
        """Return the events that end the turn."""
        ok = not self._aborted and self._failure is None and not self._reported
        events: list[TurnEvent] = []
        if text := self._answer.finish():
            events.append(Text(text=text))
        if self._failure is not None and not self._aborted:
            events.append(self._failure)
        return (*events, Exited(ok=ok, aborted=self._aborted))

    async def abort(self) -> None:
        self._aborted = True
        await self._cancel()

    async def close(self) -> None:
        """Let the function run its own clean-up, however the turn ended."""
        await self._cancel()
        # Whatever it raises now, the turn is over and its outcome is known.
        with contextlib.suppress(Exception):
            await self._steps.aclose()

    async def _advance(self) -> object:
        self._step = asyncio.ensure_future(_step(self._steps))
        try:
            done, _ = await asyncio.wait({self._step}, timeout=self._patience())
        except asyncio.CancelledError:
            await self._cancel()
            raise
        if not done:
            self._failure = self._too_late()
            await self._cancel()
        elif self._step.cancelled():
            if not self._aborted:
                self._failure = _exception(RuntimeError("the worker cancelled itself"))
        elif (error := self._step.exception()) is not None:
            self._failure = _exception(error)
        else:
            return self._step.result()
        return _END

    async def _cancel(self) -> None:
        """Cancel the step until it gives in: it cannot be killed, and must not be left."""
        while self._step is not None and not self._step.done():
            self._step.cancel()
            await asyncio.wait({self._step}, timeout=_CANCEL_AGAIN_S)

    def _patience(self) -> float | None:
        work = self._work
        limits = [] if work.silence_timeout_s is None else [work.silence_timeout_s]
        if work.turn_timeout_s is not None:
            spent = asyncio.get_running_loop().time() - self._begun
            limits.append(max(0.0, work.turn_timeout_s - spent))
        return min(limits, default=None)

    def _too_late(self) -> ErrorReported:
        work = self._work
        spent = asyncio.get_running_loop().time() - self._begun
        if work.turn_timeout_s is not None and spent >= work.turn_timeout_s:
            message = f"the turn timed out after {work.turn_timeout_s:g} s"
            return ErrorReported(message=message, kind="timeout", code="turn_timeout")
        message = f"the turn timed out: no event for {work.silence_timeout_s:g} s"
        return ErrorReported(message=message, kind="timeout", code="silence_timeout")


async def _step(steps: AsyncIterator[TurnEvent | str]) -> object:
    return await anext(steps, _END)


async def _steps(turn: TurnFunction, work: Work) -> AsyncGenerator[TurnEvent | str, None]:
    called: object = turn(work)
    if isinstance(called, AsyncIterator):
        try:
            async for event in called:
                yield event
        finally:
            close = getattr(called, "aclose", None)
            if close is not None:
                await close()
    elif inspect.isawaitable(called):
        yield (await called) or ""
    else:
        raise GoalError(
            f"the worker returned {type(called).__name__} where events or text were expected",
            code="worker_invalid",
            hint="define it with async def, and yield events or return text",
        )


def _exception(error: BaseException) -> ErrorReported:
    """Return the failure that an exception means; the exception itself says of what kind."""
    if isinstance(error, GoalError):
        message, code = f"{error}. Hint: {error.hint}" if error.hint else f"{error}", error.code
    else:
        message, code = f"{type(error).__name__}: {error}"[:16_000], type(error).__name__
    return ErrorReported(message=message, kind="exception", code=code, exception=error)
