"""Why no turn may start: the one place that says so, for a thread or for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

STARTING: Final = "starting"
"""The engine has not yet taken over what an earlier one left."""
SHUTDOWN: Final = "shutdown"
"""The engine lets running turns finish and begins no other."""
OVER: Final = "over"
"""The engine commits nothing more."""
OUTAGE: Final = "store"
"""The store cannot commit."""
HALTED: Final = "halted"
"""A fault met the thread, or a person's stop was refused: a person has to take it up again."""
ENDING: Final = "ending"
"""What the thread has asked for and wants no more, a verifier or so, is being ended."""
PROCESSES: Final = "processes"
"""Processes of the thread's last run live and cannot be ended."""
STOP: Final = "stop "
"""What the reason of a person's stop begins with that is not durable yet; a number follows."""
_TOLD: Final = {
    OVER: "the engine commits nothing more",
    OUTAGE: "the store cannot commit",
    STARTING: "the engine takes over what an earlier one left",
    SHUTDOWN: "the engine shuts down",
    HALTED: "a fault was met, or a stop was refused; goalfsm resume takes it up",
    PROCESSES: "processes of the last turn live and cannot be ended",
}
"""What is told of a reason; one that passes by itself within moments is not."""


class Holds:
    """The reasons that are there now; a turn may start when none is against it."""

    def __init__(self, changed: Callable[[str | None, bool], None]) -> None:
        """Call ``changed(thread_id, held)`` for each change; the id is None for all threads."""
        self._changed = changed
        self._all: set[str] = set()
        self._of: dict[str, set[str]] = {}

    def add(self, reason: str, thread_id: str | None = None) -> None:
        """Let no turn start, of the thread or of any."""
        reasons = self._all if thread_id is None else self._of.setdefault(thread_id, set())
        if reason not in reasons:
            reasons.add(reason)
            self._changed(thread_id, True)  # noqa: FBT003  held, as the callback's second word

    def release(self, reason: str, thread_id: str | None = None) -> bool:
        """Take a reason back; return whether it was there."""
        reasons = self._all if thread_id is None else self._of.get(thread_id, set())
        if reason not in reasons:
            return False
        reasons.remove(reason)
        if thread_id is not None and not reasons:
            del self._of[thread_id]
        self._changed(thread_id, False)  # noqa: FBT003  not held any more
        return True

    def has(self, reason: str, thread_id: str | None = None) -> bool:
        """Tell whether that very reason is there, for the thread or for all."""
        reasons = self._all if thread_id is None else self._of.get(thread_id, ())
        return reason in reasons

    def stops(self, thread_id: str) -> bool:
        """Tell whether anything is against a turn of the thread."""
        return bool(self._all) or thread_id in self._of

    def stopped(self, thread_id: str) -> bool:
        """Tell whether a person was told that no turn of the thread follows."""
        return any(reason.startswith(STOP) for reason in self._of.get(thread_id, ()))

    def told(self, thread_id: str) -> str:
        """Return in words what keeps turns of the thread from starting; "" where nothing does."""
        reasons = self._all | self._of.get(thread_id, set())
        return "; ".join(words for reason, words in _TOLD.items() if reason in reasons)

    def of(self, thread_id: str) -> frozenset[str]:
        """Return the reasons that hold this thread alone."""
        return frozenset(self._of.get(thread_id, ()))
