"""Workers that run in this process: an async function, for embedders and tests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeVar, cast, get_args

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
_EVENTS: Final = get_args(TurnEvent)
_Told = TypeVar("_Told", bound=msgspec.Struct)


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


# A struct checks nothing when it is made, and lines of a program are checked when they are read.
# What a worker of the embedder's makes is checked here, before any of it is decided: a value of
# another type could not be written or not be read again, and would look like trouble of the store.


def checked_event(event: object) -> TurnEvent:
    """Return a worker's event; raises `GoalError` where it is none, or holds what it cannot."""
    if type(event) not in _EVENTS:
        raise GoalError(
            f"the worker yielded {type(event).__name__}, which is no turn event",
            code="worker_invalid",
            hint="yield events of goalfsm.workers.protocol, or plain text",
        )
    if isinstance(event, Text):
        _check_text(event.text)
        return event if event.text.isascii() else Text(text=storable(event.text))
    if isinstance(event, ErrorReported):
        # The exception is judged as an object, and never written.
        checked(msgspec.structs.replace(event, exception=None))
    else:
        checked(cast("msgspec.Struct", event))
    return cast("TurnEvent", event)


def checked(told: _Told) -> _Told:
    """Return ``told``; raises `GoalError` where its values are not of the types that it states."""
    try:
        msgspec.json.decode(msgspec.json.encode(told), type=type(told))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise GoalError(
            f"the worker's {type(told).__name__} cannot be used: {error}",
            code="worker_invalid",
            hint="goalfsm.workers.protocol states the type of each value",
        ) from error
    return told


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise GoalError(
            f"the worker's Text holds {type(text).__name__} where text was expected",
            code="worker_invalid",
            hint="decode it first",
        )
