"""Turn jobs: open the thread's run, have it run here, until nothing follows on.

A job says only that the thread may have a turn to begin. Under the thread's lock it shows whether
it has, whether another node has its run, and whether that node still lives: the run of a node that
does not is recorded as interrupted, in one commit with the beginning of the next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from goalfsm.errors import GoalError, StoreError
from goalfsm.session import events as e
from goalfsm.session.state import program_of
from goalfsm.session.work import can_begin, queued, route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from goalfsm.cluster.jobs import Job
    from goalfsm.cluster.threads import ClusterThreads
    from goalfsm.cluster.tx import Holder
    from goalfsm.daemon.config import Assignment, Workers
    from goalfsm.daemon.flow.ports import Events, Landed, Report
    from goalfsm.daemon.flow.threads import Holds
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.run_control import Dispatches
    from goalfsm.session.state import Session

IN_A_ROW: Final = 64
"""How many turns of a thread follow one another without its job being looked for anew."""
LOST: Final = "the node that ran it is gone"
NOT_STARTED: Final = "its worker was not started"

_log = structlog.get_logger(__name__)


class Turns(msgspec.Struct, eq=False):
    """Does turn jobs, and follows commits as far as they concern a running turn.

    Runs are opened while the node's lease is ``alive``, for threads of ``places``.
    ``last_words(thread_id)`` has the prompt know what the turn before said;
    ``end_orphans(node_id, run_id)`` ends what may be left here of another node's run. ``most``
    is how many turns run at once.
    """

    threads: ClusterThreads
    holds: Holds
    runs: LiveRuns
    workers: Workers
    dispatches: Dispatches
    node_id: Callable[[], str | None]
    alive: Callable[[], bool]
    places: Collection[str]
    last_words: Callable[[str], Awaitable[None]]
    end_orphans: Callable[[str, str], Awaitable[None]]
    report: Report
    most: int
    _in_a_row: dict[str, int] = {}
    _wished: set[str] = set()
    """Threads of which it is still to be seen whether a turn may begin."""
    under_way: int = 0
    """How many jobs are being done."""
    somebody_waits: bool = False
    """Whether a turn waited for a place here when that was last looked at."""

    def crowded(self, *, waits: bool) -> None:
        """Take note of whether a turn waits for a place here: its own follow-ons would take it."""
        self.somebody_waits = waits

    def committed(self, landed: Landed) -> None:
        """Have the running turn wind its work down where the goal has come to owe that."""
        live = self.runs.get(landed.thread_id)
        if live is not None:
            live.wind_down(landed.session)

    async def do(self, job: Job) -> None:
        """Do a turn job; return when no turn of the thread runs here any more."""
        thread_id = job.thread_id
        self._wished.add(thread_id)
        if thread_id in self.runs:
            # What follows on a turn may be wished for before that one is over here: who does it
            # looks again.
            return
        self.under_way += 1
        try:
            while thread_id in self._wished:
                self._wished.discard(thread_id)
                self._in_a_row[thread_id] = 0
                if await self._begin(thread_id):
                    while (live := self.runs.get(thread_id)) is not None:
                        await live.wait()
                await self._settle(thread_id)
        finally:
            self.under_way -= 1
            self._in_a_row.pop(thread_id, None)

    def does(self, thread_id: str) -> bool:
        """Tell whether the thread has a place here."""
        return thread_id in self._in_a_row

    def follow_on(self, thread_id: str, assignment: Assignment, session: Session) -> Events:
        """Yield the dispatch of the turn that waits in ``session``, which the last one has left.

        So the end and the next beginning are one commit: so many in a row, and only while nobody
        waits for the place. Otherwise the turn is a job as any other.
        """
        work = queued(session)
        in_a_row = self._in_a_row.get(thread_id, 0)
        if (
            work is None
            or work.wind_down
            or not can_begin(session)
            or not self._may(thread_id)
            or self.threads.waiting(thread_id)
            or in_a_row >= IN_A_ROW
            or (self.somebody_waits and self.under_way >= self.most)
            or not self.workers.is_current(thread_id, assignment, program_of(route(session)))
        ):
            return
        self._in_a_row[thread_id] = in_a_row + 1
        yield self.dispatches.intend(thread_id, assignment, work, session)

    def _serves(self, thread_id: str) -> bool:
        program = self.threads.program(thread_id)
        return program is None or program.place in self.places

    async def _begin(self, thread_id: str) -> bool:
        """Open a run where one is due; return whether it was opened here."""
        loaded, session = await self.threads.look(thread_id)
        if not self._is_due(thread_id, session, loaded.holder) or not self._may(thread_id):
            return False
        assignment = await self._assignment(thread_id, program_of(route(session)))
        run = session.run
        if run is None and assignment is None:
            return False
        await self.last_words(thread_id)
        if run is not None and loaded.holder is not None:
            _log.warning(
                "a run is taken over", thread_id=thread_id, run_id=run.run_id, turn=run.turn
            )
            await self.end_orphans(loaded.holder.node_id, run.run_id)

        def batch(session: Session) -> Events:
            now = self.threads.loaded(thread_id)
            holder = None if now is None else now.holder
            if not self._is_due(thread_id, session, holder):
                return
            if session.run is not None:
                ready = yield e.RunInterrupted(
                    run_id=session.run.run_id,
                    turn=session.run.turn,
                    detail=LOST,
                    ended_ms=None if holder is None else holder.seen_ms or None,
                )
                session = ready.state
            work = queued(session)
            if (
                assignment is not None
                and work is not None
                and can_begin(session)
                and self._may(thread_id)
                and self.workers.is_current(thread_id, assignment, program_of(route(session)))
            ):
                yield self.dispatches.intend(thread_id, assignment, work, session)

        await self.threads.run(thread_id, batch)
        return thread_id in self.runs

    async def _settle(self, thread_id: str) -> None:
        """Close a run that was opened here and whose worker could not be started."""
        session = self.threads.known(thread_id)
        if session is None or session.run is None or not self.alive():
            return

        def batch(session: Session) -> Events:
            now = self.threads.loaded(thread_id)
            holder = None if now is None else now.holder
            mine = holder is not None and holder.node_id == self.node_id()
            if session.run is not None and mine and thread_id not in self.runs:
                yield e.RunInterrupted(run_id=session.run.run_id, detail=NOT_STARTED)

        await self.threads.run(thread_id, batch)

    def _is_due(self, thread_id: str, session: Session, holder: Holder | None) -> bool:
        """Tell whether a turn may begin, or there is a run that nobody has."""
        if session.run is not None:
            return self._is_left(thread_id, holder)
        return queued(session) is not None and can_begin(session)

    def _may(self, thread_id: str) -> bool:
        return self.alive() and self._serves(thread_id) and not self.holds.stops(thread_id)

    def _is_left(self, thread_id: str, holder: Holder | None) -> bool:
        """Tell whether nobody has the thread's open run: its node is gone, or never started it."""
        if holder is None or not holder.alive:
            return True
        return holder.node_id == self.node_id() and thread_id not in self.runs

    async def _assignment(self, thread_id: str, argv: tuple[str, ...]) -> Assignment | None:
        try:
            return await self.workers.assignment(thread_id, argv)
        except StoreError:
            raise
        except GoalError as error:
            self.report(thread_id, error.code, error.message, error.hint)
            return None
