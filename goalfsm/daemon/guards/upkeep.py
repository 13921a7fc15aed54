"""What nobody tells an engine: the clock was set, a row was left, a worker came, rows are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.decide import Envelope
from goalfsm.session import events as e

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from goalfsm.daemon.flow.inbox import InboxRows
    from goalfsm.daemon.flow.threads import Threads
    from goalfsm.daemon.guards.failures import StoreOutage
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.daemon.stages.effects import Wakeups
    from goalfsm.daemon.stages.scheduler import Scheduler
    from goalfsm.session.state import Reply, Session
    from goalfsm.store.port import Store
    from goalfsm.store.pump import Pump

PRUNE_EVERY_MS: Final = 3_600_000
KEEP_DONE_MS: Final = 7 * 86_400_000
"""How long consumed inbox rows and done effects are kept; their events stay in the journal."""

_log = structlog.get_logger(__name__)


class Upkeep:
    """Looks around at every beat."""

    def __init__(
        self,
        store: Store,
        pump: Pump,
        clock: Clock,
        threads: Threads,
        rows: InboxRows,
        wakeups: Wakeups,
        scheduler: Scheduler,
        outage: StoreOutage,
        ready: Callable[[], bool],
    ) -> None:
        """Look at each of these; at threads not before ``ready()`` says that all are taken over."""
        self._store = store
        self._pump = pump
        self._clock = clock
        self._threads = threads
        self._rows = rows
        self._wakeups = wakeups
        self._scheduler = scheduler
        self._outage = outage
        self._ready = ready
        self._prune_at_ms = 0
        self._log_grows = False
        self._adjusting: list[asyncio.Future[Reply]] = []

    def seen_ms(self) -> int:
        """Return what a sign of life says of now, in the time that every thread counts in.

        It is 0, no moment, while a thread has yet to be told durably that the clock was set: an
        engine after this one would charge it for the step.
        """
        self._adjusting = [each for each in self._adjusting if not each.done()]
        return 0 if self._adjusting else self._clock.now_ms()

    def look(self) -> None:
        """Notice a clock that was set, a log that grows, a file that was replaced.

        Raises `StoreError` where the store cannot be read.
        """
        # Not before every thread was taken over: what is said to a thread while its last run
        # still goes on somewhere would be decided as if that was over.
        if self._ready():
            self._look()
        if self._outage.present is None:
            # For the last words of the next time, once there is room again.
            self._store.restore_reserve()

    def _look(self) -> None:
        step_ms = self._clock.step_ms()
        if step_ms:
            self._adopt(step_ms)
        self._rows.take()
        self._scheduler.retry_unserved()
        self._prune()

    def _adopt(self, step_ms: int) -> None:
        # Its last sign is in the time before the step: until the next one it has given none.
        owner = self._store.owner.current()
        self._store.owner.heartbeat(uptime_ms=self._clock.uptime_ms())
        if owner is not None and owner.resting:
            self._store.owner.rest()
        _log.warning("the wall clock was set", by_ms=step_ms)
        self._clock.adopt(step_ms)
        adjusted = e.ClockAdjusted(by_ms=step_ms)
        for thread_id in sorted({*self._threads.ids(), *self._wakeups.threads()}):
            session = self._threads.readable(thread_id)
            if session is not None and _is_timed(session):
                taken = self._threads.take(thread_id, Envelope(adjusted), first=True)
                self._adjusting.append(taken)
        self._wakeups.again()

    def _prune(self) -> None:
        """Forget now and then what is done and old; say once that the log cannot be shortened."""
        now_ms = self._clock.now_ms()
        if now_ms >= self._prune_at_ms:
            self._prune_at_ms = now_ms + PRUNE_EVERY_MS
            pruned = self._store.prune(before_ms=now_ms - KEEP_DONE_MS)
            if pruned:
                _log.info("old rows were deleted", rows=pruned)
        error = self._pump.checkpoint_error
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
