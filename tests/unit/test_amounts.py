"""Amounts as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from goalfsm.goal.amounts import (
    AmountInvalid,
    cost,
    count,
    duration,
    inline_budget,
    whole_seconds,
)
from goalfsm.goal.model import Limits


def tokens(text: str) -> int:
    return count(text, "token budget")


@pytest.mark.parametrize(
    ("read", "text", "amount"),
    [
        (duration, "90", 90),
        (duration, " 1h30m ", 5_400),
        (duration, "2d", 172_800),
        (duration, "0.5s", 0.5),
        (whole_seconds, "5m", 300),
        (tokens, "200k", 200_000),
        (tokens, "1.5M", 1_500_000),
        (tokens, "1_000", 1_000),
        (cost, "2.50", 2_500_000),
    ],
)
def test_what_is_read(read: Callable[[str], float], text: str, amount: float) -> None:
    assert read(text) == amount


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (duration, "soon", "not a duration"),
        (duration, "0s", "not a duration"),
        (duration, "9" * 20, "too long"),
        (whole_seconds, "1.5s", "not a whole number of seconds"),
        (tokens, "many", "not a token budget"),
        (tokens, "0", "not a token budget"),
        (tokens, "1.5", "not a token budget"),
        (tokens, "9" * 20, "too large"),
        (cost, "much", "not a cost"),
        (cost, "0", "not a cost"),
        (cost, "0.0000001", "not a cost"),
        (cost, "inf", "not a cost"),
    ],
)
def test_what_is_no_such_amount(read: Callable[[str], float], text: str, said: str) -> None:
    with pytest.raises(AmountInvalid, match=said) as raised:
        read(text)
    assert raised.value.hint


def test_a_count_may_be_zero_where_that_means_something() -> None:
    assert count("0", "number of turns", minimum=0) == 0
    with pytest.raises(AmountInvalid) as raised:
        count("-1", "number of turns", minimum=0)
    assert "0 or more" in raised.value.hint


@pytest.mark.parametrize(
    ("text", "rest", "limits"),
    [
        ("Fix it", "Fix it", Limits()),
        ("Fix it budget: 15000", "Fix it", Limits(tokens=15_000)),
        ("Fix it.\n\nBudget: 15k", "Fix it.", Limits(tokens=15_000)),
        ("Fix it budget:2M tokens", "Fix it", Limits(tokens=2_000_000)),
        ("Fix it budget: $5", "Fix it", Limits(cost=5_000_000)),
        ("Fix it budget: 2h", "Fix it", Limits(seconds=7_200)),
        ("Fix it budget: 1 turn", "Fix it", Limits(continuations=1)),
        (
            "Fix it budget: 15k, 1h30m, $2.50, 20 turns",
            "Fix it",
            Limits(tokens=15_000, seconds=5_400, cost=2_500_000, continuations=20),
        ),
        ("Say budget: 2 budget: 3k", "Say budget: 2", Limits(tokens=3_000)),
        ("Say budget: 2\nand more", "Say budget: 2\nand more", Limits()),
        ("Mind the subbudget: 3", "Mind the subbudget: 3", Limits()),
        ("budget: 3", "", Limits(tokens=3)),
    ],
)
def test_budgets_at_the_end_of_a_text(text: str, rest: str, limits: Limits) -> None:
    assert inline_budget(text) == (rest, limits)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ("", "'' is no budget"),
        (" lots", "'lots' is no budget"),
        (" 5m", "'5m' is no budget"),
        (" 2k, 3k", "two budgets of tokens"),
        (" 2k,", "'' is no budget"),
        (" 0", "not a token budget"),
        (" $0", "not a cost"),
        (" none turns", "not a number of turns"),
    ],
)
def test_a_text_that_ends_with_no_budget_is_refused_with_a_hint(parts: str, said: str) -> None:
    with pytest.raises(AmountInvalid, match=said.replace("$", r"\$")) as raised:
        inline_budget(f"Fix it budget:{parts}")
    assert raised.value.hint
