"""Durable backoff: the time of the next attempt from what is stored and given, nothing else."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recovery.retry import GiveUp, Retry, RetryPolicy, next_attempt

FIRST = 1_767_225_600_000
STEADY = RetryPolicy(jitter=0.0)


def after(attempt: int, policy: RetryPolicy = STEADY, **given_values: Any) -> Retry | GiveUp:
    """Return what follows an attempt that failed just now."""
    values = {"first_failure_ms": FIRST, "now_ms": FIRST, "jitter": 0.0, "retry_after": None}
    return next_attempt(policy, attempt=attempt, **{**values, **given_values})


@pytest.mark.parametrize(
    ("attempt", "wait"),
    [(1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (60, 300), (1_100, 300), (10**9, 300)],
)
def test_waits_double_up_to_the_maximum(attempt: int, wait: int) -> None:
    """The wait grows with the attempt and stays at the maximum, however many there were."""
    assert after(attempt) == Retry(at_ms=FIRST + wait * 1_000, wait_s=float(wait))


def test_a_maximum_below_the_initial_wait_counts() -> None:
    """No wait is longer than the maximum, the first one neither."""
    policy = RetryPolicy(initial=10, maximum=3, jitter=0.0)
    assert after(1, policy) == Retry(at_ms=FIRST + 3_000, wait_s=3.0)


def test_a_multiplier_of_one_is_a_steady_wait() -> None:
    """Waits need not grow, even for very many attempts."""
    policy = RetryPolicy(multiplier=1, jitter=0.0)
    assert after(10**9, policy) == Retry(at_ms=FIRST + 2_000, wait_s=2.0)


def test_no_wait_at_all() -> None:
    """An initial wait of 0 means at once."""
    assert after(5, RetryPolicy(initial=0)) == Retry(at_ms=FIRST, wait_s=0.0)


@pytest.mark.parametrize(("jitter", "wait"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_jitter_is_a_share_of_the_wait(jitter: float, wait: float) -> None:
    """The caller's draw lengthens the wait by at most the policy's share."""
    policy = RetryPolicy(jitter=0.5)
    assert after(3, policy, jitter=jitter) == Retry(at_ms=FIRST + round(wait * 1_000), wait_s=wait)


def test_retry_after_is_never_undercut() -> None:
    """What the provider asks is the least; a longer backoff stays."""
    assert after(1, retry_after=33.5) == Retry(at_ms=FIRST + 33_500, wait_s=33.5)
    assert after(3, retry_after=1.0) == Retry(at_ms=FIRST + 8_000, wait_s=8.0)


def test_jitter_spreads_what_the_provider_asks() -> None:
    """Many that were told the same time do not return together, nor early."""
    policy = RetryPolicy(jitter=0.5)
    assert after(1, policy, retry_after=30.0, jitter=1.0) == Retry(
        at_ms=FIRST + 31_000, wait_s=31.0
    )


def test_a_fraction_of_a_millisecond_is_rounded_up() -> None:
    """Rounding down would be early."""
    assert after(1, retry_after=2.0001) == Retry(at_ms=FIRST + 2_001, wait_s=2.0001)


@pytest.mark.parametrize("absent", [None, -1.0, float("nan"), float("-inf")])
def test_a_retry_after_that_is_no_duration_is_ignored(absent: float | None) -> None:
    """A broken header must neither stop nor hasten anything."""
    assert after(2, retry_after=absent) == Retry(at_ms=FIRST + 4_000, wait_s=4.0)


@pytest.mark.parametrize("absurd", [86_401.0, 1e300, float("inf")])
def test_a_retry_after_beyond_the_window_gives_up(absurd: float) -> None:
    """Waiting longer than the window allows is not shortened: it would be refused again."""
    following = after(1, retry_after=absurd)
    assert isinstance(following, GiveUp)
    assert "the provider asks to wait" in following.reason


def test_the_window_ends_the_attempts() -> None:
    """No attempt is due after the window; the last one may be due at its very end."""
    policy = RetryPolicy(jitter=0.0, window=100)
    at_end = after(3, policy, now_ms=FIRST + 92_000)
    assert at_end == Retry(at_ms=FIRST + 100_000, wait_s=8.0)
    assert after(3, policy, now_ms=FIRST + 92_001) == GiveUp(reason="no success within 100 seconds")


def test_a_late_failure_is_not_laid_on_a_provider_that_asked_for_nothing() -> None:
    """After the window there is no attempt, whatever was or was not asked."""
    policy = RetryPolicy(window=100, jitter=0.0)
    late = FIRST + 100_001
    assert after(3, policy, now_ms=late) == GiveUp(reason="no success within 100 seconds")


def test_a_clock_that_was_set_back_does_not_lengthen_the_window() -> None:
    """A present before the first failure counts as the first failure."""
    policy = RetryPolicy(jitter=0.0, window=10)
    assert isinstance(after(9, policy, now_ms=FIRST - 10**9), GiveUp)
    assert after(1, policy, now_ms=FIRST - 5_000) == Retry(at_ms=FIRST - 3_000, wait_s=2.0)


def test_attempts_are_counted_in_all() -> None:
    """Three attempts are three calls: after the third there is none."""
    policy = RetryPolicy(jitter=0.0, max_attempts=3)
    assert isinstance(after(2, policy), Retry)
    assert after(3, policy) == GiveUp(reason="gave up after 3 attempts")


def test_a_restart_finds_the_same_time() -> None:
    """The same stored and given values give the same answer, in another process too."""
    program = (
        "from recovery.retry import RetryPolicy, next_attempt\n"
        f"r = next_attempt(RetryPolicy(), attempt=4, first_failure_ms={FIRST}, now_ms={FIRST}, "
        "jitter=0.25)\nimport sys\nsys.stdout.write(str(r.at_ms))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    here = after(4, RetryPolicy(), jitter=0.25)
    assert isinstance(here, Retry)
    assert int(done.stdout) == here.at_ms


def test_nothing_heavy_is_loaded_before_a_failure() -> None:
    """Importing the modules loads neither tenacity nor asyncio nor the table of failures."""
    program = (
        "import sys, recovery.retry, recovery.failures\n"
        "sys.stdout.write(' '.join(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"tenacity", "asyncio", "recovery.failures.table"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"initial": -1.0},
        {"initial": float("inf")},
        {"maximum": float("nan")},
        {"window": -0.5},
        {"multiplier": 0.5},
        {"multiplier": float("inf")},
        {"jitter": -0.1},
        {"jitter": 1.5},
        {"max_attempts": 0},
    ],
)
def test_a_policy_without_a_meaning_is_refused(wrong: dict[str, Any]) -> None:
    """The error names the field and says what it may be."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_values_out_of_range_are_refused() -> None:
    """Attempts count from 1; a draw lies between 0 and 1."""
    with pytest.raises(ValueError, match="attempt counts from 1"):
        after(0)
    with pytest.raises(ValueError, match="jitter is a draw"):
        after(1, jitter=1.5)


@given(
    attempt=st.integers(1, 10**12),
    initial=st.floats(0, 1e6),
    maximum=st.floats(0, 1e6),
    multiplier=st.floats(1, 1e6),
    share=st.floats(0, 1),
    draw=st.floats(0, 1, exclude_max=True),
    elapsed=st.integers(-(10**9), 10**11),
    retry_after=st.one_of(st.none(), st.floats()),
)
def test_every_answer_keeps_its_promises(
    attempt: int,
    initial: float,
    maximum: float,
    multiplier: float,
    share: float,
    draw: float,
    elapsed: int,
    retry_after: float | None,
) -> None:
    """A retry is in the window, never before now or what was asked, nor above the maximum."""
    policy = RetryPolicy(initial=initial, maximum=maximum, multiplier=multiplier, jitter=share)
    now = FIRST + elapsed
    values: dict[str, Any] = {
        "attempt": attempt,
        "first_failure_ms": FIRST,
        "now_ms": now,
        "jitter": draw,
        "retry_after": retry_after,
    }
    following = next_attempt(policy, **values)
    assert following == next_attempt(policy, **values)
    if isinstance(following, GiveUp):
        assert following.reason
        return
    asked = retry_after if retry_after is not None and retry_after >= 0 else 0.0
    assert now <= following.at_ms <= max(now, FIRST) + policy.window * 1_000 + 1
    assert following.at_ms >= now + asked * 1_000
    assert following.wait_s <= max(asked, maximum) + maximum * share + 1e-6
