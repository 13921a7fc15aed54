"""Numbers for ids, and the names that agents give to tools."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Final

PAUSE: Final = ""
"""What a stream yields where it lingers."""

_NUMBERS: Final = itertools.count(1)


def number() -> int:
    """Return a number that was not returned before."""
    return next(_NUMBERS)


def full_name(name: str, offered: Sequence[str]) -> str:
    """Return the offered tool whose name is, or ends with, ``name``; the name itself for none."""
    if name in offered:
        return name
    return next((each for each in offered if each.endswith(name)), name)
