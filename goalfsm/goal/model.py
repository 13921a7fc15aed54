"""The values of a goal: immutable, validated where they enter, encoded as JSON.

Times are unix seconds unless the name ends in ``_ms``. Token counts are integers, cost is an
integer number of millionths of the account's currency, so that sums stay exact.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

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


class Seal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file or directory that a verifier is made of, as it was; ``digest`` is a SHA-256.

    ``role`` says why it is sealed: it is the program, an argument, the makefile, or was named.
    """

    role: Literal["program", "argument", "makefile", "named"]
    path: str
    digest: str


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
