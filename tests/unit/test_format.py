"""Durations and counts in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goalfsm.text import awaited, compact_tokens, duration, tokens
from tests.session.strategies import tries


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (59.99, "59s"),
        (60, "1m 0s"),
        (3_599, "59m 59s"),
        (3_600, "1h 0m 0s"),
        (3_661, "1h 1m 1s"),
        (90_000, "25h 0m 0s"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (-1, "0"),
        (0, "0"),
        (999, "999"),
        (99_999, "99,999"),
        (99_999.9, "99,999"),
        (100_000, "100K"),
        (100_499, "100K"),
        (100_500, "101K"),
        (999_499, "999K"),
        (1_000_000, "1M"),
        (1_234_999, "1.23M"),
        (1_235_000, "1.24M"),
        (1_200_000, "1.2M"),
        (12_340_000, "12.3M"),
        (12_350_000, "12.4M"),
        (123_500_000, "124M"),
        (1_000_000_000, "1B"),
        (9_999_999_999, "10B"),
        (1_500_000_000_000, "1.5T"),
        (1_234_500_000_000_000, "1,235T"),
    ],
)
def test_counts_have_three_digits_at_most(count: float, text: str) -> None:
    assert compact_tokens(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0"), (12_345, "12,345"), (123_456, "123K (123,456)"), (2_000_000, "2M (2,000,000)")],
)
def test_what_is_shortened_is_also_exact(count: float, text: str) -> None:
    assert tokens(count) == text


@given(st.integers(0, 2**53))
@tries(100)
def test_the_short_figure_is_close_to_the_exact_one(count: int) -> None:
    text = compact_tokens(count).replace(",", "")
    unit = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}.get(text[-1], 1)
    shown = float(text.rstrip("KMBT")) * unit
    assert abs(shown - count) <= (0 if unit == 1 else 0.005 * count)
    assert duration(count).endswith("s")


@pytest.mark.parametrize(
    ("kind", "pid", "words"),
    [
        ("timer", None, "a timer"),
        ("person", None, "a person"),
        ("event", None, "an event"),
        ("process", 12, "process 12"),
    ],
)
def test_what_is_awaited_has_its_article(kind: str, pid: int | None, words: str) -> None:
    assert awaited(kind, pid) == words
