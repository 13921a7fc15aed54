"""Text from people, models and files as data: nothing in it can act on what shows it."""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(
    # Controls but tab and newline; surrogates; what reorders or hides text; line separators.
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029"
    "\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_XML: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_QUOTES: Final = str.maketrans({'"': "&quot;", "'": "&#39;"})


def visible(text: str) -> str:
    """Return ``text`` with U+FFFD for each character that hides, reorders or controls.

    Line ends become newlines; tabs, joiners and every printable character stay.
    """
    return _UNSEEN.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


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
