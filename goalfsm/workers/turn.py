"""Write a worker as one async function: it gets a turn, and reports through it.

What the function raises ends the turn as a failure, with the exception itself for the classifier.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from goalfsm.errors import GoalError
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.output import KEEP_TEXT
from goalfsm.workers.protocol import (
    Compaction,
    ProgressReported,
    RetryReported,
    SessionSaved,
    SteeringAcknowledged,
    Text,
    Tool,
    ToolCalled,
    ToolEnded,
    ToolResult,
    TurnEvent,
    UsageReported,
    WaitDeclared,
    WaitFor,
    Work,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

TurnFunction = Callable[["Turn"], Awaitable[str | None]]
"""Does one turn; the text that it returns is added to the answer."""

CompactFunction = Callable[[Work], Awaitable[Compaction | bool]]
"""Shortens the context that a thread's turns share; see `goalfsm.workers.protocol.Compaction`."""


class Message:
    """A message for the running turn; it is told again in the next prompt until `took` is said."""

    __slots__ = ("_turn", "id", "text")

    def __init__(self, turn: Turn, message_id: str, text: str) -> None:
        """Hold the message with this id for ``turn``."""
        self._turn = turn
        self.id = message_id
        self.text = text

    def took(self) -> None:
        """Say that the model was given the message."""
        self._turn.report(SteeringAcknowledged(id=self.id))


class Steering:
    """The messages for a running turn: iterate to wait for them, or take what is `waiting`.

    A turn takes messages from the moment when its function first asks for them; before that,
    and when the turn is over, they go into the next prompt.
    """

    def __init__(self) -> None:
        """Start without messages; nobody has asked yet."""
        self._messages: deque[Message] = deque()
        self._more = asyncio.Event()
        self._asked = False
        self._over = False

    def __aiter__(self) -> AsyncIterator[Message]:
        """Return the messages, each once, as they come, until the turn is over."""
        self._asked = True
        return self

    async def __anext__(self) -> Message:
        """Return the next message."""
        while not self._messages:
            if self._over:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
        return self._messages.popleft()

    def waiting(self) -> list[Message]:
        """Return the messages that have come, each once, without waiting."""
        self._asked = True
        messages = list(self._messages)
        self._messages.clear()
        return messages

    def offer(self, message: Message) -> bool:
        """Hand over a message; False when the turn takes none."""
        if self._over or not self._asked:
            return False
        self._messages.append(message)
        self._more.set()
        return True

    def close(self) -> None:
        """End the iteration: the turn is over."""
        self._over = True
        self._more.set()


class Tools:
    """The goal's tools: their `definitions` for a model, and a way to call each.

    ``await turn.tools.update_goal(status="complete", evidence=[…])`` and `call` do the same. What
    comes back is a `goalfsm.workers.protocol.ToolResult`; a refusal is one whose ``ok`` is False.
    """

    def __init__(self, turn: Turn, definitions: tuple[Tool, ...]) -> None:
        """Offer ``definitions`` for calls from ``turn``."""
        self._turn = turn
        self.definitions = definitions

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call the tool ``name``; return its answer when the thread has decided it."""
        return await self._turn.call(name, arguments)

    def __getattr__(self, name: str) -> Callable[..., Awaitable[ToolResult]]:
        """Return the tool of this name as a function of its arguments."""
        if name.startswith("_"):
            raise AttributeError(name)

        def call(**arguments: Any) -> Awaitable[ToolResult]:
            return self.call(name, arguments)

        return call


class Turn:
    """One turn of a goal, as the function of a `TurnWorker` sees it."""

    def __init__(self, work: Work) -> None:
        """Begin the turn that ``work`` asks for."""
        self.work = work
        self.tools = Tools(self, work.tools)
        self.steering = Steering()
        self.session = work.session
        """What an earlier turn of the goal saved, None at the beginning."""
        self._events: deque[TurnEvent] = deque()
        self._more = asyncio.Event()
        self._calls: dict[str | int, asyncio.Future[ToolResult]] = {}
        self._over = False

    @property
    def prompt(self) -> str:
        """Return the prompt of the turn."""
        return self.work.prompt

    @property
    def objective(self) -> str:
        """Return the goal's objective."""
        return self.work.objective

    def text(self, text: str) -> None:
        """Add ``text`` to the answer; the parts joined as they are make it."""
        self.report(Text(text=text))

    def usage(
        self,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cached_tokens: int = 0,
        cost: int = 0,
        key: str = "",
    ) -> None:
        """Report what one model call consumed; budgets act on it while the turn goes on.

        ``input_tokens`` are without ``cached_tokens``; ``cost`` is in millionths of the account's
        currency. A repeated ``key`` is charged once.
        """
        self.report(
            UsageReported(
                key=key,
                input_tokens=max(0, input_tokens),
                output_tokens=max(0, output_tokens),
                cached_tokens=max(0, cached_tokens),
                cost=max(0, cost),
            )
        )

    def tool_end(self, name: str, *, ok: bool = True) -> None:
        """Report that a tool of the agent's own was used."""
        self.report(ToolEnded(name=name, ok=ok))

    def progress(self, text: str = "") -> None:
        """Report that the work got on, though the answer may look like the last one."""
        self.report(ProgressReported(text=text))

    def retrying(self, message: str, seconds: float = 0.0) -> None:
        """Report that the agent itself tries a model call again, in ``seconds``."""
        self.report(RetryReported(message=message, seconds=seconds))

    def save(self, session: bytes | None) -> None:
        """Keep ``session`` (64 KiB at most) for the goal's next turn; None forgets it."""
        self.session = session
        self.report(SessionSaved(session=session))

    def wait(  # noqa: PLR0913 - what a wait may say
        self,
        kind: WaitFor,
        *,
        seconds: float | None = None,
        until: float | None = None,
        pid: int | None = None,
        start_time: str | None = None,
        note: str = "",
    ) -> None:
        """Have the goal wait for something outside before its next turn begins.

        A timer has ``seconds`` from now or ``until`` (unix seconds), a process its ``pid``.
        """
        self.report(
            WaitDeclared(
                for_=kind, seconds=seconds, until=until, pid=pid, start_time=start_time, note=note
            )
        )

    def report(self, event: TurnEvent) -> None:
        """Report any turn event; see `goalfsm.workers.protocol`. What comes too late is dropped."""
        if not self._over:
            self._events.append(event)
            self._more.set()

    async def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call one of the goal's tools; see `Tools`."""
        call_id = len(self._calls) + 1
        answer: asyncio.Future[ToolResult] = asyncio.get_running_loop().create_future()
        self._calls[call_id] = answer
        self.report(ToolCalled(id=call_id, name=name, arguments=dict(arguments)))
        return await answer

    def answer(self, call_id: str | int, result: ToolResult) -> bool:
        """Give a tool's answer to whoever called it; False when nobody waits for it."""
        waiting = self._calls.get(call_id)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(result)
        return True

    async def events(self, function: TurnFunction) -> AsyncGenerator[TurnEvent | str, None]:
        """Call ``function`` and yield what it reports, then what it returned."""
        task = asyncio.ensure_future(function(self))
        task.add_done_callback(lambda _: self._more.set())
        try:
            while not task.done() or self._events:
                while self._events:
                    yield self._events.popleft()
                if not task.done():
                    self._more.clear()
                    await self._more.wait()
            yield task.result() or ""
        finally:
            self._over = True
            self.steering.close()
            while not task.done():
                # A function that does not give in holds its thread: no second turn runs beside it.
                task.cancel()
                await asyncio.wait({task}, timeout=1.0)
            with contextlib.suppress(asyncio.CancelledError):
                task.exception()


class TurnWorker(CallableWorker):
    """Runs each turn by calling an async function with a `Turn`.

    The worker can be steered and answers the goal's tools. ``compact`` gives it that capability.
    """

    def __init__(
        self,
        function: TurnFunction,
        *,
        compact: CompactFunction | None = None,
        keep_output: int = KEEP_TEXT,
    ) -> None:
        """Call ``function`` for each turn; keep ``keep_output`` characters of an answer."""
        if not callable(function):
            raise GoalError(
                f"a worker is an async function of one turn, not {type(function).__name__}",
                code="worker_invalid",
                hint="async def turn(t): …",
            )
        self.function = function
        self._turns: dict[str, Turn] = {}
        super().__init__(
            self._events,
            steer=self._offer,
            tool_result=self._answer,
            compact=compact,
            keep_output=keep_output,
        )

    async def _events(self, work: Work) -> AsyncGenerator[TurnEvent | str, None]:
        turn = self._turns[work.run_id] = Turn(work)
        events = turn.events(self.function)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()
            del self._turns[work.run_id]

    async def _offer(self, run_id: str, message_id: str, text: str) -> bool:
        turn = self._turns.get(run_id)
        return turn is not None and turn.steering.offer(Message(turn, message_id, text))

    async def _answer(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        turn = self._turns.get(run_id)
        return turn is not None and turn.answer(call_id, result)


def worker(function: TurnFunction) -> TurnWorker:
    """Make an async function of one `Turn` a worker: ``@goalfsm.worker``."""
    return TurnWorker(function)
