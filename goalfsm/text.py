"""Text for people: foreign text as data that cannot act on what shows it, figures in words."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

import msgspec

MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding JSON from outside raises, also where it is no UTF-8 or is nested too deeply."""

_UNSEEN: Final = re.compile(
    # Controls but tab and newline; surrogates; what reorders or hides text; line separators.
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_XML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_QUOTES: Final = str.maketrans({'"': "&quot;", "'": "&#39;"})
_SHORT: Final = 160
_COMPACT_FROM: Final = 100_000
_UNITS: Final = (
    (10**12, "T"),
    (10**9, "B"),
    (10**6, "M"),
    (10**3, "K"),
)
_SPEAKER: Final = re.compile(r"--agent (\w+) speaks with that program")


def spoken_by(agent: str) -> str:
    """Return what to say of a program whose output only ``agent`` understands."""
    return f"--agent {agent} speaks with that program"


def speaker(text: str) -> str:
    """Return the agent that `spoken_by` has named in ``text``, empty where there is none."""
    named = _SPEAKER.search(text)
    return "" if named is None else named[1]


def visible(text: str) -> str:
    """Return ``text`` with U+FFFD for each character that hides, reorders or controls.

    Line ends become newlines; tabs, joiners and every printable character stay.
    """
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


def storable(text: str) -> str:
    """Return ``text`` with a question mark for each lone surrogate, which has no bytes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def line(text: str) -> str:
    """Return ``text`` visible and on one line."""
    return " ".join(visible(text).split())


def xml(text: str) -> str:
    """Return ``text`` visible and escaped: it cannot close the block that holds it."""
    return visible(text).translate(_XML)


def attribute(text: str) -> str:
    """Return ``text`` on one line, escaped for a quoted attribute."""
    return line(text).translate(_XML).translate(_QUOTES)


def shortened(text: str, limit: int) -> str:
    """Return at most ``limit`` code points of ``text`` and, where it is longer, how many more."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def short(text: str) -> str:
    """Return ``text`` on one line, at most so long that a reader still sees the rest."""
    return shortened(line(text), _SHORT)


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
