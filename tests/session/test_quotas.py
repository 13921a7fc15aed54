"""Quotas: waits that a provider ends, and resets that are known, unknown, past or absurd."""

from __future__ import annotations

import pytest

from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.session.state import Quota
from goalfsm.testing.loop import START_MS
from tests.session.failing import OVERLOADED, failing, retry
from tests.session.hosts import started


def test_a_quota_with_a_known_end_resumes_by_itself() -> None:
    thread = failing("You exceeded your current quota", retry_after=3600.0)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "usage_limit")
    assert thread.goal.resume_at_ms == thread.now_ms + 3_600_000
    assert thread.wake == 3_600_000
    assert thread.session.decision is not None
    assert thread.session.decision.until_ms == thread.goal.resume_at_ms
    assert thread.session.recovery.attention is None
    thread.advance(3599)
    thread.do(e.TimerFired())
    assert thread.status == "paused"
    retry(thread)
    assert thread.status == "active"
    assert thread.goal.resume_at_ms is None
    assert thread.session.notices[-1] == "resumed"
    assert thread.sent() == 2
    assert thread.wake is None


def test_a_quota_without_a_known_end_needs_somebody() -> None:
    thread = failing("You exceeded your current quota, please check your plan and billing details")
    assert (thread.status, thread.goal.pause_reason) == ("paused", "usage_limit")
    assert thread.goal.resume_at_ms is None
    assert thread.wake is None
    attention = thread.session.recovery.attention
    assert attention is not None
    assert attention.kind == "paused"


@pytest.mark.parametrize("seconds", [0.0, 0.001])
def test_a_reset_that_has_passed_is_tried_again_ever_later(seconds: float) -> None:
    """A reset in the past must not make a loop of resumes and refusals."""
    thread = started()
    waited = []
    for _ in range(9):
        thread.dispatch()
        thread.fail("You exceeded your current quota", retry_after=seconds)
        assert (thread.status, thread.goal.pause_reason) == ("paused", "usage_limit")
        waited.append(thread.wake)
        retry(thread)
    assert waited == [2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]
    assert thread.goal.continuations == 1


def test_the_turn_after_a_reset_is_another_one() -> None:
    thread = failing("You exceeded your current quota", retry_after=3600.0)
    retry(thread)
    thread.turn()
    assert thread.goal.continuations == 2


def test_a_turn_that_the_provider_took_ends_the_count_of_refusals() -> None:
    thread = failing("You exceeded your current quota", retry_after=0.0)
    retry(thread)
    thread.turn()
    assert thread.session.quota == Quota()
    thread.dispatch()
    thread.fail("You exceeded your current quota", retry_after=0.0)
    assert thread.wake == 2_000


def test_a_reset_that_stays_in_the_past_needs_somebody() -> None:
    thread = failing(
        "You exceeded your current quota", policy=Policy(retry_window_s=1.0), retry_after=0.0
    )
    retry(thread)
    thread.dispatch()
    thread.fail("You exceeded your current quota", retry_after=0.0)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "usage_limit")
    assert (thread.goal.resume_at_ms, thread.wake) == (None, None)
    assert thread.goal.note is not None
    assert "it is refused after the reset that the provider names" in thread.goal.note
    assert thread.session.recovery.attention is not None
    thread.do(e.ResumeRequested())
    assert thread.session.quota == Quota()


def test_a_reset_that_is_still_to_come_is_waited_for_however_often_it_moves() -> None:
    """The window is for resets in the past: one that moves on is a quota that is still used up."""
    thread = started()
    for _ in range(5):
        thread.dispatch()
        thread.fail("You exceeded your current quota", retry_after=86_400.0)
        assert thread.wake == 86_400_000
        retry(thread)
    assert thread.status == "active"


def test_a_reset_within_a_window_too_short_for_any_wait_is_waited_for() -> None:
    thread = failing(
        "You exceeded your current quota", policy=Policy(retry_window_s=1.0), retry_after=60.0
    )
    assert thread.wake == 60_000


def test_a_reset_in_centuries_needs_somebody() -> None:
    thread = failing("usage limit reached|9999999999")
    assert (thread.goal.pause_reason, thread.goal.resume_at_ms) == ("usage_limit", None)
    assert thread.session.recovery.attention is not None


@pytest.mark.parametrize(
    ("error", "after"),
    [
        ("You exceeded your current quota", 3600.0),
        ("You have hit your usage limit. Please try again in 1 hour.", None),
    ],
)
def test_a_clock_that_was_set_moves_a_reset_that_was_told_as_a_duration(
    error: str, after: float | None
) -> None:
    thread = failing(error, retry_after=after)
    assert thread.wake == 3_600_000
    thread.do(e.ClockAdjusted(by_ms=60_000))
    assert thread.wake == 3_660_000


def test_a_clock_that_was_set_leaves_a_reset_that_was_told_as_a_time() -> None:
    thread = failing(f"usage limit reached|{START_MS // 1000 + 3600}")
    thread.do(e.ClockAdjusted(by_ms=60_000))
    assert thread.wake == 3_600_000


def test_a_clock_that_was_set_moves_the_window_of_a_reset_that_has_passed() -> None:
    thread = failing("You exceeded your current quota", retry_after=0.0)
    thread.do(e.ClockAdjusted(by_ms=60_000))
    assert thread.session.quota.overdue_since_ms == START_MS + 60_000
    assert thread.wake == 62_000


def test_a_host_that_retries_by_itself_only_gets_attention() -> None:
    thread = failing(policy=Policy.reference())
    assert thread.status == "active"
    assert thread.wake is None
    attention = thread.session.recovery.attention
    assert attention is not None
    assert (attention.kind, attention.reason) == ("pending", f"provider error ({OVERLOADED})")
    assert thread.sent() == 1
