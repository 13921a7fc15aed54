"""Durations and token counts in words that a person reads."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Final

_COMPACT_FROM: Final = 100_000
_UNITS: Final = (
    (10**12, "T"),
    (10**9, "B"),
    (10**6, "M"),
    (10**3, "K"),
)


def duration(seconds: float) -> str:
    """Return ``seconds`` as ``1h 2m 3s``; parts of a second are dropped, less than 0 is 0."""
    whole = max(0, int(seconds))
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}h {minute}m {second}s"
    if minutes:
        return f"{minute}m {second}s"
    return f"{second}s"


def compact_tokens(count: float) -> str:
    """Return ``count`` in at most three significant digits from 100,000 on: ``1.23M``."""
    whole = max(0, int(count))
    if whole < _COMPACT_FROM:
        return f"{whole:,}"
    unit, letter = next((unit, letter) for unit, letter in _UNITS if whole >= unit)
    scaled = Decimal(whole) / unit
    places = 2 if scaled < 10 else 1 if scaled < 100 else 0  # noqa: PLR2004  three digits
    rounded = scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
    text = f"{rounded:,}"
    return (text.rstrip("0").rstrip(".") if "." in text else text) + letter


def tokens(count: float) -> str:
    """Return ``count`` compact, with the exact figure behind it where the two differ."""
    whole = max(0, int(count))
    compact = compact_tokens(whole)
    exact = f"{whole:,}"
    return exact if compact == exact else f"{compact} ({exact})"


def awaited(kind: str, pid: int | None = None) -> str:
    """Return what a wait is for, with its article: ``a timer``, ``an event``, ``process 12``."""
    if pid is not None:
        return f"{kind} {pid}"
    return f"{'an' if kind == 'event' else 'a'} {kind}"
