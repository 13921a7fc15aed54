"""What the end of a worker's process says, where the worker itself has said nothing."""

from __future__ import annotations

import signal
from typing import Final

from goalfsm.workers.protocol import ErrorReported

_MESSAGE_TAIL: Final = 2_000
_WORDS: Final = 4_000


def lost(name: str, left: tuple[int, ...] = ()) -> ErrorReported:
    """Return the error of a process whose end nobody saw, or of which processes are ``left``."""
    if left:
        numbers = ", ".join(map(str, left))
        message = f"{name} could not be ended: process {numbers} is still there"
        return ErrorReported(message=message, kind="lost", code="processes_left")
    message = f"the supervisor of {name} died, and the run was ended"
    return ErrorReported(message=message, kind="lost", code="supervisor_lost")


def ended(name: str, code: int, words: str, *, where: str = "") -> ErrorReported:
    """Return the error of a process that ended with ``code``, below 0 the signal that ended it.

    ``words`` is what it said at last; ``where`` is said with an exit status.
    """
    words = words[-_WORDS:]
    tail = f": {words[-_MESSAGE_TAIL:].strip()}" if words else ""
    how = f"exited with status {code}{where}" if code >= 0 else f"was ended by {_named(-code)}"
    return ErrorReported(
        message=f"{name} {how}{tail}",
        kind="exit" if code >= 0 else "signal",
        source="exit",
        text=words or None,
        code=f"exit_{code}" if code >= 0 else f"signal_{-code}",
    )


def _named(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
