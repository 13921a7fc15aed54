"""The turns of a scripted worker, as data: what it says, uses, calls, waits for, and how it ends.

A turn is a row of steps, and steps are the events of `goalfsm.workers.protocol` and the few of
this module. The functions make them, so that a turn reads as what happens in it::

    worker.turn(says("Reading the code."), uses(output=900), takes("40s"))
    worker.turn(fails("529 overloaded", status=529))
    worker.turn(claims_complete("the tests pass"))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from signal import Signals
from typing import Any

import msgspec

from goalfsm.testing.times import Duration, seconds_of
from goalfsm.workers.protocol import (
    ErrorReported,
    Event,
    ModelTurnEnded,
    ModelTurnStarted,
    SteeringAcknowledged,
    StopReason,
    Text,
    ToolCalled,
    ToolEnded,
    UsageReported,
    WaitDeclared,
    WaitFor,
    Work,
)


class _Own(msgspec.Struct, frozen=True, kw_only=True):
    """The base of steps that a worker does not report."""


class Takes(_Own, frozen=True, kw_only=True):
    """Nothing is heard for so many seconds."""

    seconds: float


class Hangs(_Own, frozen=True, kw_only=True):
    """Nothing is heard any more, until somebody ends the turn."""


class Raises(_Own, frozen=True, kw_only=True):
    """The worker's function raises."""

    error: Exception


class TakesSteering(_Own, frozen=True, kw_only=True):
    """The worker waits for a steering message and takes it; None waits for as long as it needs."""

    within_s: float | None = None


class Does(_Own, frozen=True, kw_only=True):
    """Something of the test's own is done, with the turn's work."""

    action: Callable[[Work], Awaitable[Any] | Any]


Step = Event | Takes | Hangs | Raises | TakesSteering | Does
"""One thing that happens in a turn."""


def says(text: str) -> Text:
    """Say a part of the answer."""
    return Text(text=text)


def uses(
    *,
    input: int = 0,  # noqa: A002  the protocol's word
    output: int = 0,
    cached: int = 0,
    cost: int = 0,
    key: str = "",
) -> UsageReported:
    """Report tokens and cost (millionths) of one model call; a ``key`` is charged once in a run."""
    return UsageReported(
        input_tokens=input, output_tokens=output, cached_tokens=cached, cost=cost, key=key
    )


def uses_tool(name: str = "shell", *, ok: bool = True) -> ToolEnded:
    """Report a tool of the worker's own, which worked or (``ok=False``) did not."""
    return ToolEnded(name=name, ok=ok)


def calls(tool: str, **arguments: Any) -> ToolCalled:
    """Call one of the goal's tools; the worker's ``results`` have its answer."""
    return ToolCalled(id="", name=tool, arguments=arguments)


def claims_complete(*evidence: str | dict[str, Any]) -> ToolCalled:
    """Claim that the goal is complete; a piece of evidence may name its criterion."""
    return calls("update_goal", status="complete", evidence=list(evidence))


def claims_blocked(reason: str = "nothing can go on") -> ToolCalled:
    """Claim that only somebody else can help."""
    return calls("update_goal", status="blocked", reason=reason)


def waits(
    kind: WaitFor = "timer",
    duration: Duration | None = None,
    *,
    until: datetime | None = None,
    pid: int | None = None,
    note: str = "",
) -> WaitDeclared:
    """Declare what has to happen outside before another turn is worth its tokens."""
    return WaitDeclared(
        for_=kind,
        seconds=None if duration is None else seconds_of(duration),
        until=None if until is None else until.timestamp(),
        pid=pid,
        note=note,
    )


def fails(
    message: str,
    *,
    status: int | None = None,
    code: str | None = None,
    retry_after: Duration | None = None,
) -> ErrorReported:
    """Report a provider's error: the turn fails, unless another model call follows."""
    after = None if retry_after is None else seconds_of(retry_after)
    return ErrorReported(message=message, status=status, code=code, retry_after=after)


def crashes(by: Signals = Signals.SIGKILL) -> ErrorReported:
    """Have the worker's process ended by a signal; a turn has no steps after it."""
    return ErrorReported(
        message=f"worker was ended by {by.name}", kind="signal", code=f"signal_{by.value}"
    )


def loses() -> ErrorReported:
    """Lose the run with its supervisor: nobody knows how it went."""
    return ErrorReported(
        message="the supervisor of worker died, and the run was ended",
        kind="lost",
        code="supervisor_lost",
    )


def model_call(*, stop: StopReason | None = None) -> ModelTurnStarted | ModelTurnEnded:
    """Begin a model call or, with ``stop``, end it: for workers that make several in a turn."""
    return ModelTurnStarted() if stop is None else ModelTurnEnded(stop_reason=stop)


def takes(duration: Duration) -> Takes:
    """Let ``duration`` pass in silence."""
    return Takes(seconds=seconds_of(duration))


def hangs() -> Hangs:
    """Stay silent until somebody ends the turn."""
    return Hangs()


def raises(error: Exception) -> Raises:
    """Raise ``error`` in the worker's function."""
    return Raises(error=error)


def takes_steering(within: Duration | None = None) -> TakesSteering:
    """Wait for a steering message, no longer than ``within``, and acknowledge it."""
    return TakesSteering(within_s=None if within is None else seconds_of(within))


def acknowledges(message_id: str) -> SteeringAcknowledged:
    """Acknowledge a steering message, whether it arrived or not."""
    return SteeringAcknowledged(id=message_id)


def does(action: Callable[[Work], Awaitable[Any] | Any]) -> Does:
    """Call ``action(work)``, and await it where it is a coroutine function."""
    return Does(action=action)
