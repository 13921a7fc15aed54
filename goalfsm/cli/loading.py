"""How this program is started again, and what a command that has an engine loads first."""

from __future__ import annotations

import sys
from typing import Final

THIS_PROGRAM: Final = (sys.executable, "-P", "-m", "goalfsm.cli")
"""Starts this program without looking for it, or for what it loads, where a worker works."""
_UNUSED = "rich"


def load_logging() -> None:
    """Load structlog without rich, which it loads where it is installed, for tracebacks.

    No log of ours has such ones, and half the time to the first turn would go into that.
    """
    if "structlog" in sys.modules or _UNUSED in sys.modules:
        return
    # What is None there cannot be imported: structlog then does without.
    sys.modules[_UNUSED] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401, PLC0415  only a command with an engine logs
    finally:
        del sys.modules[_UNUSED]
