"""What may enter a goal."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import (
    BUDGET_INVALID,
    MAX_COUNT,
    MAX_OBJECTIVE_LENGTH,
    MAX_TEXT_LENGTH,
    STATUSES,
    Goal,
    Rejection,
    check_budget,
    check_objective,
    check_text,
    create,
)

GOAL = Goal(goal_id="old", objective="x", created_at=1, updated_at=2)


def made(current: Goal | None = None, **fields: Any) -> Goal | Rejection:
    """Create a goal."""
    given = {"objective": "Ship it", "token_budget": None} | fields
    return create(current, goal_id="new", now=9, **given)


def test_a_new_goal_is_active_and_unused() -> None:
    assert made(objective="  Ship it \n", token_budget=7) == Goal(
        goal_id="new", objective="Ship it", token_budget=7, created_at=9, updated_at=9
    )


@pytest.mark.parametrize("status", STATUSES)
def test_only_replacing_takes_the_place_of_an_unfinished_goal(status: Any) -> None:
    current = replace(GOAL, status=status)
    answer = made(current)
    if status == "complete":
        assert isinstance(answer, Goal)
    else:
        assert isinstance(answer, Rejection)
        assert answer.code == "goal_exists"
    assert isinstance(made(current, replace=True), Goal)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "objective_empty"),
        (" \t\n", "objective_empty"),
        ("x" * (MAX_OBJECTIVE_LENGTH + 1), "objective_too_long"),
        ("caf\udce9", "text_invalid"),
        ("\ud83d", "text_invalid"),
    ],
)
def test_an_objective_that_cannot_be_kept_is_refused(text: str, code: str) -> None:
    for answer in (check_objective(text), made(objective=text)):
        assert isinstance(answer, Rejection)
        assert answer.code == code
        assert answer.message
        assert answer.hint


@pytest.mark.parametrize(
    "text", ["x" * MAX_OBJECTIVE_LENGTH, " " * 99 + "x" * MAX_OBJECTIVE_LENGTH, "é\U0001f600\x00"]
)
def test_length_is_counted_in_code_points_after_trimming(text: str) -> None:
    assert check_objective(text) == text.strip()


def test_a_long_objective_names_both_lengths() -> None:
    answer = check_objective("x" * 9_000)
    assert isinstance(answer, Rejection)
    assert answer.message == "the objective has 9,000 characters, 8,000 are allowed"


@pytest.mark.parametrize("value", [None, 1, 50, 7.0, MAX_COUNT])
def test_a_budget_is_a_positive_whole_number_or_none(value: Any) -> None:
    assert check_budget(value) is None
    goal = made(token_budget=value)
    assert isinstance(goal, Goal)
    assert goal.token_budget == value
    assert value is None or type(goal.token_budget) is int


@pytest.mark.parametrize(
    "value", [0, -1, 0.5, MAX_COUNT + 1, True, "7", [], float("nan"), float("inf")]
)
def test_anything_else_is_no_budget(value: Any) -> None:
    assert check_budget(value) is BUDGET_INVALID
    assert made(token_budget=value) is BUDGET_INVALID


def test_the_first_fault_is_named() -> None:
    for fields, code in (
        ({"current": GOAL, "objective": "", "token_budget": 0}, "goal_exists"),
        ({"objective": "", "token_budget": 0}, "objective_empty"),
        ({"token_budget": 0}, "budget_invalid"),
    ):
        answer = made(**fields)
        assert isinstance(answer, Rejection)
        assert answer.code == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("  ", "text_empty"),
        ("x" * (MAX_TEXT_LENGTH + 1), "text_too_long"),
        ("\udcff", "text_invalid"),
    ],
)
def test_a_text_that_cannot_be_kept_is_refused(text: str, code: str) -> None:
    answer = check_text(text, "message")
    assert isinstance(answer, Rejection)
    assert answer.code == code
    assert "message" in answer.message or code == "text_invalid"
    assert answer.hint


def test_a_text_is_kept_trimmed() -> None:
    assert check_text("  hello ", "message") == "hello"
    assert check_text("x" * MAX_TEXT_LENGTH, "message") == "x" * MAX_TEXT_LENGTH
    long = check_text("x" * 20_000, "reason")
    assert isinstance(long, Rejection)
    assert long.message == "the reason has 20,000 characters, 16,000 are allowed"
