"""What a command that has an engine loads first, so that it loads no more than it uses."""

from __future__ import annotations

import sys

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
