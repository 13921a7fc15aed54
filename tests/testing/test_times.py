"""Durations and moments, as a test writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from math import inf, nan

import pytest

from goalfsm.testing.times import TimeInvalid, moment_of, seconds_of

NOW = datetime(2026, 3, 14, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90s", 90),
        ("1h 30m", 5400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("2 days", 172_800),
        ("1 hour 5 minutes", 3900),
        ("30 min", 1800),
        ("10 seconds", 10),
        (12, 12),
        (0.5, 0.5),
        (timedelta(minutes=2), 120),
    ],
)
def test_durations(given: float | str | timedelta, seconds: float) -> None:
    assert seconds_of(given) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "given",
    ["", "5", "h", "1x", "1h foo", "5mss", "1 month", "-1s", "9999999d", nan, inf, -inf, 1e300],
)
def test_what_is_no_duration_is_refused_with_a_hint(given: float | str) -> None:
    with pytest.raises(TimeInvalid, match="is not a duration") as caught:
        seconds_of(given)
    assert "1h 30m" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("03:00", datetime(2026, 3, 14, 3, tzinfo=UTC)),
        ("02:30", NOW),
        ("02:00", datetime(2026, 3, 15, 2, tzinfo=UTC)),
        ("2026-03-20", datetime(2026, 3, 20, tzinfo=UTC)),
        ("2026-03-15T04:00+01:00", datetime(2026, 3, 15, 3, tzinfo=UTC)),
        (datetime(2026, 3, 15), datetime(2026, 3, 15, tzinfo=UTC)),  # noqa: DTZ001  what is tested
        (
            datetime(2026, 3, 15, 4, tzinfo=timezone(timedelta(hours=1))),
            datetime(2026, 3, 15, 3, tzinfo=UTC),
        ),
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_moments(given: float | str | datetime, moment: datetime) -> None:
    assert moment_of(given, NOW) == moment


@pytest.mark.parametrize("given", ["tomorrow", nan, inf, 1e300])
def test_what_is_no_moment_is_refused_with_a_hint(given: float | str) -> None:
    with pytest.raises(TimeInvalid, match=f"{given!r} is not a moment".replace("+", ".")) as caught:
        moment_of(given, NOW)
    assert "03:00" in caught.value.hint
