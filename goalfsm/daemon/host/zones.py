"""Time zones by name, for what providers say of resets: "resets 3am (Europe/Paris)"."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import cache
from pathlib import Path
from typing import Final

_OFFSET: Final = re.compile(r"(?:utc|gmt)?([+-])(\d{1,2})(?::?(\d\d))?", re.IGNORECASE | re.ASCII)
_SHORT: Final = {
    "pt": "America/Los_Angeles",
    "pst": "America/Los_Angeles",
    "pdt": "America/Los_Angeles",
    "mt": "America/Denver",
    "mdt": "America/Denver",
    "ct": "America/Chicago",
    "cst": "America/Chicago",
    "cdt": "America/Chicago",
    "et": "America/New_York",
    "edt": "America/New_York",
    "bst": "Europe/London",
    "cest": "Europe/Paris",
}
_LOCALTIME: Final = Path("/etc/localtime")
_ZONEINFO: Final = "zoneinfo/"


@cache
def zone(name: str) -> tzinfo | None:
    """Return the zone of an IANA name, a common abbreviation or an offset such as ``+02:00``.

    None for a name that is none, or that this machine's time zone data does not have.
    """
    found = _OFFSET.fullmatch(name)
    if found is not None:
        offset = timedelta(hours=int(found[2]), minutes=int(found[3] or 0))
        if offset >= timedelta(days=1):
            return None
        return timezone(-offset if found[1] == "-" else offset)
    if name.lower() in {"utc", "gmt", "z"}:
        return UTC
    return _named(_SHORT.get(name.lower(), name))


def local_name(now_s: float) -> str:
    """Return the name of this machine's zone; where it has none, its offset at ``now_s``.

    ``now_s`` is in unix seconds.
    """
    for name in (os.environ.get("TZ", "").removeprefix(":"), _linked()):
        if name and zone(name) is not None:
            return name
    offset = datetime.fromtimestamp(now_s, UTC).astimezone().utcoffset() or timedelta()
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _linked() -> str:
    """Return the name that the machine's local time links to; empty where it is no link."""
    try:
        target = str(_LOCALTIME.resolve())
    except OSError:
        return ""
    return target.partition(_ZONEINFO)[2]


def _named(name: str) -> tzinfo | None:
    from zoneinfo import ZoneInfo, available_timezones  # noqa: PLC0415  quotas alone need it

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        pass
    known = next((each for each in available_timezones() if each.lower() == name.lower()), None)
    return None if known is None else ZoneInfo(known)
