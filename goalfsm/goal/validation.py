"""What may enter a goal: objectives, budgets and texts, checked before anything is written."""

from __future__ import annotations

from typing import Any, Final

from goalfsm.goal.model import COMPLETE, MAX_COUNT, MAX_OBJECTIVE_LENGTH, MAX_TEXT_LENGTH, Goal
from goalfsm.goal.rejection import Rejection

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
