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
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|d|h|m|s)(?![a-z])", re.ASCII)
_SPELLED: Final = re.compile(
    r"(?<=[\d ])(d|h|m|s)(?:ays?|ours?|in(?:ute)?s?|ec(?:ond)?s?)\b", re.ASCII
)


class TimeInvalid(GoalError, ValueError):
    """A text is neither a duration nor a moment."""

    code = "time_invalid"


def seconds_of(duration: Duration) -> float:
    """Return ``duration`` in seconds; raise `TimeInvalid` for a text that is none."""
    if isinstance(duration, timedelta):
        return duration.total_seconds()
    if not isinstance(duration, str):
        return float(duration)
    text, position, seconds = _SPELLED.sub(r"\1", duration.strip().lower()), 0, 0.0
    while found := _PART.match(text, position):
        seconds += float(found[1]) * _UNITS[found[2]]
        position = found.end()
    if not position or position != len(text):
        raise TimeInvalid(
            f"{duration!r} is not a duration", hint="write it like 90s, 1h 30m or 250ms"
        )
    return seconds


def moment_of(moment: Moment, now: datetime) -> datetime:
    """Return ``moment`` in UTC, as seen from ``now``; raise `TimeInvalid` for another text."""
    if isinstance(moment, datetime):
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if not isinstance(moment, str):
        return datetime.fromtimestamp(moment, UTC)
    try:
        return moment_of(datetime.fromisoformat(moment), now)
    except ValueError:
        pass
    try:
        of_day = time.fromisoformat(moment)
    except ValueError:
        raise TimeInvalid(
            f"{moment!r} is not a moment", hint="write it like 03:00 or 2026-03-14 03:00"
        ) from None
    today = datetime.combine(now.astimezone(UTC).date(), of_day.replace(tzinfo=UTC))
    return today if today >= now else today + timedelta(days=1)
