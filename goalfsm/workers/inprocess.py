"""Workers that run in this process: an async function, for embedders and tests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError
from goalfsm.text import storable
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
        if not isinstance(said, Compaction | bool):
            raise GoalError(
                f"the worker's compact returned {type(said).__name__}",
                code="worker_invalid",
                hint="return a Compaction, or whether anything was shortened",
            )
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
    """One call of the function, in the task of whoever reads its events.

    What the function enters in one step, such as a time limit or a task group, it may leave in
    another one.
    """

    def __init__(self, turn: TurnFunction, work: Work, keep: int) -> None:
        self._work = work
        self._answer = BoundedText(keep)
        self._steps = _steps(turn, work)
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        """The reader's task, while the function runs in it."""
        self._cancels = 0
        """How often the function was cancelled here."""
        self._timer: asyncio.TimerHandle | None = None
        self._ended: list[asyncio.Future[None]] = []
        self._begun = self._loop.time()
        self._calls = 0
        self._aborted = False
        self._failure: ErrorReported | None = None
        self._reported = False

    async def next(self) -> TurnEvent | None:  # noqa: C901  one case an event
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
                if not event.key:
                    event = msgspec.structs.replace(event, key=str(self._calls))
            elif isinstance(event, ErrorReported):
                self._reported = True
            elif isinstance(event, ModelTurnStarted):
                self._reported = False
            elif isinstance(event, Exited):
                continue  # The end is ours to state.
            elif not isinstance(event, TurnEvent):
                self._failure = _no_event(given)
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
        """Cancel the function, and return when it has given in."""
        self._aborted = True
        if self._task is not None:
            ended = self._loop.create_future()
            self._ended.append(ended)
            self._disarm()
            self._cancel()
            await ended

    async def close(self) -> None:
        """Let the function run its own clean-up, however the turn ended."""
        # Whatever it raises now, the turn is over and its outcome is known.
        with contextlib.suppress(Exception):
            await self._steps.aclose()

    async def _advance(self) -> object:
        task = self._task = asyncio.current_task()
        assert task is not None  # noqa: S101  a coroutine runs in one
        if (patience := self._patience()) is not None:
            self._timer = self._loop.call_later(patience, self._too_late)
        given: object = _END
        try:
            given = await anext(self._steps, _END)
        except asyncio.CancelledError:
            if not self._cancels and not task.cancelling():
                self._failure = exception_reported(RuntimeError("the worker cancelled itself"))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  whatever it raises, its turn has failed
            if not self._cancels:
                self._failure = exception_reported(error)
        finally:
            self._task = None
            self._disarm()
            for _ in range(self._cancels):
                task.uncancel()
            for ended in self._ended:
                ended.set_result(None)
        if task.cancelling():
            raise asyncio.CancelledError  # the reader's own, also where the function resisted
        return _END if self._cancels else given

    def _cancel(self) -> None:
        """Cancel the function until it gives in: it cannot be killed, and must not be left."""
        if self._task is not None:
            self._cancels += 1
            self._task.cancel()
            self._timer = self._loop.call_later(_CANCEL_AGAIN_S, self._cancel)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _patience(self) -> float | None:
        work = self._work
        silence, turn = work.silence_timeout_s, work.turn_timeout_s
        if turn is None:
            return silence
        left = max(0.0, turn - self._loop.time() + self._begun)
        return left if silence is None else min(left, silence)

    def _too_late(self) -> None:
        work = self._work
        spent = self._loop.time() - self._begun
        if work.turn_timeout_s is not None and spent >= work.turn_timeout_s:
            message = f"the turn timed out after {work.turn_timeout_s:g} s"
            code = "turn_timeout"
        else:
            message = f"the turn timed out: no event for {work.silence_timeout_s:g} s"
            code = "silence_timeout"
        self._failure = ErrorReported(message=message, kind="timeout", code=code)
        self._cancel()


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


def _no_event(given: object) -> ErrorReported:
    return ErrorReported(
        message=f"the worker yielded {type(given).__name__}, which is no turn event",
        kind="exception",
        code="worker_invalid",
    )


def exception_reported(error: BaseException) -> ErrorReported:
    """Return the failure that an exception of a worker means; it says itself of what kind."""
    if isinstance(error, GoalError):
        message, code = f"{error}. Hint: {error.hint}" if error.hint else f"{error}", error.code
    else:
        message, code = f"{type(error).__name__}: {error}"[:16_000], type(error).__name__
    return ErrorReported(message=storable(message), kind="exception", code=code, exception=error)
