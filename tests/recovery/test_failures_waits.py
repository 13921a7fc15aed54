"""Waits and resets: what providers say of time, and what of it can be known."""

from __future__ import annotations

from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from recovery.failures import classify

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z, a Thursday
DAY = 86_400.0


def waits(text: str = "", *, status: int | None = 429, **given: Any) -> tuple[Any, Any]:
    """Return (retry_after, resets_at) of a failure."""
    failure = classify(text, status=status, **given)
    return failure.retry_after, failure.resets_at


def zones(name: str | None) -> tzinfo | None:
    """Know one zone by name and the local one."""
    if name is None:
        return timezone(timedelta(hours=2))
    return {"Asia/Seoul": timezone(timedelta(hours=9))}[name]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Please try again in 1.2s", 1.2),
        ("please retry in 33s", 33),
        ("Please retry after 20 seconds", 20),
        ("retry delay of 33s exceeds the maximum", 33),
        ("Please try again in 6m0s.", 360),
        ("Please try again in 7m12s.", 432),
        ("try again in 120ms", 0.12),
        ("try again in 1h 2m 3s", 3_723),
        ("try again in 1 day, 2 hours and 5 minutes", 93_900),
        ("Please wait 2 minutes before trying again", 120),
        ("Expected available in 12 seconds.", 12),
        ("Quota will be replenished in 1.02:12:44.", 94_364),
        ("Retry-After: 30", 30),
        ("retry after 30", 30),
        ('{"retry_after": 4.5}', 4.5),
        ('{"retry_after_ms": 1500}', 1.5),
        ('{"retryAfter":"12s"}', 12),
        ('{"retryDelay":"33.5s"}', 33.5),
        ('{"retryDelay":{"seconds":41,"nanos":5}}', 41),
        ("retry_delay {\n  seconds: 21\n}", 21),
        ('{\\"retryDelay\\": \\"7s\\"}', 7),
        ('{"resets_in_seconds":9568,"X-Codex-Secondary-Reset-After-Seconds":"596369"}', 9_568),
        ("Limit resets in 19hr", 68_400),
        ("You've hit your 5-hour limit. Try again in 4 hours 59 minutes.", 17_940),
        ("Please try\n  again in\n  5s", 5),
        ("Please retry after 2026-01-01T00:05:00Z", None),
        ("retrying is pointless", None),
        ("took 30s", None),
        ("try again in 99999999999999 days", None),
        ('{"retry_after": 99999999999999}', None),
        ("try again in some time", None),
        ("rate limit: wait a minute", 60),
        ("Please try again in about an hour", 3_600),
        ("retry after half an hour", 1_800),
        ("Try again in ~150 min.", 9_000),
        ("try again in 5 parsecs", None),
    ],
)
def test_wait_in_text(text: str, seconds: float | None) -> None:
    """A sentence or a body names a wait, in any unit; nonsense names none."""
    assert waits(text)[0] == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "20"}, 20),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "30s"}, 30),
        ({"x-retry-after": "6"}, 6),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3),
        ({"x-ratelimit-reset-tokens": "6m0s"}, 360),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-tokens": "8s"}, 8),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "8s",
                "x-ratelimit-remaining-tokens": "90",
            },
            1,
        ),
        ({"x-ratelimit-reset-requests-day": "33011.38"}, 33_011.38),
        ({"x-ratelimit-reset-after": "1.5"}, 1.5),
        ({"ratelimit-reset": "37"}, 37),
        ({"x-ratelimit-reset": "later"}, None),
        ({"x-ratelimit-resetting": "5"}, None),
    ],
)
def test_wait_in_headers(headers: dict[str, str], seconds: float | None) -> None:
    """A header names a wait; the limit that is exhausted comes before the others."""
    assert waits(headers=headers)[0] == (None if seconds is None else pytest.approx(seconds))


def test_headers_come_before_text() -> None:
    """A header is exact, a sentence is rounded."""
    assert waits("try again in 5s", headers={"retry-after": "4.2"})[0] == 4.2


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("Thu, 01 Jan 2026 00:00:30 GMT", NOW + 30),
        ("Thursday, 01-Jan-2026 00:00:30 GMT", None),
        ("01 Jan 2026 00:00:30 GMT", NOW + 30),
        ("Thu, 01 Foo 2026 00:00:30 GMT", None),
        ("Thu, 41 Jan 2026 00:00:30 GMT", None),
        ("2026-01-01T00:00:30Z", NOW + 30),
        ("2026-01-01T00:00:30.250Z", NOW + 30.25),
        ("2026-01-01T01:00:30+01:00", NOW + 30),
        ("2026-01-01T00:00:30+99:00", None),
        ("2026-13-01T00:00:30Z", None),
        ("1767225630", NOW + 30),
        ("1767225630000", NOW + 30),
    ],
)
def test_moment_in_a_header(value: str, moment: float | None) -> None:
    """A moment is a wait once the present is known: given, or the response's own date."""
    assert waits(headers={"retry-after": value}) == (None, moment)
    wait = None if moment is None else pytest.approx(moment - NOW)
    assert waits(headers={"retry-after": value}, now=NOW) == (wait, moment)
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    assert waits(headers={"retry-after": value, "date": date}) == (wait, moment)


def test_a_moment_that_is_past_is_no_wait() -> None:
    """A reset behind the present means at once, never before."""
    assert waits(headers={"x-ratelimit-reset": "1767225600"}, now=NOW + 5) == (0.0, NOW)


def test_anthropic_limits_are_moments() -> None:
    """The exhausted limit's reset counts, of a subscription the one that governs."""
    headers = {
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:09Z",
        "anthropic-ratelimit-tokens-remaining": "100",
        "anthropic-ratelimit-tokens-reset": "2026-01-01T00:01:00Z",
    }
    assert waits(headers=headers, now=NOW) == (9.0, NOW + 9)
    headers = {
        "anthropic-ratelimit-unified-status": "rejected",
        "anthropic-ratelimit-unified-reset": "1767232800",
        "anthropic-ratelimit-unified-7d-reset": "1767484800",
        "retry-after": "7200",
    }
    failure = classify("", status=429, headers=headers)
    assert (failure.kind, failure.retry_after, failure.resets_at) == ("quota", 7_200, NOW + 7_200)


def test_a_wait_makes_a_moment() -> None:
    """With the present known, a duration says when, too."""
    assert waits("try again in 60s", now=NOW) == (60.0, NOW + 60)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Usage limit reached; resets at 1767225600", NOW),
        ("Claude AI usage limit reached|1767225600", NOW),
        ("usage limit reached|1767225600000", NOW),
        ('{"type":"usage_limit_reached","resets_at":1767225600}', NOW),
        ('{"type":"usage_limit_reached","resets_at":"2026-01-01T00:00:00Z"}', NOW),
        ('{\\"X-RateLimit-Reset\\": \\"1767225600000\\"} free-models-per-day limit', NOW),
        ('{"quotaResetTimeStamp":"2026-01-01T00:00:00Z"} quota exceeded', NOW),
        (
            "You reached your usage limits. You will regain access on 2026-01-01 at 00:00 UTC.",
            NOW,
        ),
        ("Usage limit reached. Your limit will reset at 2026-01-01 00:00:00", NOW),
        ("usage limit reached; resets Jan 1, 2026 at 12am (UTC)", NOW),
        ("usage limit reached; resets on January 1st, 2026, 00:00 GMT", NOW),
        ("usage limit reached, resets Feb 30, 2026 at 1am UTC", None),
        ("usage limit reached on 2026-01-01 00:00:00", None),
        ("usage limit reached · resets 3am", None),
        ("usage limit reached · resets Jan 2 at 3am (UTC)", None),
        ("usage limit reached · resets Jan 2, 2026 at 3am", None),
        ("usage limit reached · resets 3 times", None),
        ("usage limit reached", None),
    ],
)
def test_reset_in_text(text: str, moment: float | None) -> None:
    """A quota's reset is known without the present when the text says all of it."""
    failure = classify(text)
    assert (failure.kind, failure.resets_at) == ("quota", moment)


@pytest.mark.parametrize(
    ("text", "now", "moment"),
    [
        ("usage limit reached · resets 3am (UTC)", NOW, NOW + 3 * 3_600),
        ("usage limit reached · resets 3:30pm UTC", NOW, NOW + 15.5 * 3_600),
        ("usage limit reached · resets 12am (UTC)", NOW + 60, NOW + DAY),
        ("usage limit reached · resets 12pm (UTC)", NOW, NOW + DAY / 2),
        ("usage limit reached · resets at 15:00 (UTC)", NOW, NOW + 15 * 3_600),
        ("usage limit reached · resets 10am (Asia/Seoul)", NOW, NOW + 3_600),
        ("usage limit reached · resets 3am", NOW, NOW + 3_600),
        ("usage limit reached · resets 3am (Moon/Base)", NOW, None),
        ("usage limit reached · resets 99:99pm (UTC)", NOW, None),
        ("usage limit reached · resets Jan 1 at 3am (UTC)", NOW, NOW + 3 * 3_600),
        ("usage limit reached · resets Jan 2 at 3am (UTC)", NOW, NOW + DAY + 3 * 3_600),
        (
            "usage limit reached · resets Jan 2 at 3am (UTC)",
            NOW + 300 * DAY,
            NOW + 366 * DAY + 3 * 3_600,
        ),
        ("usage limit reached · resets Jan 99 at 3am (UTC)", NOW, None),
        ("usage limit reached · resets Sep 15 at 7pm (Moon/Base)", NOW, None),
        ("try again at Jan 3rd, 2026 3:05 AM: usage limit reached", NOW, NOW + 2 * DAY + 65 * 60),
    ],
)
def test_reset_by_the_clock(text: str, now: float, moment: float | None) -> None:
    """A time of day needs the present and its zone; the next such moment is meant."""
    failure = classify(text, now=now, zones=zones)
    assert failure.resets_at == moment
    assert failure.retry_after == (None if moment is None else moment - now)


def test_time_of_day_without_zones_is_not_guessed() -> None:
    """Without a resolver, a named zone and the local one are unknown."""
    assert classify("usage limit reached · resets 3am (Asia/Seoul)", now=NOW).resets_at is None
    assert classify("usage limit reached · resets 3am", now=NOW).resets_at is None


@pytest.mark.parametrize("now", [float("nan"), float("inf"), -1.0, 1e300, "soon", None])
def test_a_present_that_is_none_is_ignored(now: Any) -> None:
    """Nonsense for the present is as good as none."""
    assert waits("try again in 60s", now=now) == (60.0, None)


@pytest.mark.parametrize(
    ("text", "status"),
    [("prompt is too long", 400), ("invalid api key", 401), ("boom", None), ("bad request", 400)],
)
def test_what_no_wait_mends_names_none(text: str, status: int | None) -> None:
    """A wait is told only of failures that pass."""
    assert waits(f"{text}; try again in 5s", status=status, headers={"retry-after": "5"}) in (
        (None, None),
        (5.0, None),
    )
    failure = classify(text, status=status, headers={"retry-after": "5"})
    assert (failure.retry_after, failure.resets_at) == (None, None)


def test_utc_is_known_without_a_resolver() -> None:
    """UTC needs no database of zones."""
    assert classify("usage limit reached · resets 1am (UTC)", now=NOW).resets_at == NOW + 3_600
    assert UTC.utcoffset(None) == timedelta(0)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"RateLimit": "limit=100, remaining=0, reset=42"}, 42.0),
        ({"RateLimit": '"default";r=0;t=17'}, 17.0),
        ({"RateLimit": "limit=100"}, None),
        ({"retry-after": "999999999"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": float("nan")}, None),
        ({"retry-after-ms": "99999999999999999999"}, None),
    ],
)
def test_a_wait_that_cannot_be_meant_is_none(headers: dict[str, Any], expected: Any) -> None:
    """Waits of more than ten years, negative ones and those that are no number are not told."""
    assert waits(headers=headers)[0] == expected


def test_a_moment_beyond_the_century_is_none() -> None:
    """A reset in a far future is a mistake of units; it becomes neither a moment nor a wait."""
    for value in ("99999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"):
        assert waits(headers={"retry-after": value}, now=NOW) == (None, None)
    assert waits('{"resets_at": 9999999999999}', now=NOW) == (None, None)
    assert waits("try again in 9s", headers={"retry-after": "9999999999"}) == (9.0, None)


@pytest.mark.parametrize(
    ("text", "now", "moment"),
    [
        ("Please retry after 2026-01-01T00:05:00Z", NOW, NOW + 300),
        ("You will regain access on 2026-01-03", NOW, NOW + 2 * DAY),
        ("You will regain access on 2026-01-03 at 06:00 UTC", NOW, NOW + 2 * DAY + 21_600),
        ("usage limit reached since 2026-01-03", NOW, None),
        ("Weekly limit reached \u2219 resets Jan 3", NOW, NOW + 2 * DAY - 7_200),
        ("Weekly limit reached \u2219 resets Jan 3, 9am", NOW, NOW + 2 * DAY + 25_200),
        ("usage limit: try again at 3 de ene. de 2026, 9:30", NOW, NOW + 2 * DAY + 27_000),
        ("usage limit: try again at 3rd January 2026 at 9:30 UTC", NOW, NOW + 2 * DAY + 34_200),
        ("usage limit: try again at 3 Jan", NOW, NOW + 2 * DAY - 7_200),
        ("5-hour limit reached \u2219 resets 3am", NOW, NOW + 3_600),
    ],
)
def test_allowances_say_when_they_are_there_again(
    text: str, now: float, moment: float | None
) -> None:
    """Dates without a time begin at midnight; a date is told by its month or its day first."""
    assert waits(text, now=now, zones=zones)[1] == moment


REPEATED = 1_792_888_200.0  # 2026-10-25T00:30:00Z: 02:30 in Berlin, and 02:30 again an hour later


@pytest.mark.parametrize("said", ["2:30am (Europe/Berlin)", "Oct 25 at 2:30am (Europe/Berlin)"])
def test_of_the_hour_that_is_repeated_the_one_to_come_is_meant(said: str) -> None:
    """At the end of summer time the clock shows an hour twice."""
    text = f"You've hit your limit \u00b7 resets {said}"
    for now, moment in (
        (REPEATED - 60, REPEATED),
        (REPEATED + 60, REPEATED + 3_600),
        (REPEATED + 3_000, REPEATED + 3_600),
    ):
        assert waits(text, now=now, zones=lambda name: ZoneInfo(name or "UTC"))[1] == moment
