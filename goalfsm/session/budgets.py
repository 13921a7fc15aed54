"""Use against budgets, as figures and in words: for status, prompts, tools and reports.

Seconds are active ones; costs are integer millionths of the account's currency.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.goal.model import COST_SCALE, Goal
from goalfsm.session.continuation import max_continuations
from goalfsm.text import compact_tokens, duration

if TYPE_CHECKING:
    from goalfsm.session.policy import Policy


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
