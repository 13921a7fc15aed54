"""Amounts as people write them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from goalfsm.goal.amounts import AmountInvalid, cost, count, duration, whole_seconds


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
