"""What a dialect is: one agent's line protocol for one turn, spoken without I/O.

A dialect is told what the agent writes, line by line, and says what that means (turn events) and
what the agent is to be written. It starts nothing, waits for nothing and knows no clock: the time
comes with each line. Lines that a dialect does not know are ignored, because agents add new ones;
lines that it knows and cannot read are reported.
"""

from __future__ import annotations

import abc
import contextlib
import uuid
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

import msgspec

from goalfsm.text import MALFORMED
from goalfsm.workers.agents.jsonrpc import Caller
from goalfsm.workers.agents.usage import NOTHING, Meter, Totals
from goalfsm.workers.output import excerpt
from goalfsm.workers.protocol import (
    ErrorReported,
    SessionSaved,
    Skipped,
    SteeringAcknowledged,
    Text,
    ToolCalled,
    ToolResult,
    TurnEvent,
    Work,
)

LOST_SESSION: Final = (
    "Your earlier session with what you said and did in it could not be found, so this is a new "
    "one. What was done before is in the files and in what get_goal returns; look at both first."
    "\n\n"
)
"""What a prompt begins with when the agent does not know its session any more."""

_MAX_REASON: Final = 200
_MAX_ID: Final = 1_000
_ODD: Final = (AttributeError, KeyError, IndexError, TypeError, ValueError)
"""What is raised where a field of a message is missing, or of another kind than it should be."""
_NAMESPACE: Final = uuid.UUID("7f6f0a53-5a2e-4f3c-9b35-3a1d1e0c8c11")


class Saved(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of an agent's session; ``charged`` is the baseline of its usage.

    ``turn`` is the agent's own id of the newest turn in which a goal was worked on, "" where the
    session is the goal's alone.
    """

    agent: str
    id: str
    charged: Totals = NOTHING
    turn: str = ""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What one process of an agent is started for.

    ``args`` are the person's own arguments for the agent, ``env`` is what it will see.
    ``compact``: shorten the session's
    context instead of doing a turn. ``attempt`` counts the processes of the run, from 0; ``lost``
    says that an earlier one did not find its session.
    """

    work: Work
    args: tuple[str, ...] = ()
    cwd: str | None = None
    env: Mapping[str, str] = {}
    compact: bool = False
    attempt: int = 0
    lost: bool = False


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How the agent is started, and what it is written first."""

    argv: tuple[str, ...]
    env: dict[str, str] = msgspec.field(default_factory=dict)
    lines: tuple[bytes, ...] = ()


class Dialect(abc.ABC):
    """One turn with one agent; the methods are called in the order in which things happen."""

    name: ClassVar[str]
    rpc_version: ClassVar[str | None] = None
    ends: ClassVar[frozenset[str]] = frozenset()
    """Types of messages behind which the turn is over: one that cannot be read ends it too."""

    def __init__(self, task: Task) -> None:
        """Say one prompt to an agent, which is not started yet."""
        self.task = task
        self.over = False
        """Whether the agent has nothing more to do: then its stdin may end."""
        self.lost = False
        """Whether it ended because it does not know the session: then it is started again."""
        self.renewed = task.lost
        """Whether the session is a new one in place of one that was lost."""
        self.changed = False
        """Whether the context was shortened."""
        self.saved = None if task.lost else self._read(task.work.session)
        self.resets: float | None = None
        """When the limit that is used up is reset, in unix seconds, where the agent said so."""
        self._meter = Meter(NOTHING if self.saved is None else self.saved.charged)
        self._rpc = Caller(version=self.rpc_version)
        self._events: list[TurnEvent] = []
        self._lines: list[bytes] = []
        self._said = False

    @property
    def is_asking(self) -> bool:
        """Tell whether the turn waits for a person who is asked elsewhere."""
        return False

    @abc.abstractmethod
    def launch(self) -> Launch:
        """Return how the agent is started."""

    @abc.abstractmethod
    def understand(self, message: Mapping[str, Any], now: float) -> None:
        """Take one message of the agent; ``now`` is in unix seconds."""

    @abc.abstractmethod
    def steer(self, message_id: str, text: str) -> bool:
        """Hand the agent a message of a person's; False when it cannot take it now."""

    @abc.abstractmethod
    def interrupt(self) -> None:
        """Ask the agent to stop its turn."""

    @abc.abstractmethod
    def answer(self, call_id: str | int, result: ToolResult) -> None:
        """Answer a goal tool that it called."""

    def is_decisive(self, message: Mapping[str, Any]) -> bool:
        """Tell whether nothing would follow a message, were it not understood."""
        return message.get("type") in self.ends

    def refuse(self, message: Mapping[str, Any]) -> None:
        """Answer a request that was not understood, where it is one: whoever asked waits."""
        if "id" in message and "method" in message:
            self.write(self._rpc.refuse(message["id"], "not understood"))

    def ended(self, messages: str) -> None:  # noqa: B027 - most agents say all on stdout
        """Take note that the process has ended; ``messages`` is the end of its stderr."""

    def hear(self, raw: bytes, now: float) -> tuple[TurnEvent, ...]:
        """Return what a line means; never raise on what an agent may write."""
        try:
            message = msgspec.json.decode(raw)
        except MALFORMED as error:
            return (Skipped(reason=f"not JSON: {error}", excerpt=excerpt(raw)),)
        if not isinstance(message, dict):
            return ()
        odd: Exception | None = None
        try:
            self.understand(message, now)
        except (*_ODD, ArithmeticError) as error:
            odd = error
        told: list[TurnEvent] = []
        for event in self._events:
            try:
                told.append(_checked(event))
            except (*_ODD, ArithmeticError) as error:
                odd = error
        self._events.clear()
        if odd is not None:
            self._mishear(message, odd, raw)
        told += self._events
        self._events.clear()
        return tuple(told)

    def _mishear(self, message: Mapping[str, Any], error: Exception, raw: bytes) -> None:
        """Do what can be done about a message whose fields are not what they should be."""
        words = f"not understood: {type(error).__name__} {error}"[:_MAX_REASON]
        decisive = False
        with contextlib.suppress(*_ODD):
            decisive = self.is_decisive(message)
            self.refuse(message)
        if decisive:
            self.over = True
            self.fail(f"{self.name} ended its turn by a message {words}", code="not_understood")
        else:
            self.tell(Skipped(reason=words, excerpt=excerpt(raw)))

    def take_lines(self) -> bytes:
        """Return what the agent is to be written, once."""
        lines, self._lines = b"".join(self._lines), []
        return lines

    # For the dialects.

    @property
    def prompt(self) -> str:
        """Return the turn's prompt, with a word on a session that was lost."""
        lead = LOST_SESSION if self.renewed else ""
        return lead + self.task.work.prompt

    def fresh_id(self, of: str = "session") -> str:
        """Return a UUID that nobody else has, and that is the same when asked again."""
        work = self.task.work
        named = (work.db, work.thread_id, work.run_id, str(self.task.attempt), of)
        return str(uuid.uuid5(_NAMESPACE, "\0".join(named)))

    def tell(self, *events: TurnEvent) -> None:
        """Report events of the turn, in this order."""
        self._events += events

    def write(self, *lines: bytes) -> None:
        """Write lines to the agent."""
        self._lines += lines

    def call(self, call_id: Any, name: Any, arguments: Any) -> None:
        """Report that a goal tool was called; None is no arguments."""
        self.tell(
            ToolCalled(id=call_id, name=name, arguments={} if arguments is None else arguments)
        )

    def save(self, session_id: str, charged: Totals = NOTHING) -> None:
        """Have the session kept for the next turn. Raises `TypeError` for what is no id."""
        if not isinstance(session_id, str) or not 0 < len(session_id) <= _MAX_ID:
            raise TypeError("no session id")
        self.saved = Saved(agent=self.name, id=session_id, charged=charged)
        self.tell(SessionSaved(session=msgspec.json.encode(self.saved)))

    def charge(self, used: Totals) -> None:
        """Report what was used, where that is anything."""
        if used != NOTHING:
            self.tell(used.reported())

    def count_up(self, session_id: str, total: Totals) -> None:
        """Charge what a session has used so far beyond what was charged, and keep how much."""
        used = self._meter.advance(total)
        if used != NOTHING:
            self.charge(used)
            self.save(session_id, total)

    def until_reset(self, now: float) -> float | None:
        """Return in how many seconds the limit that is used up is reset, None where none is."""
        return None if self.resets is None else max(0.0, self.resets - now)

    def say(self, text: str) -> None:
        """Report a message of the agent's; messages are told apart by an empty line."""
        if text:
            self.tell(Text(text=f"\n\n{text}" if self._said else text))
            self._said = True

    def took(self, message_id: str) -> None:
        """Report that a person's message has reached the model."""
        self.tell(SteeringAcknowledged(id=message_id))

    def fail(self, text: str, **known: Any) -> None:
        """Report that the turn failed, in the agent's own words, and what else it says of that."""
        words = text if text and isinstance(text, str) else f"{self.name} failed without saying why"
        kinds = {"status": int, "code": str, "retry_after": int | float, "failure": str}
        told: dict[str, Any] = {
            name: each for name, each in known.items() if isinstance(each, kinds[name])
        }
        self.tell(ErrorReported(message=words, text=words, source="provider", **told))

    def _read(self, session: bytes | None) -> Saved | None:
        if session is None:
            return None
        try:
            saved = msgspec.json.decode(session, type=Saved)
        except MALFORMED:
            return None
        return saved if saved.agent == self.name else None


def _checked(event: TurnEvent) -> TurnEvent:
    """Return the event; raise `ValueError` where a field of it is of another kind."""
    if isinstance(event, ErrorReported):
        return event  # its fields were looked at one by one
    return msgspec.convert(msgspec.to_builtins(event), type(event))


def has_option(args: Iterable[str], *names: str) -> bool:
    """Tell whether one of these options is among the arguments, also as ``--name=value``."""
    return any(arg == name or arg.startswith(f"{name}=") for arg in args for name in names)
