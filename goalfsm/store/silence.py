"""For how long an owner gave no sign of life that it owed."""

from __future__ import annotations

from goalfsm.store.port import Identity, Owner


class Silence:
    """What one handle knows of another owner's silence; it remembers what it saw before."""

    __slots__ = ("_row", "_since_ms")

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self._row: tuple[int, int] | None = None
        self._since_ms = 0

    def of(
        self, owner: Owner, asking: Identity, *, uptime_ms: int, unanswered_ms: int | None
    ) -> int:
        """Return milliseconds of silence, see `goalfsm.store.port.Lease.acquire`."""
        if unanswered_ms == 0:
            return 0
        if owner.identity.boot_id != asking.boot_id:
            # Its clock is not ours, and no socket leads there: see whether its row changes.
            row = (owner.epoch, owner.uptime_ms)
            if row != self._row:
                self._row, self._since_ms = row, uptime_ms
            return max(0, uptime_ms - self._since_ms)
        silent_ms = max(0, uptime_ms - owner.uptime_ms)
        if owner.resting:
            return unanswered_ms or 0
        # Who has just said that it lives is there, though nobody may reach its socket.
        return silent_ms if unanswered_ms is None else min(silent_ms, unanswered_ms)
