"""The values of a goal: immutable, validated where they enter, encoded as JSON.

Times are unix seconds unless the name ends in ``_ms``. Token counts are integers, cost is an
integer number of millionths of the account's currency, so that sums stay exact. What may not enter
is refused by a value, `Rejection`; what whoever asked is told is a `Reply`.
"""

from __future__ import annotations

from typing import Any, Final, Literal, NamedTuple

import msgspec
from msgspec.structs import force_setattr

from goalfsm.errors import Remedy, told

Status = Literal["active", "paused", "blocked", "complete", "budgetLimited"]

ACTIVE: Final = "active"
PAUSED: Final = "paused"
BLOCKED: Final = "blocked"
COMPLETE: Final = "complete"
LIMITED: Final = "budgetLimited"
STATUSES: Final[tuple[Status, ...]] = (ACTIVE, PAUSED, BLOCKED, COMPLETE, LIMITED)

PauseReason = Literal[
    "user", "interrupt", "recovery", "no_progress", "usage_limit", "verification", "shutdown"
]
Limit = Literal["tokens", "time", "cost", "continuations"]
Source = Literal["command", "tool", "runtime"]
"""What a change of a goal comes from."""
ABSENT: Final = "absent"
"""The pseudo-state of a thread without a goal: where the machine starts and where clear ends."""
Origin = Literal["person", "model", "system"]

MAX_OBJECTIVE_LENGTH: Final = 8_000
"""Longest objective, in code points after trimming."""
MAX_TEXT_LENGTH: Final = 16_000
"""Longest criterion, evidence, reason or steering text, in code points; longer is refused."""
MAX_ITEMS: Final = 100
"""Most criteria, verifiers or pieces of evidence that one goal or claim carries."""
MAX_COUNT: Final = 2**53 - 1
"""Largest count or budget: the largest integer that every JSON reader keeps exact."""
COST_SCALE: Final = 1_000_000


class Criterion(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One thing that must be shown before the goal may be called complete."""

    text: str


class Seal(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A file or directory that a verifier is made of, as it was; ``digest`` is a SHA-256.

    ``role`` says why it is sealed: it is the program, an argument, the makefile, or was named.
    ``leads_to`` is the path without links, None where that was not looked at.
    """

    role: Literal["program", "argument", "makefile", "named"]
    path: str
    digest: str
    leads_to: str | None = None


class Verifier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A check that the engine runs itself before it accepts a completion claim.

    ``command``: ``argv`` exits 0 (no shell), in ``cwd``, within ``timeout_s`` seconds.
    ``callable``: the Python callable that the embedder registered under ``name``.
    ``person``: somebody accepts or rejects.
    ``sealed`` is what a command was made of when a person gave it. Where that has changed since,
    its word proves nothing: a person is asked (``on_change``), or it is run all the same.
    """

    kind: Literal["command", "callable", "person"]
    name: str = ""
    argv: tuple[str, ...] = ()
    cwd: str | None = None
    timeout_s: float = 600.0
    sealed: tuple[Seal, ...] = ()
    on_change: Literal["ask", "accept"] = "ask"


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the claimant shows; ``criterion`` counts from 1, None speaks for the whole goal."""

    text: str
    criterion: int | None = None


# Neither it nor what it holds can be part of a cycle, so the collector need not know of it.
class Goal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One objective of one thread, with its budgets and what was used of them.

    ``word`` counts what a person has said about the goal since it was given: messages, and edits
    of its objective and criteria. ``blocked_by`` says whose word blocked it. ``until`` is run after
    each turn that ended well: the goal is complete when it exits 0.
    """

    goal_id: str
    objective: str
    status: Status = ACTIVE
    token_budget: int | None = None
    tokens_used: int = 0
    active_seconds: int = 0
    created_at: int
    updated_at: int
    revision: int = 1
    time_budget_seconds: int | None = None
    cost_budget: int | None = None
    cost_used: int = 0
    max_continuations: int | None = None
    continuations: int = 0
    pause_reason: PauseReason | None = None
    resume_at_ms: int | None = None
    limited_by: Limit | None = None
    note: str | None = None
    criteria: tuple[Criterion, ...] = ()
    verifiers: tuple[Verifier, ...] = ()
    until: Verifier | None = None
    word: int = 0
    blocked_by: Literal["person", "model"] | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What model calls consumed, as their provider reported it; cost in millionths."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            cost=self.cost + other.cost,
        )

    def __sub__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens - other.input_tokens,
            output_tokens=self.output_tokens - other.output_tokens,
            cached_tokens=self.cached_tokens - other.cached_tokens,
            cost=self.cost - other.cost,
        )


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The budgets that a goal is created with or changed to; None leaves one unbounded."""

    tokens: int | None = None
    seconds: int | None = None
    cost: int | None = None
    continuations: int | None = None


def used_up(goal: Goal) -> Limit | None:
    """Return which budget of ``goal`` is used up, first of tokens, time, cost; None if none."""
    if goal.token_budget is not None and goal.tokens_used >= goal.token_budget:
        return "tokens"
    if goal.time_budget_seconds is not None and goal.active_seconds >= goal.time_budget_seconds:
        return "time"
    if goal.cost_budget is not None and goal.cost_used >= goal.cost_budget:
        return "cost"
    return None


class Rejection(NamedTuple):
    """Which rule refused a request or an input, as a value: nothing happened.

    ``trigger``, ``status`` and ``guard`` name the place in the table where a request was refused;
    an input that could never be meant has none of them. ``message`` says it in words, ``hint``
    what to do about it.
    """

    code: str
    trigger: str = ""
    status: str = ""
    guard: str | None = None
    hint: str = ""
    message: str = ""


HINTS: Final = {
    "no_goal": "give the thread an objective first",
    "complete_is_terminal": "a complete goal can only be replaced or cleared",
    "only_active_can_block": "resume the goal before it is blocked again",
    "only_active_can_pause": "only a goal that is being worked on can be paused",
    "budget_limited_cannot_resume": "raise the budget that is used up",
    "only_stopped_can_resume": "only a paused or blocked goal can be resumed",
    "status_not_allowed": "the goal's status does not allow this",
}
"""What a model can do about a refusal of the table, by its code."""
_OBJECTIVE: Final[dict[str, str | int | None]] = {"objective": None}
_WHERE: Final = Remedy("status", does="shows where it is")
_REMEDIES: Final = {
    "no_goal": (Remedy("set", _OBJECTIVE, "gives it one"),),
    "complete_is_terminal": (
        Remedy("set", _OBJECTIVE, "replaces a complete goal"),
        Remedy("clear", does="clears it"),
    ),
    "only_active_can_block": (
        Remedy("status", does="says what takes it up; after that it can be blocked"),
    ),
    "only_active_can_pause": (_WHERE,),
    "budget_limited_cannot_resume": (Remedy("budget", does="raises the budget that is used up"),),
    "only_stopped_can_resume": (_WHERE,),
    "status_not_allowed": (_WHERE,),
}
"""What a person can do about it, by the code of the refusal."""
_SAID_FIRST: Final = frozenset({"only_active_can_pause", "only_stopped_can_resume"})
"""Where the command alone would not say what is amiss."""
_NO_ROW: Final = {
    "block": "only_active_can_block",
    "pause": "only_active_can_pause",
    "resume": "only_stopped_can_resume",
}
_ASKED: Final = {"raise_budget": "raise the budget of"}
"""What a trigger is called in words, where its name is no verb."""
_UNFINISHED_ONLY: Final = frozenset(
    {"complete", "block", "pause", "resume", "limit", "raise_budget", "edit"}
)


def rejected(code: str, trigger: str, goal: Goal | None, guard: str | None = None) -> Rejection:
    """Return the rejection of ``trigger`` for ``goal``, with its words and its hint."""
    status = ABSENT if goal is None else goal.status
    asked = _ASKED.get(trigger) or trigger.replace("_", " ")
    where = "the thread has no goal" if code == "no_goal" else f"it is {status}"
    message = f"cannot {asked} the goal: {where}"
    return Rejection(code, trigger, status, guard, HINTS.get(code, ""), message)


def remedies(rejection: Rejection) -> tuple[Remedy, ...]:
    """Return what a person can do about a refusal of the table; nothing for one of an input.

    A model is told `Rejection.hint`: what only a person may do is not its to try.
    """
    return _REMEDIES.get(rejection.code, ()) if rejection.trigger else ()


def advice(rejection: Rejection) -> str:
    """Return what a person can do about a refusal in words, with the command in them."""
    command = told(remedies(rejection))
    if rejection.code in _SAID_FIRST:
        return f"{rejection.hint}; {command}"
    return command or rejection.hint


def no_row(goal: Goal | None, trigger: str) -> Rejection:
    """Return why ``trigger`` has no row for ``goal``."""
    if goal is None:
        return rejected("no_goal", trigger, goal)
    if goal.status == COMPLETE and trigger in _UNFINISHED_ONLY:
        return rejected("complete_is_terminal", trigger, goal)
    if goal.status == LIMITED and trigger == "resume":
        return rejected("budget_limited_cannot_resume", trigger, goal)
    return rejected(_NO_ROW.get(trigger, "status_not_allowed"), trigger, goal)


GOAL_EXISTS: Final = Rejection(
    "goal_exists",
    message="the thread already has an unfinished goal",
    hint="finish, clear or replace it first (--replace)",
)
OBJECTIVE_EMPTY: Final = Rejection(
    "objective_empty",
    message="the objective is empty",
    hint="say in a sentence what is to be achieved",
)
BUDGET_INVALID: Final = Rejection(
    "budget_invalid",
    message="a budget must be a positive whole number",
    hint="leave the budget out for none",
)


TEXT_INVALID: Final = Rejection(
    "text_invalid",
    message="the text holds bytes that are not UTF-8",
    hint="send it as UTF-8",
)


def _is_text(text: str) -> bool:
    """Tell whether ``text`` can be stored: lone surrogates stand for bytes that are no text."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def check_objective(text: str) -> str | Rejection:
    """Return the trimmed objective, or why it is refused."""
    trimmed = text.strip()
    if not trimmed:
        return OBJECTIVE_EMPTY
    if len(trimmed) > MAX_OBJECTIVE_LENGTH:
        return Rejection(
            "objective_too_long",
            message=f"the objective has {len(trimmed):,} characters, "
            f"{MAX_OBJECTIVE_LENGTH:,} are allowed",
            hint="put the details into a file and name the file in the objective",
        )
    return trimmed if _is_text(trimmed) else TEXT_INVALID


def check_budget(value: Any) -> Rejection | None:
    """Return why a budget is refused; None accepts it (a budget of None is unbounded)."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_COUNT:
        return BUDGET_INVALID
    return None


def check_text(text: str, what: str) -> str | Rejection:
    """Return the trimmed ``text`` of a criterion, evidence, reason or message, or the refusal."""
    trimmed = text.strip()
    if not trimmed:
        return Rejection(
            "text_empty", message=f"the {what} is empty", hint=f"give the {what} as text"
        )
    if len(trimmed) > MAX_TEXT_LENGTH:
        return Rejection(
            "text_too_long",
            message=f"the {what} has {len(trimmed):,} characters, {MAX_TEXT_LENGTH:,} are allowed",
            hint="name a file that holds the rest",
        )
    return trimmed if _is_text(trimmed) else TEXT_INVALID


def create(  # noqa: PLR0913  a goal's essentials
    current: Goal | None,
    *,
    objective: str,
    token_budget: Any,
    goal_id: str,
    now: int,
    replace: bool = False,
) -> Goal | Rejection:
    """Return a new active goal, or why not; only ``replace`` takes the place of an unfinished one.

    ``now`` is unix seconds. Refusals: ``goal_exists``, ``objective_empty``,
    ``objective_too_long``, ``budget_invalid``, in this order.
    """
    if not replace and current is not None and current.status != COMPLETE:
        return GOAL_EXISTS
    text = check_objective(objective)
    if isinstance(text, Rejection):
        return text
    refused = check_budget(token_budget)
    if refused is not None:
        return refused
    budget = None if token_budget is None else int(token_budget)
    return Goal(
        goal_id=goal_id, objective=text, token_budget=budget, created_at=now, updated_at=now
    )


class Reply(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the one who asked is told.

    A claim that is refused because its run has not read all gets the texts in ``unread``, and in
    ``word`` what a second claim has to give back. ``remedies`` are what a person can do about it,
    as data; where there are any, ``hint`` is the same in words.
    """

    ok: bool
    code: str = "ok"
    message: str = ""
    hint: str = ""
    unread: tuple[str, ...] = ()
    word: int | None = None
    remedies: tuple[Remedy, ...] = ()

    def __post_init__(self) -> None:
        """Say the remedies in words, where nothing else is said."""
        if self.remedies and not self.hint:
            force_setattr(self, "hint", told(self.remedies))
