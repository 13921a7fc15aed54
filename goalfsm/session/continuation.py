"""Whether work on a goal goes on: one ordered list of guards, the first that holds decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from goalfsm.goal.model import ACTIVE, COST_SCALE, Goal, Limit
from goalfsm.text import compact_tokens, duration
from recovery.observers import OBSERVERS, fired

if TYPE_CHECKING:
    from goalfsm.session.policy import Policy


StopReason = Literal[
    "completed",
    "blocked",
    "paused",
    "cleared",
    "token_budget",
    "time_budget",
    "cost_budget",
    "continuation_limit",
    "no_progress",
    "usage_limit",
    "verification",
]
SUCCESSES: Final = frozenset({"completed"})


class Continue(NamedTuple):
    """Work goes on: one continuation is to be sent."""

    guard: str = "otherwise"
    reason: str = "the objective is not met yet"


class Wait(NamedTuple):
    """Nothing is sent now; ``until_ms`` (unix ms) is when it is looked at again by itself."""

    guard: str
    reason: str
    until_ms: int | None = None


class Stop(NamedTuple):
    """Nothing is sent until somebody changes something, or until a known time (unix ms)."""

    guard: str
    reason: StopReason
    detail: str = ""
    until_ms: int | None = None


Verdict = Continue | Wait | Stop


def is_success(verdict: Verdict) -> bool:
    """Tell whether ``verdict`` ends a goal that was reached."""
    return isinstance(verdict, Stop) and verdict.reason in SUCCESSES


class Situation(NamedTuple):
    """What the decision looks at, gathered from one session.

    Times are unix milliseconds. ``used_up`` names the exhausted budget; ``stuck`` says in words
    why there is no progress, or is empty.
    """

    status: str | None
    pause_reason: str | None = None
    resume_at_ms: int | None = None
    limited_by: Limit | None = None
    stale_aborting: bool = False
    queued: bool = False
    verifying: bool = False
    accepting: bool = False
    checking: bool = False
    recovering: str | None = None
    retry_at_ms: int | None = None
    waiting: str | None = None
    wait_until_ms: int | None = None
    continuations: int = 0
    max_continuations: int = 0
    used_up: Limit | None = None
    stuck: str = ""
    stopping: bool = False
    pending_messages: bool = False
    host_busy: bool = False


class Guard(NamedTuple):
    """One step of the decision: what it asks and what follows when the answer is yes."""

    name: str
    asks: str
    decide: Callable[[Situation], Verdict | None]


_BUDGET_STOPS: Final[dict[str, StopReason]] = {
    "tokens": "token_budget",
    "time": "time_budget",
    "cost": "cost_budget",
    "continuations": "continuation_limit",
}
_STATUS_STOPS: Final[dict[str, StopReason]] = {"complete": "completed", "blocked": "blocked"}
_PAUSE_STOPS: Final[dict[str, StopReason]] = {
    "no_progress": "no_progress",
    "usage_limit": "usage_limit",
    "verification": "verification",
}


def _status(now: Situation) -> Verdict | None:
    if now.status == ACTIVE:
        return None
    if now.status is None:
        return Stop("status", "cleared", "the thread has no goal")
    if now.status == "budgetLimited":
        return Stop("status", _BUDGET_STOPS[now.limited_by or "tokens"])
    if now.status == "paused":
        return _paused(now.pause_reason or "user", now.resume_at_ms)
    return Stop("status", _STATUS_STOPS[now.status])


def _paused(why: str, until_ms: int | None) -> Stop:
    stop = _PAUSE_STOPS.get(why)
    if stop is None:
        return Stop("status", "paused", why, until_ms)
    return Stop("status", stop, until_ms=until_ms)


def _stopping(now: Situation) -> Verdict | None:
    return Wait("stopping", "the engine is shutting down") if now.stopping else None


def _stale(now: Situation) -> Verdict | None:
    return Wait("stale_work", "superseded work is being aborted") if now.stale_aborting else None


def _queued(now: Situation) -> Verdict | None:
    return Wait("queued", "a continuation is queued already") if now.queued else None


def _verifying(now: Situation) -> Verdict | None:
    if now.accepting:
        return Wait("verification", "a person has to accept or reject the completion claim")
    if now.verifying:
        return Wait("verification", "a completion claim is being verified")
    if now.checking:
        return Wait("verification", "the command that completes the goal is being run")
    return None


def _recovering(now: Situation) -> Verdict | None:
    if now.recovering is None:
        return None
    return Wait("recovery", now.recovering, now.retry_at_ms)


def _waiting(now: Situation) -> Verdict | None:
    return Wait("wait", now.waiting, now.wait_until_ms) if now.waiting is not None else None


def max_continuations(goal: Goal, policy: Policy) -> int | None:
    """Return how often ``goal`` may be continued: its own limit, else the policy's; None, always.

    0 asks for no limit, on purpose.
    """
    asked = goal.max_continuations
    return (policy.max_continuations if asked is None else asked) or None


def _continuation_limit(now: Situation) -> Verdict | None:
    if now.max_continuations and now.continuations >= now.max_continuations:
        return Stop("continuation_limit", "continuation_limit")
    return None


def _budgets(now: Situation) -> Verdict | None:
    return Stop("budget", _BUDGET_STOPS[now.used_up]) if now.used_up is not None else None


def _no_progress(now: Situation) -> Verdict | None:
    return Stop("no_progress", "no_progress", now.stuck) if now.stuck else None


def _pending(now: Situation) -> Verdict | None:
    if not now.pending_messages:
        return None
    return Wait("pending_messages", "a person's messages come first")


def _busy(now: Situation) -> Verdict | None:
    return (
        Wait("host_busy", "a turn is running; it goes on when that ends") if now.host_busy else None
    )


GUARDS: Final[tuple[Guard, ...]] = (
    Guard("status", "Is the goal anything but active?", _status),
    Guard("stopping", "Is the engine shutting down?", _stopping),
    Guard("stale_work", "Is superseded work being aborted?", _stale),
    Guard("queued", "Is a continuation queued already?", _queued),
    Guard("verification", "Is completion being checked?", _verifying),
    Guard("recovery", "Is recovery pending?", _recovering),
    Guard("wait", "Does the work wait for something outside?", _waiting),
    Guard("continuation_limit", "Are all continuations spent?", _continuation_limit),
    Guard("budget", "Is the token, time or cost budget used up?", _budgets),
    Guard("no_progress", "Did the last turns get nowhere?", _no_progress),
    Guard("pending_messages", "Are a person's messages pending?", _pending),
    Guard("host_busy", "Is the host busy?", _busy),
)
OTHERWISE: Final = Continue()


def decide(situation: Situation, guards: tuple[Guard, ...] = GUARDS) -> Verdict:
    """Return whether work goes on, by the first guard that holds."""
    verdict: Verdict = OTHERWISE
    for guard in guards:
        answer = guard.decide(situation)
        if answer is not None:
            verdict = answer
            break
    if OBSERVERS:
        fired(guards, verdict)
    return verdict


_VARYING: Final = re.compile(
    r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"
    r"|\b(?:0x)?(?=[a-f]*[0-9])[0-9a-f]{7,}\b"
    r"|\d+(?:[.,:/-]\d+)*",
    re.IGNORECASE | re.ASCII,
)
"""Ids, times and numbers: what differs between two answers that say the same."""
_STEP: Final = re.compile(
    r"(?<![\d/])(\d{1,9})\s?(?:/|(?:out\s+)?of(?:\s+the)?)\s?(\d{1,9})(?![\d/])", re.IGNORECASE
)


class Spent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How much of one budget is used; ``budget`` and ``left`` None is unbounded."""

    used: int
    budget: int | None = None
    left: int | None = None


class Progress(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Use against every budget: tokens, active seconds, cost in millionths, continuations."""

    tokens: Spent
    seconds: Spent
    cost: Spent
    continuations: Spent


def progress(goal: Goal, policy: Policy) -> Progress:
    """Return what ``goal`` used of each of its budgets."""
    return Progress(
        tokens=_spent(goal.tokens_used, goal.token_budget),
        seconds=_spent(goal.active_seconds, goal.time_budget_seconds),
        cost=_spent(goal.cost_used, goal.cost_budget),
        continuations=_spent(goal.continuations, max_continuations(goal, policy)),
    )


def _spent(used: int, budget: int | None) -> Spent:
    return Spent(used=used, budget=budget, left=None if budget is None else max(0, budget - used))


def money(millionths: int) -> str:
    """Return a cost as a decimal number of the account's currency: ``0.0125``."""
    whole, rest = divmod(millionths, COST_SCALE)
    return f"{whole:,}.{rest:06d}".rstrip("0").rstrip(".")


def budget_lines(spent: Progress) -> tuple[str, ...]:
    """Return one line a budget, in words: what is used, of how much, what is left.

    Cost is left out where there is neither a budget nor any.
    """
    rows = [
        _line("tokens", spent.tokens, compact_tokens),
        _line("active time", spent.seconds, duration),
        _line("turns", spent.continuations, str),
    ]
    if spent.cost.used or spent.cost.budget is not None:
        rows.append(_line("cost", spent.cost, money))
    return tuple(rows)


def _line(name: str, row: Spent, show: Callable[[int], str]) -> str:
    if row.budget is None or row.left is None:
        return f"{name}: {show(row.used)} used, no limit"
    return f"{name}: {show(row.used)} of {show(row.budget)} used, {show(row.left)} left"


def answer_digest(text: str) -> str:
    """Return what identical answers have in common: the digest of the text without its spacing."""
    squeezed = " ".join(text.split())
    return sha256(squeezed.encode()).hexdigest()[:16] if squeezed else ""


def answer_shape(text: str) -> str:
    """Return what answers have in common that differ in numbers, times and ids only: a digest."""
    return answer_digest(_VARYING.sub("_", text))


def answer_step(text: str) -> tuple[int, int] | None:
    """Return the n and m of the first "n of m" in an answer; None where there is none."""
    for n, m in _STEP.findall(text):
        if int(n) <= int(m):
            return int(n), int(m)
    return None
