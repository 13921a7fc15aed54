"""What may enter a goal: objectives, budgets and texts, checked before anything is written."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from goalfsm.goal.model import COMPLETE, MAX_COUNT, MAX_OBJECTIVE_LENGTH, MAX_TEXT_LENGTH, Goal


class Rejected(NamedTuple):
    """Why an input was refused, as a value; ``goal`` is the one in the way, if that is why."""

    code: str
    message: str
    hint: str
    goal: Goal | None = None


GOAL_EXISTS: Final = Rejected(
    "goal_exists",
    "the thread already has an unfinished goal",
    "finish, clear or replace it first (--replace)",
)
OBJECTIVE_EMPTY: Final = Rejected(
    "objective_empty", "the objective is empty", "say in a sentence what is to be achieved"
)
BUDGET_INVALID: Final = Rejected(
    "budget_invalid",
    "a budget must be a positive whole number",
    "leave the budget out for none",
)


TEXT_INVALID: Final = Rejected(
    "text_invalid",
    "the text holds bytes that are not UTF-8",
    "send it as UTF-8",
)


def _is_text(text: str) -> bool:
    """Tell whether ``text`` can be stored: lone surrogates stand for bytes that are no text."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def check_objective(text: str) -> str | Rejected:
    """Return the trimmed objective, or why it is refused."""
    trimmed = text.strip()
    if not trimmed:
        return OBJECTIVE_EMPTY
    if len(trimmed) > MAX_OBJECTIVE_LENGTH:
        return Rejected(
            "objective_too_long",
            f"the objective has {len(trimmed):,} characters, {MAX_OBJECTIVE_LENGTH:,} are allowed",
            "put the details into a file and name the file in the objective",
        )
    return trimmed if _is_text(trimmed) else TEXT_INVALID


def check_budget(value: Any) -> Rejected | None:
    """Return why a budget is refused; None accepts it (a budget of None is unbounded)."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAX_COUNT:
        return BUDGET_INVALID
    return None


def check_text(text: str, what: str) -> str | Rejected:
    """Return the trimmed ``text`` of a criterion, evidence, reason or message, or the refusal."""
    trimmed = text.strip()
    if not trimmed:
        return Rejected("text_empty", f"the {what} is empty", f"give the {what} as text")
    if len(trimmed) > MAX_TEXT_LENGTH:
        return Rejected(
            "text_too_long",
            f"the {what} has {len(trimmed):,} characters, {MAX_TEXT_LENGTH:,} are allowed",
            "name a file that holds the rest",
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
) -> Goal | Rejected:
    """Return a new active goal, or why not; only ``replace`` takes the place of an unfinished one.

    ``now`` is unix seconds. Refusals: ``goal_exists``, ``objective_empty``,
    ``objective_too_long``, ``budget_invalid``, in this order.
    """
    if not replace and current is not None and current.status != COMPLETE:
        return GOAL_EXISTS._replace(goal=current)
    text = check_objective(objective)
    if isinstance(text, Rejected):
        return text
    refused = check_budget(token_budget)
    if refused is not None:
        return refused
    budget = None if token_budget is None else int(token_budget)
    return Goal(
        goal_id=goal_id, objective=text, token_budget=budget, created_at=now, updated_at=now
    )
