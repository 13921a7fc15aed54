"""What an engine does with that which becomes of a decision, and when threads are looked at again.

Every part that follows a decision is made with the threads, and these with what follows: so the
aftermath is made first, and told once who follows, before anything is decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.errors import StoreClosed
from goalfsm.session.work import queued

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from goalfsm.daemon.flow.ports import Landed, Stage, Undecided
    from goalfsm.daemon.flow.threads import Holds, Threads
    from goalfsm.daemon.guards.failures import Quarantine, StoreOutage
    from goalfsm.daemon.guards.ownership import Heartbeat
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.daemon.stages.effects import Effects
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.scheduler import Quiescence, Scheduler
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.errors import StoreError
    from goalfsm.store.pump import Pump


class EngineAftermath:
    """`goalfsm.daemon.flow.ports.Aftermath` of an engine that owns its store."""

    def __init__(
        self,
        pump: Pump,
        clock: Clock,
        over: asyncio.Event,
        ended_by: Callable[[], StoreError | None],
    ) -> None:
        """Mark what is done by ``pump`` at the time of ``clock``, until the engine is ``over``.

        ``ended_by`` returns what has ended it where that was a failure.
        """
        self._pump = pump
        self._clock = clock
        self._over = over
        self._ended_by = ended_by

    def follow_by(
        self,
        threads: Threads,
        holds: Holds,
        runs: LiveRuns,
        effects: Effects,
        subscriptions: Subscriptions,
        scheduler: Scheduler,
        quiescence: Quiescence,
        outage: StoreOutage,
        quarantine: Quarantine,
        heartbeat: Heartbeat,
        stages: Sequence[Stage],
    ) -> None:
        """Have ``stages`` follow, in their order; said once, before the first decision."""
        self._threads = threads
        self._holds = holds
        self._runs = runs
        self._effects = effects
        self._subscriptions = subscriptions
        self._scheduler = scheduler
        self._quiescence = quiescence
        self._outage = outage
        self._quarantine = quarantine
        self._heartbeat = heartbeat
        self._stages = stages

    # What becomes of a decision.

    def landed(self, landed: Landed) -> None:
        """Have every stage follow what is durable."""
        if self._outage.retrying:
            self._outage.past(landed.thread_id)
        for stage in self._stages:
            stage.committed(landed)
        if self._heartbeat.resting:
            self._heartbeat.stir()

    def stuck(self, thread_id: str | None, error: StoreError) -> None:
        """Deal with a store that cannot read or commit."""
        self._outage.met(thread_id, error)
        if self._heartbeat.resting:
            self._heartbeat.stir()

    def unread(self, error: StoreError) -> None:
        """Deal with a store that failed, whatever thread it failed for."""
        self.stuck(None, error)

    def failed(self, thread_id: str, error: Exception, undecided: Undecided | None = None) -> None:
        """Deal with a fault."""
        self._quarantine.met(thread_id, error, undecided)

    def quiet(self, thread_id: str) -> None:
        """Take note that a thread has nothing more to decide."""
        if self._outage.retrying:  # also where the store had nothing to commit
            self._outage.past(thread_id)
        self._quiescence.look(thread_id)
        self._threads.quiet(thread_id)

    def is_needed(self, thread_id: str) -> bool:
        """Tell whether a quiet thread has to stay in memory."""
        session = self._threads.known(thread_id)
        return bool(
            (session is not None and queued(session) is not None)
            # A clock that was set is told to it, and that the engine stops: its time counts.
            or (session is not None and session.clock.last_ms is not None)
            or self._effects.any_open(thread_id)
            or self._holds.of(thread_id)
            or thread_id in self._runs
            or self._subscriptions.has(thread_id)
            or self._quiescence.is_watched(thread_id)
        )

    # What becomes of effects and runs.

    def mark(self, key: str) -> None:
        """Record that the effect of ``key`` is done."""
        if not self._over.is_set():
            self._pump.mark_done(key, at_ms=self._clock.now_ms())

    def rested(self, thread_id: str) -> None:
        """Look whether a thread has come to rest, of which something was done."""
        self._quiescence.look(thread_id)

    def run_over(self, thread_id: str, run_id: str) -> None:
        """Forget a run whose end is recorded, and look for the next one."""
        self._runs.remove(thread_id, run_id)
        self._quarantine.run_over(thread_id)
        self.consider(thread_id)

    # What a turn has to wait for.

    def consider(self, thread_id: str) -> None:
        """Look whether a turn of the thread may start, or the thread has come to rest."""
        self._scheduler.consider(thread_id)
        self._quiescence.look(thread_id)

    def held(self, thread_id: str | None, held: bool) -> None:  # noqa: FBT001  as `Holds` says it
        """Follow a reason that came up, or went, against turns of a thread or of all of them."""
        if thread_id is None:
            if not held:
                self._scheduler.consider_all()
        elif held:
            self._scheduler.consider(thread_id)
        else:
            self.consider(thread_id)

    def is_stopped(self, thread_id: str) -> bool:
        """Tell whether a person was told that no turn follows, which cannot be recorded now."""
        return bool(self.suspended()) and self._holds.stopped(thread_id)

    def check_open(self) -> None:
        """Raise what has ended the engine."""
        if self._over.is_set():
            stopped = StoreClosed("the engine has stopped", hint="Start it again.")
            raise self._ended_by() or stopped

    def suspended(self) -> str:
        """Return the code of what keeps the store from committing, "" of nothing."""
        return "" if self._outage.present is None else self._outage.present.code
