"""What a node does after a decision of its own, and after those of others that it hears of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from goalfsm.cluster.jobs import RUN_EFFECTS
from goalfsm.daemon.flow.decide import failure_of, reopened
from goalfsm.session.effects import LOCAL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from goalfsm.cluster.chores import Chores
    from goalfsm.cluster.threads import ClusterThreads
    from goalfsm.daemon.flow.ports import Landed, Stage, Undecided
    from goalfsm.daemon.stages.effects import Effects
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.errors import StoreError
    from goalfsm.store.rows import OpenEffect

_log = structlog.get_logger(__name__)


class NodeAftermath:
    """`goalfsm.daemon.flow.ports.Aftermath` of a node: it does what is to be done to its runs."""

    def __init__(
        self,
        runs: LiveRuns,
        subscriptions: Subscriptions,
        *,
        mail: Callable[[str], Awaitable[list[OpenEffect]]],
        on_fault: Callable[[str, Exception], None] | None,
    ) -> None:
        """Follow what concerns ``runs``; ``mail(thread_id)`` is what waits for a thread's run."""
        self._runs = runs
        self._subscriptions = subscriptions
        self._mail = mail
        self._on_fault = on_fault
        self._troubles: set[str] = set()
        self._mailed: dict[str, set[str]] = {}
        """What was begun of the mail of each thread that has a run here."""

    def follow_by(
        self,
        threads: ClusterThreads,
        effects: Effects,
        chores: Chores,
        stages: Sequence[Stage],
    ) -> None:
        """Have ``stages`` follow, in their order; said once, before the first decision."""
        self._threads = threads
        self._effects = effects
        self._chores = chores
        self._stages = tuple(stages)

    # Own decisions.

    def landed(self, landed: Landed) -> None:
        """Have every stage follow what is durable; jobs are done by whoever gets them."""
        self._troubles.clear()
        # What is to be done to a run is done by the node that has it, and by no other: also where
        # its end could not be decided, and nothing of it is left but that it is open.
        kinds = (*RUN_EFFECTS, *LOCAL) if self._has_run(landed.thread_id) else LOCAL
        here = tuple(
            each._replace(outbox=tuple(t for t in each.outbox if isinstance(t.effect, kinds)))
            for each in landed.decided
        )
        for each in here:
            for task in each.outbox:
                self._mailed.setdefault(landed.thread_id, set()).add(task.key)
        followed = landed._replace(decided=here)
        for stage in self._stages:
            stage.committed(followed)

    def _has_run(self, thread_id: str) -> bool:
        return thread_id in self._runs or self._threads.has_run(thread_id)

    def stuck(self, thread_id: str | None, error: StoreError) -> None:
        """Take note of a database that cannot be reached; what is to be kept is tried again.

        Every thread tries, and again and again: each reason is told once, until something lands.
        """
        told = _log.debug if error.message in self._troubles else _log.warning
        self._troubles.add(error.message)
        told("the database cannot be reached", thread_id=thread_id, error=error.message)

    def failed(self, thread_id: str, error: Exception, undecided: Undecided | None = None) -> None:
        """Stop a thread that met a fault until a person takes it up again."""
        _log.error("a thread met a fault", thread_id=thread_id, exc_info=error)
        if undecided is not None and undecided.only_asked:
            return
        if self._on_fault is not None:
            self._on_fault(thread_id, error)
        self._threads.fault(thread_id, failure_of(undecided, error))

    def quiet(self, thread_id: str) -> None:
        """Take note that nothing of a thread waits to be decided here."""

    def is_needed(self, thread_id: str) -> bool:
        """Tell whether a quiet thread has something going on here."""
        return (
            self._has_run(thread_id)
            or self._chores.has(thread_id)
            or self._subscriptions.has(thread_id)
        )

    def run_over(self, thread_id: str, run_id: str) -> None:
        """Forget a run whose end is recorded."""
        self._runs.remove(thread_id, run_id)
        if thread_id not in self._runs:
            self._mailed.pop(thread_id, None)

    # What others have decided.

    def going_on(self) -> set[str]:
        """Return the threads of which something goes on here, or is followed."""
        return {
            *(run.thread_id for run in list(self._runs.values())),
            *self._threads.open_runs(),
            *self._chores.going_on(),
            *self._subscriptions.threads(),
        }

    async def look(self, thread_id: str) -> None:
        """Follow what others have decided about a thread: end, steer or wind its run down."""
        await self._threads.refresh(thread_id)
        if not self._has_run(thread_id):
            return
        mailed = self._mailed.setdefault(thread_id, set())
        for row in await self._mail(thread_id):
            if row.key not in mailed and self._has_run(thread_id):
                mailed.add(row.key)
                self._effects.take_over(reopened(row))
