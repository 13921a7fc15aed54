"""What happened to a thread: one family of events for every host, past tense, plain data."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from goalfsm.goal.model import Criterion, Evidence, Limits, Origin, PauseReason, Usage, Verifier
from goalfsm.session.entries import Entry
from recovery.failures import Kind, Rule, Source

WorkKind = Literal["continuation", "command_start", "command_resume"]
Setting = bool | int | float | str | tuple[Rule, ...]
"""One setting of a policy, as a command line or a file gives it."""
Outcome = Literal["finished", "failed", "aborted", "timed_out"]
StopReason = Literal["stop", "length", "toolUse", "error", "aborted"]
LoadReason = Literal["startup", "resume", "new", "fork", "reload"]


class GoalWork(msgspec.Struct, frozen=True):
    """The metadata of queued goal work: what kind it is and which goal it is for."""

    kind: WorkKind
    goal_id: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
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


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The base of all events; the tag is the class name."""


class By(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who asked, as the receiver found out: never what the sender says of itself.

    ``run_id`` is the run that the asker was inside of. ``host`` is the machine, where the thread is
    not a machine's own. What could not be found out is left empty.
    """

    uid: int | None = None
    pid: int | None = None
    program: str = ""
    terminal: str = ""
    run_id: str | None = None
    host: str = ""


class Expecting(_Event, frozen=True, kw_only=True):
    """What somebody asked for; the optional expectations refuse it when they do not hold.

    ``by`` is filled in by whoever receives it.
    """

    origin: Origin = "person"
    by: By | None = None
    expected_goal_id: str | None = None
    expected_revision: int | None = None


class _Terms(Expecting, frozen=True, kw_only=True):
    """What a person describes a goal by.

    ``policy`` changes settings of the thread's policy by name, together with the goal.
    """

    objective: str
    limits: Limits = Limits()
    criteria: tuple[Criterion, ...] = ()
    verifiers: tuple[Verifier, ...] = ()
    until: Verifier | None = None
    policy: dict[str, Setting] = {}


class ObjectiveGiven(_Terms, frozen=True, kw_only=True):
    """A person gave the thread an objective; ``replace`` confirms that another may be given up.

    A goal that is given ``paused`` has no turn before somebody resumes it.
    """

    replace: bool = False
    paused: bool = False


class GoalQueued(_Terms, frozen=True, kw_only=True):
    """A person put a goal behind those that the thread has; ``first`` puts it before the others."""

    first: bool = False


class QueueMoved(Expecting, frozen=True, kw_only=True):
    """A person gave a queued goal another ``place`` in the queue, counted from 1."""

    queue_id: str
    place: int


class QueueDropped(Expecting, frozen=True, kw_only=True):
    """A person took a goal out of the queue."""

    queue_id: str


class NextGoalRequested(Expecting, frozen=True, kw_only=True):
    """The first queued goal is to become the thread's goal, now that none is unfinished.

    A person asks for it, or the engine where the policy says ``advance``.
    """


class GoalImported(Expecting, frozen=True, kw_only=True):
    """A person brought a goal here that another program worked on: nobody works on it yet.

    ``source`` names it there for good, ``digest`` is the SHA-256 of what was read of it: what was
    brought before is not brought again. ``tokens`` and ``seconds`` are what it has used so far.
    ``created_at`` is in unix seconds. ``status`` is how it stood, an active one as paused.
    """

    source: str
    digest: str
    objective: str
    status: Literal["paused", "blocked", "complete", "budgetLimited"] = "paused"
    pause_reason: PauseReason = "user"
    note: str = ""
    limits: Limits = Limits()
    tokens: int = 0
    seconds: int = 0
    created_at: int | None = None


class PolicyChanged(Expecting, frozen=True, kw_only=True):
    """Somebody changed settings of the thread's policy, by name."""

    changes: dict[str, Setting]


class PauseRequested(Expecting, frozen=True, kw_only=True):
    """Somebody asked to pause the goal; the running turn ends, none follows.

    ``now``: the running turn is ended at once; otherwise it may finish.
    """

    reason: PauseReason = "user"
    now: bool = False


class InterruptRequested(Expecting, frozen=True, kw_only=True):
    """A person ended the running turn; the goal stays as it is, and the next turn starts at once.

    ``text`` opens the next turn; ``message_id`` names it as a message, once.
    """

    text: str = ""
    message_id: str = ""


class ResumeRequested(Expecting, frozen=True, kw_only=True):
    """Somebody asked to take a paused or blocked goal up again."""


class ClearRequested(Expecting, frozen=True, kw_only=True):
    """A person gave the goal up."""


class EditRequested(Expecting, frozen=True, kw_only=True):
    """A person changed what the goal is, or what its completion is checked by; None leaves it.

    Id and usage stay. ``verifiers`` takes the place of all commands and callables, ``acceptance``
    says whether a person has to accept a completion claim. ``until`` takes the place of the command
    that completes the goal; ``no_until`` drops it.
    """

    objective: str | None = None
    criteria: tuple[Criterion, ...] | None = None
    verifiers: tuple[Verifier, ...] | None = None
    acceptance: bool | None = None
    until: Verifier | None = None
    no_until: bool = False


class BudgetChanged(Expecting, frozen=True, kw_only=True):
    """A person changed budgets: those given here, or none at all for ``unlimited`` ones.

    A limited goal that has something left again goes on, unless ``reopen`` is False.
    """

    limits: Limits
    unlimited: tuple[Literal["tokens", "seconds", "cost", "continuations"], ...] = ()
    reopen: bool = True


class CompletionRequested(Expecting, frozen=True, kw_only=True):
    """A person declared the goal complete."""

    evidence: tuple[Evidence, ...] = ()


class BlockRequested(Expecting, frozen=True, kw_only=True):
    """A person declared the goal blocked."""

    reason: str = ""


class ClaimAccepted(Expecting, frozen=True, kw_only=True):
    """A person accepted the open completion claim; it is refused for any but ``expected_claim``."""

    expected_claim: str | None = None


class ClaimRejected(Expecting, frozen=True, kw_only=True):
    """A person rejected the open completion claim; the feedback goes to the model.

    It is refused for any claim but ``expected_claim``, where that is given.
    """

    feedback: str = ""
    expected_claim: str | None = None


class SteeringReceived(Expecting, frozen=True, kw_only=True):
    """A person said something that the work should take into account."""

    message_id: str
    text: str


class SteeringDropped(Expecting, frozen=True, kw_only=True):
    """A person took a message back that no turn has got yet."""

    message_id: str


class WakeRequested(Expecting, frozen=True, kw_only=True):
    """What the goal waited for has happened."""

    note: str = ""


class TriggerFired(Expecting, frozen=True, kw_only=True):
    """An embedder fired a trigger of its own machine."""

    trigger: str


GIVING: Final = (ObjectiveGiven, GoalQueued, GoalImported)
"""What a thread may begin with, besides a goal that its model gives."""


class ToolCalled(_Event, frozen=True, kw_only=True):
    """The model called a goal tool; ``run_token`` says from which run, None from the host."""

    name: str
    arguments: dict[str, Any] = {}
    run_token: str | None = None


class InputReceived(_Event, frozen=True, kw_only=True):
    """Text reached the host, from a person or as queued goal work."""

    source: Literal["interactive", "rpc", "extension"]
    work: GoalWork | None = None


class AgentStarting(_Event, frozen=True, kw_only=True):
    """An agent run is about to start, with queued goal work or without."""

    work: GoalWork | None = None


class TurnStarted(_Event, frozen=True, kw_only=True):
    """One model call of a run started."""

    turn_index: int


class MessageStarted(_Event, frozen=True, kw_only=True):
    """A message entered the run."""

    message: Message


class ContextRequested(_Event, frozen=True, kw_only=True):
    """The provider context is about to be built: the last moment to abort stale work."""


class ToolFinished(_Event, frozen=True, kw_only=True):
    """A tool of the running turn returned."""

    name: str = ""
    ok: bool = True


class TurnEnded(_Event, frozen=True, kw_only=True):
    """One model call of a run ended; ``turn_index`` may be one that nobody waits for any more."""

    turn_index: int
    message: Message


class AgentEnded(_Event, frozen=True, kw_only=True):
    """The run is over; these are its messages."""

    messages: tuple[Message, ...] = ()


class CompactionStarted(_Event, frozen=True, kw_only=True):
    """The host is about to compact the context."""


class CompactionEnded(_Event, frozen=True, kw_only=True):
    """The host compacted the context; ``ok`` False when it could not.

    ``usage`` is what that consumed, for the goal ``goal_id``; ``data`` is what its worker saved of
    its own session meanwhile, None where that stays as it is.
    """

    ok: bool = True
    goal_id: str | None = None
    usage: Usage = Usage()
    data: bytes | None = None


class SessionStarted(_Event, frozen=True, kw_only=True):
    """The thread was loaded from its history."""

    reason: LoadReason = "startup"
    history: tuple[Entry, ...] = ()


class TreeChanged(_Event, frozen=True, kw_only=True):
    """The person moved to another branch of the history, which now is ``history``."""

    history: tuple[Entry, ...] = ()


class ShutdownStarted(_Event, frozen=True, kw_only=True):
    """The host is shutting down."""


class HostChanged(_Event, frozen=True, kw_only=True):
    """What the host answers about itself changed; None leaves an answer as it was."""

    idle: bool | None = None
    pending_messages: bool | None = None
    context_window: int | None = None


class EngineStarted(_Event, frozen=True, kw_only=True):
    """An engine took the thread over from its snapshot, after a stop or a crash."""

    after_crash: bool = False


class EngineLost(_Event, frozen=True, kw_only=True):
    """The engine that worked on the thread is gone without a word; it was last seen at ``seen_ms``.

    Whoever finds that out says so before anything else: time counts up to then, and no further.
    """

    seen_ms: int


class RunDispatched(_Event, frozen=True, kw_only=True):
    """A run was dispatched: it is open, and its worker is to be started.

    It stands for what a host tells of a run's beginning: that it is busy, that an agent starts on
    the queued work, that a turn has started, that its message has entered and that its context is
    built. ``wind_down`` runs are a goal's last. ``turn`` is the number of the goal's turn, for
    whoever reads the journal; 0 where nobody says it.
    """

    run_id: str
    token: str
    turn: int = 0
    wind_down: bool = False
    can_steer: bool = False
    can_compact: bool = False


class RunFinished(_Event, frozen=True, kw_only=True):
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


class RunInterrupted(_Event, frozen=True, kw_only=True):
    """The run's end is unknown: the engine or the worker died under it.

    ``ended_ms`` is when it is known to have ended: its time is charged up to then. ``gone``: the
    thread is idle, nothing of the run is left. ``turn`` is as in `RunDispatched`.
    """

    run_id: str
    turn: int = 0
    detail: str = ""
    ended_ms: int | None = None
    gone: bool = True


class WindDownDelivered(_Event, frozen=True, kw_only=True):
    """The running turn took the wind-down prompt: it is the last, none of its own follows."""

    run_id: str


class ClockAdjusted(_Event, frozen=True, kw_only=True):
    """The wall clock was set by ``by_ms``: what is measured from a moment moves with it."""

    by_ms: int


class DecisionFailed(_Event, frozen=True, kw_only=True):
    """An event could not be decided: a fault of this program, or in a rule of the embedder's.

    ``event`` holds the fields of that event without secrets, ``kind`` is its name; nothing of it
    was done. ``error`` is what was raised.
    """

    kind: str
    error: str
    event_id: str = ""
    event: dict[str, Any] = {}


class UsageReported(_Event, frozen=True, kw_only=True):
    """A worker reported usage; ``key`` counts once, however often it is reported."""

    run_id: str
    run_token: str
    key: str
    usage: Usage


class SessionSaved(_Event, frozen=True, kw_only=True):
    """The worker of the open run saved its own session: the goal's next turn gets ``data``.

    None forgets what was saved.
    """

    run_token: str
    data: bytes | None


class WaitDeclared(_Event, frozen=True, kw_only=True):
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


class ProcessEnded(_Event, frozen=True, kw_only=True):
    """The process that the work waited for has ended."""

    pid: int


class TimerFired(_Event, frozen=True, kw_only=True):
    """The time that ``next_wake`` asked for has come."""


class VerificationFinished(_Event, frozen=True, kw_only=True):
    """One verifier of the open claim has an outcome; ``digest`` seals all that it said."""

    claim_id: str
    index: int
    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""
    digest: str = ""


class UntilChecked(_Event, frozen=True, kw_only=True):
    """The goal's ``until`` has been run; ``digest`` seals all that it said.

    ``passed`` is exit status 0, ``failed`` another one; ``timed_out`` tells one kind of
    ``unverifiable`` from the others.
    """

    check_id: str
    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""
    digest: str = ""
    timed_out: bool = False


class SteeringAcknowledged(_Event, frozen=True, kw_only=True):
    """The worker took a steering message into its running turn."""

    message_id: str
    run_token: str | None = None


Command = (
    ObjectiveGiven
    | GoalQueued
    | QueueMoved
    | QueueDropped
    | NextGoalRequested
    | GoalImported
    | PauseRequested
    | InterruptRequested
    | ResumeRequested
    | ClearRequested
    | EditRequested
    | BudgetChanged
    | CompletionRequested
    | BlockRequested
    | ClaimAccepted
    | ClaimRejected
    | SteeringReceived
    | SteeringDropped
    | WakeRequested
    | TriggerFired
    | PolicyChanged
)
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
