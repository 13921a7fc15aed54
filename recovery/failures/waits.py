"""When a failed request may be tried again: waits in seconds, resets as unix seconds.

A provider says it in headers, in its JSON body or in a sentence; as a duration or as a moment.
A moment becomes a wait only when the present is known: the caller's ``now``, else the response's
own ``date`` header. A time of day also needs its time zone, which the caller's ``zones`` resolves.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

import msgspec

from recovery.failures.kinds import Zones

_LONGEST: Final = 10 * 366 * 86_400.0
_LATEST: Final = 4_102_444_800.0
"""The year 2100: no moment after it is believed, nor a wait of more than ten years."""
_DAY: Final = 86_400.0
_MILLIS_FROM: Final = 100_000_000_000.0
_EPOCH_FROM: Final = 1_000_000_000.0
_ZONE_NAMES: Final = frozenset({"utc", "gmt", "z"})

_NUMBER: Final = r"\d{1,15}(?:\.\d{1,12})?"
_UNITS: Final = (
    ("ms", 0.001, r"ms|msecs?|millis(?:econds?)?"),
    ("s", 1.0, r"s|secs?|seconds?"),
    ("m", 60.0, r"m|mins?|minutes?"),
    ("h", 3_600.0, r"h|hrs?|hours?"),
    ("d", 86_400.0, r"d|days?"),
    ("w", 604_800.0, r"w|weeks?"),
)
_UNIT: Final = "|".join(f"(?P<{name}>{words})" for name, _, words in _UNITS)
_PART: Final = re.compile(rf"({_NUMBER})\s?(?:{_UNIT})(?![a-z])(?:,? (?:and )?)?")
_CLOCK: Final = re.compile(r"(?:(\d{1,3})\.)?(\d{1,2}):(\d\d):(\d\d)(?:\.\d{1,9})?\b")

_RETRY_PHRASE: Final = re.compile(
    r"\b(?:try(?:ing)? again|retry(?: again| your request| this request)?|available again"
    r"|retry[ _-]?after|retry[ _-]?delay|wait(?: for)?|resets?|replenished"
    r"|available|reset[ _-]?(?:after|in))(?: (?:in|after|of|for|is|time))?[:\s]{1,3}"
    rf"(?:about |approximately |another |at least |~ ?)?(?P<number>{_NUMBER})(?!\d|-\d\d-\d\d)"
)
_IN_WORDS: Final = re.compile(
    r"\b(?:try(?:ing)? again|retry|wait)(?: in| after| for)?(?: about| at least| another)? "
    r"(half an|an?|one) (second|minute|hour|day|week)\b"
)
_RETRY_AFTER: Final = re.compile(r"retry[ _-]?after")
_KEYED: Final = re.compile(
    r"(?P<key>retry[_-]?after(?:[_-]?(?P<millis>ms|millis\w{0,10}))?(?:[_-]?sec(?:ond)?s)?"
    r"|retry[_-]?delay|resets?[_-]?(?:in|after)(?:[_-]?sec(?:ond)?s)?|estimated_time"
    r"|retry_in(?:_seconds)?|wait_seconds)\\{0,3}[\"']?\s{0,2}[:={]\s{0,3}"
    r"(?:\{?\s{0,3}\\{0,3}[\"']?seconds\\{0,3}[\"']?\s{0,2}:\s{0,2})?\\{0,3}[\"']?"
    rf"(?P<number>{_NUMBER})"
)
_EPOCH_KEYED: Final = re.compile(
    r"(?:resets?[_-]?(?:at|time|timestamp|on)|(?:quota)?reset(?:time|timestamp|date)"
    r"|x-ratelimit-reset)\\{0,3}[\"']?\s{0,2}[:=]\s{0,3}\\{0,3}[\"']?(\d{10,13}(?:\.\d{1,9})?)\b"
    r"|\|(\d{10}|\d{13})\b|\bresets?(?: at| on)? (\d{10}|\d{13})\b"
)
_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:(?:[t ]|,? at )(\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9}))?"
    r"\s?(z\b|utc\b|gmt\b|[+-]\d\d:?\d\d)?)?(?!\w)"
)
_ISO_CONTEXT: Final = re.compile(r"reset|regain|again|until|renew|replenish|available|after|access")
_HTTP_DATE: Final = re.compile(
    r"(?:[a-z]{3},? )?(\d{1,2})[ -]([a-z]{3})[ -](\d{4}) (\d\d):(\d\d):(\d\d)(?: gmt| utc)?"
)
_MONTHS: Final = (
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
)  # fmt: skip
_MONTHS_ELSEWHERE: Final = {
    "ene": 1, "abr": 4, "ago": 8, "set": 9, "dic": 12, "fev": 2, "mai": 5, "out": 10, "dez": 12,
    "janv": 1, "avr": 4, "juin": 6, "juil": 7, "okt": 10,
}  # fmt: skip
"""How months begin in Spanish, Portuguese, French and German where English differs."""
_ZONE: Final = r"(?:\s?\((?P<zone>[a-z][\w/+-]{1,40})\)|\s?(?P<universal>utc|gmt)\b)?"
_CLOCK_TIME: Final = r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?(?::\d\d)?(?:\s?(?P<half>[ap]m)\b)?"
_AFTER: Final = r"\b(?:resets?|again|until|available|renews?|access)(?: (?:at|on))? "
_MONTH: Final = r"(?P<month>" + "|".join((*_MONTHS, *_MONTHS_ELSEWHERE)) + r")[a-z]{0,6}\.?"
_YEAR: Final = r"(?P<year>\d{4})\b,?"
_AT: Final = rf"(?:,? (?:at )?{_CLOCK_TIME}{_ZONE})?"
_CALENDARS: Final = (
    # The month first (resets Oct 9, 2026 at 5pm), or the day (el 9 de octubre de 2026, 17:00).
    re.compile(
        rf"{_AFTER}{_MONTH} (?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:),?(?: {_YEAR})?{_AT}",
        re.IGNORECASE,
    ),
    re.compile(
        rf"{_AFTER}(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.)? (?:de )?{_MONTH}"
        rf"(?: (?:de )?{_YEAR})?{_AT}",
        re.IGNORECASE,
    ),
)
_TIME_OF_DAY: Final = re.compile(
    rf"\b(?:resets?|again|until|available)(?: at)? {_CLOCK_TIME}{_ZONE}", re.IGNORECASE
)
_RESET_HEADER: Final = re.compile(r"ratelimit(?:bysize)?(?:-.{1,60})?-reset(?:-.{1,60})?$")
_STANDARD_LIMIT: Final = re.compile(r"\b(?:reset|t)=(\d{1,9})\b")
_EXHAUSTED: Final = ("-reset", "-remaining")


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """What a failure says of time: ``retry_after`` in seconds, ``resets_at`` in unix seconds."""

    retry_after: float | None = None
    resets_at: float | None = None


def timing(
    text: str, headers: Mapping[str, str], *, now: float | None, zones: Zones | None
) -> Timing:
    """Return the wait and the reset that ``headers`` and ``text`` announce."""
    lower = text.lower()
    present = now if now is not None else _moment(headers.get("date", ""))
    wait, reset = _from_headers(headers)
    if wait is None or wait > _LONGEST:
        wait = _wait_in(lower)
    if reset is None or reset > _LATEST:
        reset = (
            _reset_in(lower)
            or _calendar(text, present, zones)
            or _time_of_day(text, present, zones)
        )
    if reset is not None and reset > _LATEST:
        reset = None
    if wait is None and reset is not None and present is not None:
        wait = max(0.0, reset - present)
    if reset is None and wait is not None and present is not None:
        reset = present + wait
    return Timing(retry_after=wait, resets_at=reset)


def _from_headers(headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Return the wait and the reset that the headers name, the most exact first."""
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        wait = _seconds(headers.get(name, ""))
        if wait is not None:
            return wait / 1_000, None
    for name in ("retry-after", "x-retry-after"):
        value = headers.get(name, "")
        wait = _seconds(value)
        if wait is not None:
            return wait, _from_limits(headers)[1]
        moment = _moment(value)
        if moment is not None:
            return None, moment
    return _from_limits(headers)


def _from_limits(headers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Return the latest reset among the limits that are exhausted, or among all of them."""
    standard = _STANDARD_LIMIT.search(headers.get("ratelimit", ""))
    if standard is not None:
        return float(standard[1]), None
    governing = _moment(headers.get("anthropic-ratelimit-unified-reset", ""))
    if governing is not None:
        return None, governing
    resets = {n: v for n, v in headers.items() if _RESET_HEADER.search(n)}
    spent = {n: v for n, v in resets.items() if headers.get(n.replace(*_EXHAUSTED)) in {"0", "0.0"}}
    waits: list[float] = []
    moments: list[float] = []
    for value in (spent or resets).values():
        wait = _seconds(value)
        moment = _moment(value)
        if wait is not None:
            waits.append(wait)
        elif moment is not None:
            moments.append(moment)
    return max(waits, default=None), max(moments, default=None)


def _seconds(value: str) -> float | None:
    """Return a duration (``12``, ``1.5s``, ``6m0s``) in seconds; None for anything else."""
    plain = value.strip().lower()
    if re.fullmatch(_NUMBER, plain):
        number = float(plain)
        return number if number < _EPOCH_FROM else None
    seconds, end = _duration(plain, 0)
    return seconds if end == len(plain) else None


def _moment(value: str) -> float | None:
    """Return a moment (unix seconds or milliseconds, ISO 8601, an HTTP date) as unix seconds."""
    plain = value.strip().lower()
    if re.fullmatch(_NUMBER, plain):
        number = float(plain)
        return _epoch(number) if number >= _EPOCH_FROM else None
    match = _ISO.match(plain)
    if match is not None:
        return _iso(match)
    match = _HTTP_DATE.match(plain)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[i]) for i in (1, 3, 4, 5, 6))
    return _unix(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second)


def _epoch(number: float) -> float:
    """Return unix seconds for a number that is either seconds or milliseconds."""
    return number / 1_000 if number >= _MILLIS_FROM else number


def _unix(*when: int, zone: tzinfo = UTC, fold: int = 0) -> float | None:
    """Return the unix time of year, month, day, hour … in ``zone``; None for one that cannot be."""
    year, month, day, hour, minute, second = (*when, 0)[:6]
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=zone, fold=fold).timestamp()
    except (ValueError, OverflowError):
        return None


def _iso(match: re.Match[str]) -> float | None:
    """Return the unix time of an ISO 8601 moment; without an offset it is taken as UTC."""
    date, clock, fraction, offset = match.groups()
    clock = clock or "00:00"
    sign = "" if offset is None or offset in _ZONE_NAMES else offset
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}{sign or '+00:00'}")
        return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    except (ValueError, OverflowError):
        return None


def _duration(text: str, start: int) -> tuple[float | None, int]:
    """Return the duration that begins at ``start`` and where it ends; None when none does."""
    clock = _CLOCK.match(text, start)
    if clock is not None:
        days, hours, minutes, seconds = (int(part or 0) for part in clock.groups())
        return days * 86_400.0 + hours * 3_600 + minutes * 60 + seconds, clock.end()
    total, end = None, start
    while (part := _PART.match(text, end)) is not None:
        scale = next(scale for name, scale, _ in _UNITS if part[name])
        total = (total or 0.0) + float(part[1]) * scale
        end = part.end()
    return total, end


def _wait_in(text: str) -> float | None:
    """Return the wait that a body or a sentence names, in seconds."""
    for match in _KEYED.finditer(text):
        wait, _ = _duration(text, match.start("number"))
        if wait is None:
            wait = float(match["number"]) / (1_000 if match["millis"] else 1)
        if wait <= _LONGEST:
            return wait
    for match in _RETRY_PHRASE.finditer(text):
        wait, _ = _duration(text, match.start("number"))
        if wait is None and _RETRY_AFTER.match(match[0]):
            wait = float(match["number"])
        if wait is not None and wait <= _LONGEST:
            return wait
    words = _IN_WORDS.search(text)
    if words is None:
        return None
    scale = next(scale for name, scale, _ in _UNITS if name == words[2][0])
    return scale / 2 if words[1] == "half an" else scale


def _reset_in(text: str) -> float | None:
    """Return the moment of reset that a body or a sentence names, as unix seconds."""
    keyed = _EPOCH_KEYED.search(text)
    if keyed is not None:
        return _epoch(float(keyed[1] or keyed[2] or keyed[3]))
    for match in _ISO.finditer(text):
        if _ISO_CONTEXT.search(text, max(0, match.start() - 48), match.start()):
            return _iso(match)
    return None


def _zone(name: str | None, zones: Zones | None) -> tzinfo | None:
    """Return the zone that a sentence names, or the local one where it names none."""
    if name is not None and name.lower() in _ZONE_NAMES:
        return UTC
    if zones is None:
        return None
    try:
        return zones(name)
    except Exception:  # noqa: BLE001 - a resolver raises what it likes for a name that is none
        return None


def _hour(hour: str, half: str | None) -> int:
    """Return an hour of 0 to 23 (or more, for nonsense) from a clock of 12 or 24 hours."""
    if half is None:
        return int(hour)
    return int(hour) % 12 + (12 if half.lower() == "pm" else 0)


def _zone_of(match: re.Match[str], zones: Zones | None) -> tzinfo | None:
    """Return the zone in which a sentence means a time, or the local one where it names none."""
    return _zone(match["zone"] or match["universal"], zones)


def _time_in(match: re.Match[str]) -> tuple[int, int]:
    """Return the hour and the minute that a sentence names: midnight where it names a day alone."""
    if match["hour"] is None:
        return 0, 0
    return _hour(match["hour"], match["half"]), int(match["minute"] or 0)


def _calendar(text: str, now: float | None, zones: Zones | None) -> float | None:
    """Return the moment of "resets Oct 9 at 5pm (Europe/Paris)" and the like."""
    match = next((found for day in _CALENDARS if (found := day.search(text))), None)
    if match is None:
        return None
    zone = _zone_of(match, zones)
    if zone is None:
        return None
    name = match["month"].lower()
    month = _MONTHS_ELSEWHERE.get(name) or _MONTHS.index(name) + 1
    when = (month, int(match["day"]), *_time_in(match))
    if match["year"] is not None:
        return _next((int(match["year"]), *when), zone, now)
    if now is None:
        return None
    this_year = datetime.fromtimestamp(now, zone).year
    moment = _next((this_year, *when), zone, now)
    # "Jan 2" said in December is next year's.
    if moment is None or moment >= now - _DAY:
        return moment
    return _next((this_year + 1, *when), zone, now)


def _time_of_day(text: str, now: float | None, zones: Zones | None) -> float | None:
    """Return the next moment at which it is that time, for "resets 3am (UTC)" and the like."""
    match = _TIME_OF_DAY.search(text)
    if match is None or now is None or not (match["minute"] or match["half"]):
        return None
    zone = _zone_of(match, zones)
    if zone is None:
        return None
    today = datetime.fromtimestamp(now, zone)
    moment = _next((today.year, today.month, today.day, *_time_in(match)), zone, now)
    if moment is not None and moment <= now:
        day = today + timedelta(days=1)
        return _next((day.year, day.month, day.day, *_time_in(match)), zone, now)
    return moment


def _next(when: tuple[int, ...], zone: tzinfo, now: float | None) -> float | None:
    """Return that moment in ``zone``; of one that the clock shows twice, the one that is to come.

    The hour that summer time ends with is repeated: once the first has passed, the second is meant.
    """
    first = _unix(*when, zone=zone)
    if first is None or now is None or first > now:
        return first
    second = _unix(*when, zone=zone, fold=1)
    return second if second is not None and second > now else first


def plain_headers(headers: object) -> dict[str, str]:
    """Return any mapping or list of pairs as a dictionary with names in lower case."""
    pairs: Iterable[object]
    if isinstance(headers, Mapping):
        pairs = headers.items()
    elif isinstance(headers, list | tuple):
        pairs = headers
    else:
        items = getattr(headers, "items", None)
        pairs = items() if callable(items) else ()
    plain: dict[str, str] = {}
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(pair) == 2:  # noqa: PLR2004 - a pair
            plain[_text(pair[0]).lower()] = _text(pair[1])
    return plain


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
