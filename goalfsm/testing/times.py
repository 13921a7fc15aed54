"""Durations and moments as a test writes them: ``"1h 30m"``, ``"03:00"``, or the datetime types."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Final

from goalfsm.errors import GoalError

Duration = float | str | timedelta
"""Seconds, a text like ``90s``, ``1h 30m`` or ``250ms``, or a timedelta."""
Moment = float | str | datetime
"""Unix seconds, a text like ``03:00`` or ``2026-03-14 03:00``, or a datetime; UTC where it is bare.

A time of day alone is the next one: today or, when that is past, tomorrow.
"""

_UNITS: Final = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONGEST_S: Final = 1000 * 365 * 86_400.0
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|d|h|m|s)(?![a-z])", re.ASCII)
_SPELLED: Final = re.compile(
    r"(?<=[\d ])(d|h|m|s)(?:ays?|ours?|in(?:ute)?s?|ec(?:ond)?s?)\b", re.ASCII
)


class TimeInvalid(GoalError, ValueError):
    """A text or a number is neither a duration nor a moment, or not one that time can have."""

    code = "time_invalid"


def seconds_of(duration: Duration) -> float:
    """Return ``duration`` in seconds; raise `TimeInvalid` for what is none."""
    if isinstance(duration, timedelta):
        return _within_a_calendar(duration.total_seconds(), duration)
    if not isinstance(duration, str):
        return _within_a_calendar(float(duration), duration)
    text, position, seconds = _SPELLED.sub(r"\1", duration.strip().lower()), 0, 0.0
    while found := _PART.match(text, position):
        seconds += float(found[1]) * _UNITS[found[2]]
        position = found.end()
    if not position or position != len(text):
        raise no_duration(duration)
    return _within_a_calendar(seconds, duration)


def _within_a_calendar(seconds: float, duration: Duration) -> float:
    # What is not a number is not within anything.
    if not abs(seconds) <= LONGEST_S:
        raise no_duration(duration)
    return seconds


def no_duration(duration: object) -> TimeInvalid:
    """Return the refusal of what is no duration."""
    return TimeInvalid(
        f"{duration!r} is not a duration",
        hint="write it like 90s, 1h 30m or 250ms, or as a number of seconds",
    )


def moment_of(moment: Moment, now: datetime) -> datetime:
    """Return ``moment`` in UTC, as seen from ``now``; raise `TimeInvalid` for what is none."""
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if not isinstance(moment, str):
        try:
            return datetime.fromtimestamp(moment, UTC)
        except (OverflowError, ValueError):
            raise _no_moment(moment) from None
    try:
        return moment_of(datetime.fromisoformat(moment), now)
    except ValueError:
        pass
    try:
        of_day = time.fromisoformat(moment)
    except ValueError:
        raise _no_moment(moment) from None
    today = datetime.combine(now.astimezone(UTC).date(), of_day.replace(tzinfo=UTC))
    return today if today >= now else today + timedelta(days=1)


def _no_moment(moment: object) -> TimeInvalid:
    return TimeInvalid(
        f"{moment!r} is not a moment",
        hint="write it like 03:00 or 2026-03-14 03:00, or as unix seconds",
    )
