"""What happened to a thread: one family of events for every host, past tense, plain data."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from goalfsm.goal.model import Usage
from goalfsm.session.commands import GIVING as GIVING
from goalfsm.session.commands import BlockRequested as BlockRequested
from goalfsm.session.commands import BudgetChanged as BudgetChanged
from goalfsm.session.commands import By as By
from goalfsm.session.commands import ClaimAccepted as ClaimAccepted
from goalfsm.session.commands import ClaimRejected as ClaimRejected
from goalfsm.session.commands import ClearRequested as ClearRequested
from goalfsm.session.commands import Command as Command
from goalfsm.session.commands import CompletionRequested as CompletionRequested
from goalfsm.session.commands import EditRequested as EditRequested
from goalfsm.session.commands import EventBase
from goalfsm.session.commands import Expecting as Expecting
from goalfsm.session.commands import GoalImported as GoalImported
from goalfsm.session.commands import GoalQueued as GoalQueued
from goalfsm.session.commands import InterruptRequested as InterruptRequested
from goalfsm.session.commands import NextGoalRequested as NextGoalRequested
from goalfsm.session.commands import ObjectiveGiven as ObjectiveGiven
from goalfsm.session.commands import PauseRequested as PauseRequested
from goalfsm.session.commands import PolicyChanged as PolicyChanged
from goalfsm.session.commands import QueueDropped as QueueDropped
from goalfsm.session.commands import QueueMoved as QueueMoved
from goalfsm.session.commands import ResumeRequested as ResumeRequested
from goalfsm.session.commands import Setting as Setting
from goalfsm.session.commands import SteeringDropped as SteeringDropped
from goalfsm.session.commands import SteeringReceived as SteeringReceived
from goalfsm.session.commands import TriggerFired as TriggerFired
from goalfsm.session.commands import WakeRequested as WakeRequested
from goalfsm.session.effects import Entry
from goalfsm.session.routes import Routed
from recovery.failures import Kind, Source

WorkKind = Literal["continuation", "command_start", "command_resume"]
Outcome = Literal["finished", "failed", "aborted", "timed_out"]
StopReason = Literal["stop", "length", "toolUse", "error", "aborted"]
LoadReason = Literal["startup", "resume", "new", "fork", "reload"]


class GoalWork(msgspec.Struct, frozen=True, gc=False):
    """The metadata of queued goal work: what kind it is and which goal it is for."""

    kind: WorkKind
    goal_id: str


class Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One message of a run, as far as the engine looks at it.

    ``status``, ``code`` and ``retry_after`` (seconds) are what a provider's error carried besides
    its text; ``zone`` names the time zone in which a bare time of day in it is meant. ``source``
    is who said the error, ``failure`` what kind it is, where the worker knows.
    """

    role: Literal["user", "assistant", "custom", "tool"]
    stop_reason: StopReason | None = None
    usage: Usage = Usage()
    error: str | None = None
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    zone: str | None = None
    source: Source = "unknown"
    failure: Kind | None = None
    work: GoalWork | None = None

    @property
    def died(self) -> str:
        """Return how the worker's process ended, where that is what the error tells; else ""."""
        kind, _, number = (self.code or "").partition("_")
        words = {"exit": "exit status", "signal": "signal"}.get(kind)
        return f"{words} {number}" if words and number.isdecimal() else ""


class ToolCalled(EventBase, frozen=True, kw_only=True):
    """The model called a goal tool; ``run_token`` says from which run, None from the host."""

    name: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    run_token: str | None = None


class InputReceived(EventBase, frozen=True, kw_only=True):
    """Text reached the host, from a person or as queued goal work."""

    source: Literal["interactive", "rpc", "extension"]
    work: GoalWork | None = None


class AgentStarting(EventBase, frozen=True, kw_only=True):
    """An agent run is about to start, with queued goal work or without."""

    work: GoalWork | None = None


class TurnStarted(EventBase, frozen=True, kw_only=True):
    """One model call of a run started."""

    turn_index: int


class MessageStarted(EventBase, frozen=True, kw_only=True):
    """A message entered the run."""

    message: Message


class ContextRequested(EventBase, frozen=True, kw_only=True):
    """The provider context is about to be built: the last moment to abort stale work."""


class ToolFinished(EventBase, frozen=True, kw_only=True):
    """A tool of the running turn returned."""

    name: str = ""
    ok: bool = True


class TurnEnded(EventBase, frozen=True, kw_only=True):
    """One model call of a run ended; ``turn_index`` may be one that nobody waits for any more."""

    turn_index: int
    message: Message


class AgentEnded(EventBase, frozen=True, kw_only=True):
    """The run is over; these are its messages."""

    messages: tuple[Message, ...] = ()


class CompactionStarted(EventBase, frozen=True, kw_only=True):
    """The host is about to compact the context."""


class CompactionEnded(EventBase, frozen=True, kw_only=True):
    """The host compacted the context; ``ok`` False when it could not.

    ``usage`` is what that consumed, for the goal ``goal_id``; ``data`` is what its worker saved of
    its own session meanwhile, None where that stays as it is.
    """

    ok: bool = True
    goal_id: str | None = None
    usage: Usage = Usage()
    data: bytes | None = None


class SessionStarted(EventBase, frozen=True, kw_only=True):
    """The thread was loaded from its history."""

    reason: LoadReason = "startup"
    history: tuple[Entry, ...] = ()


class TreeChanged(EventBase, frozen=True, kw_only=True):
    """The person moved to another branch of the history, which now is ``history``."""

    history: tuple[Entry, ...] = ()


class ShutdownStarted(EventBase, frozen=True, kw_only=True):
    """The host is shutting down."""


class HostChanged(EventBase, frozen=True, kw_only=True):
    """What the host answers about itself changed; None leaves an answer as it was."""

    idle: bool | None = None
    pending_messages: bool | None = None
    context_window: int | None = None


class EngineStarted(EventBase, frozen=True, kw_only=True):
    """An engine took the thread over from its snapshot, after a stop or a crash."""

    after_crash: bool = False


class EngineLost(EventBase, frozen=True, kw_only=True):
    """The engine that worked on the thread is gone without a word; it was last seen at ``seen_ms``.

    Whoever finds that out says so before anything else: time counts up to then, and no further.
    """

    seen_ms: int


class RulesChanged(EventBase, frozen=True, kw_only=True):
    """A version of the rules decides for the first time, on ``state``: a replay begins with it."""

    state: str


class RunDispatched(EventBase, frozen=True, kw_only=True):
    """A run was dispatched: it is open, and its worker is to be started.

    It stands for what a host tells of a run's beginning: that it is busy, that an agent starts on
    the queued work, that a turn has started, that its message has entered and that its context is
    built. ``wind_down`` runs are a goal's last. ``turn`` is the number of the goal's turn, for
    whoever reads the journal; 0 where nobody says it. ``route`` is the program that does it in
    place of the thread's own, as the thread's policy has it.
    """

    run_id: str
    token: str
    turn: int = 0
    wind_down: bool = False
    can_steer: bool = False
    can_compact: bool = False
    route: Routed | None = None


class RunFinished(EventBase, frozen=True, kw_only=True):
    """The run's worker ended by itself; what it did, for the progress rules.

    It stands for what a host tells of a run's end: the end of the turn, with ``message``, the end
    of the agent, and that it is idle unless something of the run is left (``gone`` False). Without
    a ``message`` the outcome says how the turn stopped.
    ``answer_shape`` is the digest of the answer without its numbers, times and ids, and
    ``answer_step`` the n and m of an "n of m" in it. ``said_progress``: the worker itself said that
    it got somewhere. ``turn`` is as in `RunDispatched`.
    """

    run_id: str
    turn: int = 0
    outcome: Outcome = "finished"
    message: Message | None = None
    answer_digest: str = ""
    answer_shape: str = ""
    answer_step: tuple[int, int] | None = None
    said_progress: bool = False
    answer_length: int = 0
    tools_ok: int = 0
    tools_failed: int = 0
    gone: bool = True


class RunInterrupted(EventBase, frozen=True, kw_only=True):
    """The run's end is unknown: the engine or the worker died under it.

    ``ended_ms`` is when it is known to have ended: its time is charged up to then. ``gone``: the
    thread is idle, nothing of the run is left. ``turn`` is as in `RunDispatched`.
    """

    run_id: str
    turn: int = 0
    detail: str = ""
    ended_ms: int | None = None
    gone: bool = True


class WindDownDelivered(EventBase, frozen=True, kw_only=True):
    """The running turn took the wind-down prompt: it is the last, none of its own follows."""

    run_id: str


class ClockAdjusted(EventBase, frozen=True, kw_only=True):
    """The wall clock was set by ``by_ms``: what is measured from a moment moves with it."""

    by_ms: int


class DecisionFailed(EventBase, frozen=True, kw_only=True):
    """An event could not be decided: a fault of this program, or in a rule of the embedder's.

    ``event`` holds the fields of that event without secrets, ``kind`` is its name; nothing of it
    was done. ``error`` is what was raised.
    """

    kind: str
    error: str
    event_id: str = ""
    event: dict[str, Any] = msgspec.field(default_factory=dict)


class UsageReported(EventBase, frozen=True, kw_only=True):
    """A worker reported usage; ``key`` counts once, however often it is reported."""

    run_id: str
    run_token: str
    key: str
    usage: Usage


class SessionSaved(EventBase, frozen=True, kw_only=True):
    """The worker of the open run saved its own session: the goal's next turn gets ``data``.

    None forgets what was saved.
    """

    run_token: str
    data: bytes | None


class WaitDeclared(EventBase, frozen=True, kw_only=True):
    """The work waits for something outside: no turn is worth its tokens before it happens.

    ``until_ms`` is when a timer is due, or when anything else is given up waiting for;
    ``relative``: it was asked for as a duration, so it moves with a wall clock that is set.
    ``started`` tells the process ``pid`` from others that have its number later. A turn may declare
    several waits: work goes on when all are over, or the first of those that say ``any``.
    """

    kind: Literal["timer", "process", "person", "event"]
    until_ms: int | None = None
    pid: int | None = None
    note: str = ""
    run_token: str | None = None
    relative: bool = False
    started: str = ""
    any: bool = False


class ProcessEnded(EventBase, frozen=True, kw_only=True):
    """The process that the work waited for has ended."""

    pid: int


class TimerFired(EventBase, frozen=True, kw_only=True):
    """The time that ``next_wake`` asked for has come."""


class VerificationFinished(EventBase, frozen=True, kw_only=True):
    """One verifier of the open claim has an outcome; ``digest`` seals all that it said."""

    claim_id: str
    index: int
    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""
    digest: str = ""


class UntilChecked(EventBase, frozen=True, kw_only=True):
    """The goal's ``until`` has been run; ``digest`` seals all that it said.

    ``passed`` is exit status 0, ``failed`` another one; ``timed_out`` tells one kind of
    ``unverifiable`` from the others.
    """

    check_id: str
    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""
    digest: str = ""
    timed_out: bool = False


class SteeringAcknowledged(EventBase, frozen=True, kw_only=True):
    """The worker took a steering message into its running turn."""

    message_id: str
    run_token: str | None = None


Event = (
    Command
    | ToolCalled
    | InputReceived
    | AgentStarting
    | TurnStarted
    | MessageStarted
    | ContextRequested
    | ToolFinished
    | TurnEnded
    | AgentEnded
    | CompactionStarted
    | CompactionEnded
    | SessionStarted
    | TreeChanged
    | ShutdownStarted
    | HostChanged
    | EngineStarted
    | EngineLost
    | RulesChanged
    | RunDispatched
    | RunFinished
    | RunInterrupted
    | WindDownDelivered
    | ClockAdjusted
    | DecisionFailed
    | UsageReported
    | SessionSaved
    | WaitDeclared
    | ProcessEnded
    | TimerFired
    | VerificationFinished
    | UntilChecked
    | SteeringAcknowledged
)
