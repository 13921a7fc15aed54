"""Usage and budgets: what is charged to which goal."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from goalfsm.goal.accounting import (
    STOPPED_CLOCK,
    Charge,
    Clock,
    apply_usage,
    counted,
    elapsed,
    live,
    started,
    stopped,
    tokens_of,
    whole,
)
from goalfsm.goal.model import MAX_COUNT, Goal, Usage
from tests.session.strategies import goals, tries

GOAL = Goal(goal_id="g", objective="x", created_at=1, updated_at=2, token_budget=100)


@pytest.mark.parametrize(
    ("delta", "charged"),
    [
        (0, 0),
        (3, 3),
        (3.99, 3),
        (0.99, 0),
        (-1, 0),
        (-0.5, 0),
        (nan, 0),
        (inf, MAX_COUNT),
        (-inf, 0),
        (1e300, MAX_COUNT),
        (MAX_COUNT + 1, MAX_COUNT),
    ],
)
def test_deltas_are_whole_and_bounded(delta: float, charged: int) -> None:
    assert whole(delta) == charged


@pytest.mark.parametrize(
    ("weight", "tokens"), [(0.0, 12), (1.0, 21), (0.5, 16), (0.1, 12), (0.25, 14)]
)
def test_the_cached_share_weighs_what_the_policy_says(weight: float, tokens: int) -> None:
    usage = Usage(input_tokens=10, output_tokens=2, cached_tokens=9, cost=7)
    assert tokens_of(usage, weight) == tokens


def test_usage_that_counts_is_taken_as_it_is() -> None:
    usage = Usage(input_tokens=1, output_tokens=0, cached_tokens=3, cost=0)
    assert counted(usage) is usage


@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cached_tokens", "cost"])
def test_a_figure_below_zero_counts_as_none(field: str) -> None:
    usage = Usage(input_tokens=1, output_tokens=2, cached_tokens=3, cost=4)
    assert counted(replace(usage, **{field: -5})) == replace(usage, **{field: 0})


def test_a_charge_moves_every_count_and_the_time() -> None:
    charge = apply_usage(GOAL, now=9, tokens=5, seconds=6.7, cost=7)
    assert charge == Charge(
        goal=replace(GOAL, tokens_used=5, active_seconds=6, cost_used=7, updated_at=9), changed=True
    )


@pytest.mark.parametrize("fields", [{}, {"tokens": 0.9}, {"seconds": -3}, {"cost": nan}])
def test_a_charge_of_nothing_is_none(fields: dict[str, float]) -> None:
    assert apply_usage(GOAL, now=9, **fields) == Charge(goal=GOAL)


@pytest.mark.parametrize(
    ("budget", "charge", "by"),
    [
        ({}, {"tokens": 100}, "tokens"),
        ({}, {"tokens": 99}, None),
        ({"time_budget_seconds": 9}, {"seconds": 9}, "time"),
        ({"time_budget_seconds": 9}, {"seconds": 8}, None),
        ({"cost_budget": 9}, {"cost": 9}, "cost"),
        ({"cost_budget": 9}, {"cost": 8}, None),
        ({"cost_budget": 9, "time_budget_seconds": 9}, {"cost": 9, "seconds": 9}, "time"),
    ],
)
def test_the_budget_that_is_crossed_limits_the_goal(
    budget: dict[str, Any], charge: dict[str, Any], by: Any
) -> None:
    charged = apply_usage(replace(GOAL, **budget), now=9, **charge)
    assert charged.crossed == by
    assert charged.goal is not None
    assert charged.goal.limited_by == by
    assert charged.goal.status == ("active" if by is None else "budgetLimited")


def test_a_goal_that_was_over_budget_already_crosses_nothing() -> None:
    """It is limited all the same: nobody had noticed."""
    charged = apply_usage(replace(GOAL, tokens_used=200), now=9, tokens=1)
    assert charged.crossed is None
    assert charged.goal is not None
    assert charged.goal.status == "budgetLimited"


def test_another_goal_than_expected_is_never_charged() -> None:
    assert apply_usage(GOAL, now=9, tokens=5, expected_goal_id="other") == Charge(goal=GOAL)
    assert apply_usage(GOAL, now=9, tokens=5, expected_goal_id="g").changed
    assert apply_usage(None, now=9, tokens=5) == Charge(goal=None)


@pytest.mark.parametrize("status", ["paused", "blocked", "complete", "budgetLimited"])
def test_only_an_active_goal_is_charged(status: Any) -> None:
    stopped_goal = replace(GOAL, status=status)
    assert apply_usage(stopped_goal, now=9, tokens=5) == Charge(goal=stopped_goal)
    winding_down = apply_usage(stopped_goal, now=9, tokens=5, account_limited=True)
    assert winding_down.changed is (status == "budgetLimited")


def test_a_wind_down_turn_is_charged_beyond_the_budget() -> None:
    limited = replace(GOAL, status="budgetLimited", tokens_used=100, limited_by="tokens")
    charged = apply_usage(limited, now=9, tokens=50, account_limited=True)
    assert charged == Charge(goal=replace(limited, tokens_used=150, updated_at=9), changed=True)


def test_counts_stop_at_the_largest() -> None:
    full = replace(
        GOAL, token_budget=None, tokens_used=MAX_COUNT - 1, active_seconds=MAX_COUNT, cost_used=5
    )
    charged = apply_usage(full, now=9, tokens=7, seconds=7, cost=inf).goal
    assert charged is not None
    assert charged.tokens_used == charged.active_seconds == charged.cost_used == MAX_COUNT


# The clock.


def test_a_clock_that_stands_still_measures_nothing() -> None:
    assert elapsed(STOPPED_CLOCK, 99_999) == (0, STOPPED_CLOCK)


def test_parts_of_a_second_are_carried() -> None:
    seconds, clock = elapsed(Clock("g", 1_000, 600), 3_500)
    assert (seconds, clock) == (3, Clock("g", 3_500, 100))


def test_a_clock_that_jumped_back_goes_on_from_there() -> None:
    assert elapsed(Clock("g", 9_000, 400), 1_000) == (0, Clock("g", 1_000, 400))


def test_a_stopped_clock_keeps_the_rest_for_its_goal_alone() -> None:
    still = stopped(Clock("g", 9_000, 400))
    assert still == Clock(None, None, 400, kept_for="g")
    assert stopped(still) is still
    assert started(still, "g", 20_000) == Clock("g", 20_000, 400)
    assert started(still, "other", 20_000) == Clock("other", 20_000, 0)
    assert started(Clock("g", 9_000, 400), "g", 20_000) == Clock("g", 20_000, 400)
    assert started(STOPPED_CLOCK, "g", 20_000) == Clock("g", 20_000)


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**5), max_size=20))
@tries(60)
def test_no_time_is_lost_however_often_it_is_charged(start: int, passed: list[int]) -> None:
    clock, charged, now_ms = started(STOPPED_CLOCK, "g", start), 0, start
    for ms in passed:
        now_ms += ms
        seconds, clock = elapsed(clock, now_ms)
        charged += seconds
    assert charged * 1000 + clock.remainder_ms == sum(passed)


# The goal as a person sees it.


@pytest.mark.parametrize(
    ("status", "clock", "seconds"),
    [
        ("active", Clock("g", 1_000), 4),
        ("active", Clock("g", 1_000, 999), 5),
        ("active", Clock("other", 1_000), 0),
        ("active", STOPPED_CLOCK, 0),
        ("paused", Clock("g", 1_000), 0),
        ("budgetLimited", Clock("g", 1_000), 0),
    ],
)
def test_running_seconds_are_shown_of_the_measured_goal(
    status: Any, clock: Clock, seconds: int
) -> None:
    goal = replace(GOAL, status=status, active_seconds=10)
    assert live(goal, clock, 5_999) == replace(goal, active_seconds=10 + seconds)


def test_a_goal_without_running_seconds_is_shown_as_it_is() -> None:
    assert live(GOAL, Clock("g", 1_000), 1_999) is GOAL
    assert live(None, Clock("g", 1_000), 9_999) is None


figures = st.one_of(st.integers(-5, 10**6), st.floats(allow_nan=True, allow_infinity=True))


@given(goals(), figures, figures, figures, st.integers(0, 10**6), st.booleans())
@tries(200)
def test_any_charge_only_adds(
    goal: Goal,
    tokens: float,
    seconds: float,
    cost: float,
    now: int,
    account_limited: bool,
) -> None:
    charged = apply_usage(
        goal, now=now, tokens=tokens, seconds=seconds, cost=cost, account_limited=account_limited
    )
    after = charged.goal
    assert after is not None
    assert charged.changed or after is goal
    for name in ("tokens_used", "active_seconds", "cost_used"):
        assert getattr(goal, name) <= getattr(after, name) <= MAX_COUNT
    assert after.status in {goal.status, "budgetLimited"}
    if charged.crossed is not None:
        assert (goal.status, after.status) == ("active", "budgetLimited")
        assert after.limited_by == charged.crossed
