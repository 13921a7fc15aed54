"""What may be asked of a thread: a person's commands, and what the engine asks in their name."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from goalfsm.goal.model import Criterion, Evidence, Limits, Origin, PauseReason, Verifier
from recovery.failures import Rule

Setting = bool | int | float | str | tuple[Rule, ...]
"""One setting of a policy, as a command line or a file gives it."""


class EventBase(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The base of all events; the tag is the class name."""


class By(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
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


class Expecting(EventBase, frozen=True, kw_only=True):
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

    ``now``: the running turn is ended at once; otherwise it may finish. ``note`` says more of why.
    """

    reason: PauseReason = "user"
    now: bool = False
    note: str = ""


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
