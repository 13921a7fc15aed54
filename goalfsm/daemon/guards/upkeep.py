"""What nobody tells an engine: the clock was set, a row was left, a worker came, rows are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from goalfsm.daemon.flow.decide import Envelope
from goalfsm.session import events as e

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.flow.inbox import InboxRows
    from goalfsm.daemon.flow.threads import Threads
    from goalfsm.daemon.guards.failures import StoreOutage
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.daemon.stages.effects import Wakeups
    from goalfsm.daemon.stages.scheduler import Scheduler
    from goalfsm.session.state import Session
    from goalfsm.store.port import Store
    from goalfsm.store.pump import Pump

PRUNE_EVERY_MS: Final = 3_600_000
KEEP_DONE_MS: Final = 7 * 86_400_000
"""How long consumed inbox rows and done effects are kept; their events stay in the journal."""

_log = structlog.get_logger(__name__)


class Upkeep(msgspec.Struct, eq=False):
    """Looks around at every beat; at threads once ``ready()`` says that all are taken over."""

    store: Store
    pump: Pump
    clock: Clock
    threads: Threads
    rows: InboxRows
    wakeups: Wakeups
    scheduler: Scheduler
    outage: StoreOutage
    ready: Callable[[], bool]
    _prune_at_ms: int = 0
    _log_grows: bool = False

    def look(self) -> None:
        """Notice a clock that was set, a log that grows, a file that was replaced.

        Raises `StoreError` where the store cannot be read.
        """
        # Not before every thread was taken over: what is said to a thread while its last run
        # still goes on somewhere would be decided as if that was over.
        if self.ready():
            self._look()
        if self.outage.present is None:
            # For the last words of the next time, once there is room again.
            self.store.restore_reserve()

    def _look(self) -> None:
        step_ms = self.clock.step_ms()
        if step_ms:
            self._adopt(step_ms)
        self.rows.take()
        self.scheduler.retry_unserved()
        self._prune()

    def _adopt(self, step_ms: int) -> None:
        # Its last sign is in the time before the step: until the next one it has given none.
        owner = self.store.owner.current()
        self.store.owner.heartbeat(uptime_ms=self.clock.uptime_ms())
        if owner is not None and owner.resting:
            self.store.owner.rest()
        _log.warning("the wall clock was set", by_ms=step_ms)
        self.clock.adopt(step_ms)
        adjusted = e.ClockAdjusted(by_ms=step_ms)
        for thread_id in sorted({*self.threads.ids(), *self.wakeups.threads()}):
            session = self.threads.readable(thread_id)
            if session is not None and _is_timed(session):
                self.clock.telling(self.threads.take(thread_id, Envelope(adjusted), first=True))
        self.wakeups.again()

    def _prune(self) -> None:
        """Forget now and then what is done and old; say once that the log cannot be shortened."""
        now_ms = self.clock.now_ms()
        if now_ms >= self._prune_at_ms:
            self._prune_at_ms = now_ms + PRUNE_EVERY_MS
            pruned = self.store.prune(before_ms=now_ms - KEEP_DONE_MS)
            if pruned:
                _log.info("old rows were deleted", rows=pruned)
        error = self.pump.checkpoint_error
        if error is not None and not self._log_grows:
            _log.warning("the log cannot be shortened", code=error.code, error=error.message)
        self._log_grows = error is not None


def _is_timed(session: Session) -> bool:
    """Tell whether anything in the session is measured from a moment."""
    return (
        session.clock.last_ms is not None
        or session.retry.first_failure_ms is not None
        or session.quota.relative
        or bool(session.waits)
        or session.run is not None
    )
