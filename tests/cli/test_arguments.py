"""What may stand on the command line, and what is refused with a hint."""

from __future__ import annotations

import pytest

from goalfsm.cli import arguments, policy_settings
from goalfsm.cli.arguments import HintedError
from goalfsm.errors import GoalError
from goalfsm.goal.model import MAX_COUNT


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("5m", 300),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d2h3m4s", 93_784),
        ("1.5s", 1.5),
        ("0.25", 0.25),
        (" 7M ", 420),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert arguments.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "0s", "ten", "-5", "1m1h", "1h30", "1 h", "1e3", "٣"])
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(HintedError) as refused:
        arguments.duration(text)
    assert "1h30m" in refused.value.hint


@pytest.mark.parametrize("text", ["9" * 20, "9" * 400, f"{MAX_COUNT + 1}"])
def test_what_is_too_large_is_told_the_most(text: str) -> None:
    for read in (arguments.duration, arguments.count("budget")):
        with pytest.raises(HintedError, match="too l") as refused:
            read(text)
        assert f"{MAX_COUNT:,}" in refused.value.hint
    assert arguments.count("budget")(f"{MAX_COUNT}") == arguments.duration(f"{MAX_COUNT}")


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("blocked-after=5", ("blocked_after", 5)),
        ("evidence_required=false", ("evidence_required", False)),
        ("on_start=ask", ("on_start", "ask")),
        ("retry_jitter= 0.5 ", ("retry_jitter", 0.5)),
    ],
)
def test_settings_are_read(text: str, setting: tuple[str, object]) -> None:
    assert policy_settings.setting(text) == setting


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("blocked_after=x", "give a whole number, like blocked_after=3"),
        ("blocked_after=0", "blocked_after and steering_limit are at least 1"),
        ("evidence_required=perhaps", "give true or false, like evidence_required=true"),
        ("on_start=0", "give one of resume, ask, pause"),
        ("on_start=", "give one of resume, ask, pause"),
        ("retry_jitter=x", "give a number, like retry_jitter=0.2"),
        ("blocked_after", "write it like blocked_after=5"),
        ("=5", "write it like blocked_after=5"),
    ],
)
def test_what_is_no_setting_is_refused_in_words(text: str, hint: str) -> None:
    with pytest.raises(HintedError) as refused:
        policy_settings.setting(text)
    assert refused.value.hint == hint


@pytest.mark.parametrize("text", ["retries=host", "compacts=host"])
def test_what_an_engine_does_is_not_left_to_a_host_that_nobody_is(text: str) -> None:
    """With nobody to retry, a goal would wait for its recovery for ever."""
    with pytest.raises(HintedError, match="an engine drives"):
        policy_settings.setting(text)


def test_a_budget_of_time_is_whole_seconds() -> None:
    assert arguments.seconds("1m30s") == 90
    with pytest.raises(HintedError, match="whole number of seconds"):
        arguments.seconds("1.5s")


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("200k", 200_000), ("1.5M", 1_500_000), ("1_000", 1000), ("1,000,000", 10**6)],
)
def test_counts_are_read(text: str, number: int) -> None:
    assert arguments.count("budget")(text) == number


@pytest.mark.parametrize("text", ["0", "ten", "", "-1", "1.5", "1.0001k", "1__0", "nan"])
def test_what_is_no_count_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(HintedError, match="is not a budget") as refused:
        arguments.count("budget")(text)
    assert "200k" in refused.value.hint


def test_zero_counts_where_it_means_unlimited() -> None:
    assert arguments.count("number", minimum=0)("0") == 0


@pytest.mark.parametrize(
    ("text", "millionths"), [("2.50", 2_500_000), ("0.000001", 1), ("3", 3 * 10**6)]
)
def test_costs_are_exact(text: str, millionths: int) -> None:
    assert arguments.cost(text) == millionths


@pytest.mark.parametrize("text", ["0", "-1", "x", "nan", "inf", "0.0000001", "1e400", ""])
def test_what_is_no_cost_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(HintedError, match="is not a cost"):
        arguments.cost(text)


def test_a_budget_can_be_lifted_by_a_word() -> None:
    lifted = arguments.or_none(arguments.cost)
    assert lifted("none") == arguments.NO_LIMIT
    assert lifted("1") == 10**6


def test_texts_follow_the_rules_of_the_library() -> None:
    assert arguments.objective("  ship it ") == "ship it"
    with pytest.raises(GoalError) as refused:
        arguments.objective("x" * 8_001)
    assert refused.value.code == "objective_too_long"
    with pytest.raises(GoalError) as refused:
        arguments.text(" ", "evidence")
    assert refused.value.code == "text_empty"
