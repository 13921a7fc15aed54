"""What a worker is: it gets one turn's work and answers with turn events.

A worker runs one turn at a time for a thread. It reports what happens as it happens and ends
with exactly one `Exited`. Seconds are floats, counts are integers, costs are integer millionths
of the account's currency.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, runtime_checkable

import msgspec

from recovery import Kind

if TYPE_CHECKING:
    from goalfsm.workers.supervisor.client import Supervisor

Capability = Literal["steer", "abort", "compact", "probe", "tool_result"]
"""What a worker can do beyond running a turn."""

WaitFor = Literal["timer", "process", "person", "event"]
"""What may be waited for: a moment, the end of a process, a person, or a wake-up call."""

ErrorKind = Literal["reported", "exit", "signal", "timeout", "spawn", "lost", "exception"]
"""Where an error comes from.

``reported`` by the worker itself; ``exit`` with a status that is not 0; ``signal`` ended it;
``timeout`` of the turn or of its silence, which is transient; ``spawn``: it could not be
started; ``lost``: its supervisor died, and the run with it; ``exception`` in a worker that
runs in this process.
"""

ErrorSource = Literal["provider", "tool", "exit", "spawn", "unknown"]
"""Who said that something failed, as far as the worker knows.

The model's ``provider``; a ``tool`` that the worker used; the end of a program (``exit``); the
system, which could not start it (``spawn``).
"""

StopReason = Literal["stop", "length", "toolUse"]


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One of the goal's tools, as a model is shown it; ``parameters`` is a JSON schema."""

    name: str
    description: str
    parameters: Mapping[str, Any] = msgspec.field(default_factory=dict)


MAX_SESSION: Final = 64 * 1024
"""Most bytes of a worker's own session."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One dispatch: everything that a worker needs for one turn.

    ``turn`` counts the goal's turns from 1. ``kind`` is the kind of dispatch (for example
    ``continuation``). ``run_token`` authorises the goal's tools during this run and is a
    secret: it never appears in a log. A timeout of None is no timeout.

    ``session`` is what the worker last saved of its own session with `SessionSaved`, None when it
    saved nothing or the goal begins afresh. ``tools`` are the goal's tools that this turn may
    call. ``fence`` is the revision of the thread at its dispatch, which only grows: what a turn
    writes elsewhere under a smaller one is out of date. 0 where it is not known.
    """

    db: str
    thread_id: str
    goal_id: str
    run_id: str
    run_token: str
    turn: int
    objective: str
    prompt: str
    kind: str = "continuation"
    turn_timeout_s: float | None = None
    silence_timeout_s: float | None = None
    session: bytes | None = None
    tools: tuple[Tool, ...] = ()
    fence: int = 0


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The base of what a worker reports."""


class Spawned(Event, frozen=True, kw_only=True, tag="spawned"):
    """The run's process exists.

    ``start_time`` identifies the process together with ``pid``: equal texts mean the same
    process, also after the pid was used again or the machine was restarted.
    """

    pid: int
    pgid: int
    start_time: str


class Text(Event, frozen=True, kw_only=True, tag="text"):
    """A part of the turn's answer; the parts joined as they are make the answer."""

    text: str


class UsageReported(Event, frozen=True, kw_only=True, tag="usage"):
    """What one model call consumed: as many of them in a run as there were calls.

    ``input_tokens`` are without ``cached_tokens``, which were read from a cache. ``key`` is unique
    within the run, so that it is charged once; an empty one is numbered by whoever receives it.
    """

    key: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: int = 0


class ToolEnded(Event, frozen=True, kw_only=True, tag="tool_end"):
    """The worker used a tool of its own."""

    name: str
    ok: bool = True


class ProgressReported(Event, frozen=True, kw_only=True, tag="progress"):
    """The worker says that the work got on, though its answer may look like the last one."""

    text: str = ""


class SessionSaved(Event, frozen=True, kw_only=True, tag="session"):
    """What the next turn gets as `Work.session`: stored as soon as it is reported.

    None forgets what was stored. `MAX_SESSION` bytes at most.
    """

    session: bytes | None


class RetryReported(Event, frozen=True, kw_only=True, tag="retry"):
    """The worker itself tries a model call again, in ``seconds`` (0: now or not known).

    It is no failure of the turn: that it waits is shown, and its silence is not held against it.
    """

    message: str
    seconds: float = 0.0
    attempt: int | None = None


class ModelTurnStarted(Event, frozen=True, kw_only=True, tag="turn_start"):
    """A model call begins, in a worker that makes several in one run."""


class ModelTurnEnded(Event, frozen=True, kw_only=True, tag="turn_end"):
    """A model call ended."""

    stop_reason: StopReason = "stop"


class ToolCalled(Event, frozen=True, kw_only=True, tag="tool_call"):
    """The worker calls one of the goal's tools; `Worker.tool_result` answers it."""

    id: str | int
    name: str
    arguments: Mapping[str, Any] = msgspec.field(default_factory=dict)


class ErrorReported(Event, frozen=True, kw_only=True, tag="error"):
    """The turn, or the model call that is under way, failed.

    ``message`` is what people read. What kind of failure it is, is read from ``exception`` where
    there is one, else from ``text``, the worker's own words without any of ours, else from the
    message; ``failure`` states it where the worker knows. ``status`` is the provider's HTTP status,
    ``retry_after`` what it asked for, in seconds.
    """

    message: str
    kind: ErrorKind = "reported"
    source: ErrorSource = "unknown"
    text: str | None = None
    exception: BaseException | None = None
    failure: Kind | None = None
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None


class WaitDeclared(Event, frozen=True, kw_only=True, tag="wait"):
    """The goal waits for something outside; nothing should be dispatched before it happens.

    A timer has ``seconds`` from now or ``until`` (unix seconds). A process has ``pid`` and,
    while it existed, ``start_time`` (see `Spawned`). The others may have ``until`` as the
    latest moment.
    """

    for_: WaitFor = msgspec.field(name="for")
    seconds: float | None = None
    until: float | None = None
    pid: int | None = None
    start_time: str | None = None
    note: str = ""


class SteeringAcknowledged(Event, frozen=True, kw_only=True, tag="steer_ack"):
    """The worker took the steering message with this id."""

    id: str


class Skipped(Event, frozen=True, kw_only=True, tag="skipped"):
    """A part of the output that was not understood or was too much; the run goes on.

    ``count`` is how many lines this event stands for.
    """

    reason: str
    excerpt: str = ""
    count: int = 1


class Exited(Event, frozen=True, kw_only=True, tag="exited"):
    """The run is over, and with it every process that belonged to it.

    ``ok``: the turn ended well. Otherwise the last `ErrorReported` says why, except when
    ``aborted``. ``status`` is the exit status, ``signal`` the signal that ended the process;
    both None where there was none. ``left`` names processes that could not be ended: while it
    is not empty, nothing may be dispatched for this thread.
    """

    ok: bool
    status: int | None = None
    signal: int | None = None
    aborted: bool = False
    stderr_tail: str = ""
    left: tuple[int, ...] = ()


TurnEvent = (
    Spawned
    | Text
    | UsageReported
    | ToolEnded
    | ProgressReported
    | SessionSaved
    | RetryReported
    | ModelTurnStarted
    | ModelTurnEnded
    | ToolCalled
    | ErrorReported
    | WaitDeclared
    | SteeringAcknowledged
    | Skipped
    | Exited
)


class ToolResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a goal tool answered: ``result`` when it is ``ok``, else ``error`` and ``code``."""

    ok: bool
    result: Any = None
    error: str | None = None
    code: str | None = None


class Compaction(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt to shorten the context came to.

    ``changed`` is False when the context is as long as before. ``usage`` is what the attempt
    consumed, also when it failed; its keys are unique within the work's ``run_id``. ``session``
    is what the next turn gets as `Work.session`, None where it stays as it is.
    """

    changed: bool
    usage: tuple[UsageReported, ...] = ()
    session: bytes | None = None


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a run that an earlier daemon started.

    ``finished`` carries the events of its end; ``gone`` means that nothing of it is left and
    its result is not known; ``unknown`` that the worker cannot tell.
    """

    state: Literal["running", "finished", "gone", "unknown"]
    events: tuple[TurnEvent, ...] = ()


class Worker(Protocol):
    """Runs the turns of goals. Only what ``capabilities`` names does anything beyond `run`.

    Every call may be repeated: a second one for the same run has no further effect.
    """

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return what this worker can do beyond running a turn."""
        ...

    def run(self, work: Work) -> AsyncIterator[TurnEvent]:
        """Run one turn and yield what happens, `Exited` last.

        Failures are events, not exceptions. Closing the iterator early ends the run.
        """
        ...

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Hand a message to a running turn; False when it cannot take it now.

        True says that it was sent; a `SteeringAcknowledged` says that it was taken.
        """
        ...

    async def abort(self, run_id: str) -> bool:
        """End a run and return when it is over; False when no such run is under way."""
        ...

    async def compact(self, work: Work) -> Compaction:
        """Shorten the context that this thread's turns share, and say what that consumed."""
        ...

    async def probe(self, run_id: str) -> Probe:
        """Return what became of a run that an earlier daemon started."""
        ...

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Answer a `ToolCalled`; False when the answer cannot reach the worker."""
        ...


@runtime_checkable
class Sparing(Protocol):
    """A worker that ends a run's processes with the run, unless it is asked to spare one."""

    def spare(self, run_id: str, pid: int) -> None:
        """Let a process go on when the run under way ends: the goal waits for it."""
        ...


@runtime_checkable
class Supervised(Protocol):
    """A worker that starts processes, and wants them to end with whoever runs it."""

    def bind(self, supervisor: Callable[[], Awaitable[Supervisor]]) -> None:
        """Start every process of later runs under the supervisor that this returns.

        An engine calls it before it gives the worker its first work.
        """
        ...


class RunOnly:
    """The answers of a worker that only runs turns; a base for workers that can do little."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Return nothing: such a worker only runs."""
        return frozenset()

    async def steer(self, run_id: str, message_id: str, text: str) -> bool:
        """Refuse: there is no way into a running turn."""
        del run_id, message_id, text
        return False

    async def abort(self, run_id: str) -> bool:
        """Refuse: there is no way to end a run early."""
        del run_id
        return False

    async def compact(self, work: Work) -> Compaction:
        """Refuse: there is no context to shorten."""
        del work
        return Compaction(changed=False)

    async def probe(self, run_id: str) -> Probe:
        """Say that nothing is known of earlier runs."""
        del run_id
        return Probe(state="unknown")

    async def tool_result(self, run_id: str, call_id: str | int, result: ToolResult) -> bool:
        """Refuse: nobody waits for an answer."""
        del run_id, call_id, result
        return False
