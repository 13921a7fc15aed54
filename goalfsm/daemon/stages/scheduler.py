"""Which thread runs next, first come, first served; and when nothing more follows by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.errors import GoalError, StoreError
from goalfsm.goal.model import ACTIVE
from goalfsm.session.state import program_of
from goalfsm.session.work import can_begin, queued, route

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.config import Assignment, Workers
    from goalfsm.daemon.flow.ports import Events, Landed, Report, Sessions, Spawn
    from goalfsm.daemon.flow.threads import Holds, Threads
    from goalfsm.daemon.stages.effects import Effects, Wakeups
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.run_control import Dispatches
    from goalfsm.daemon.stages.subscriptions import Subscriptions
    from goalfsm.session.state import Session


MAX_RUNS: Final = 8
"""How many runs go on at once unless the embedder says otherwise."""


class Slots:
    """So many places for runs, given in the order in which threads asked for one.

    A thread whose turn has ended asks again behind all who wait, so nobody starves.
    """

    def __init__(self, size: int, grant: Callable[[str], None]) -> None:
        """Offer ``size`` places; ``grant(thread_id)`` is called for each that is given."""
        self._size = size
        self._grant = grant
        self._asked: dict[str, None] = {}
        self._taken: set[str] = set()
        self._granting = False

    def ask(self, thread_id: str) -> None:
        """Queue for a place, once; a thread that has one gets none beside it."""
        if thread_id not in self._taken:
            self._asked.setdefault(thread_id)
            self._give()

    def withdraw(self, thread_id: str) -> None:
        """Leave the queue."""
        self._asked.pop(thread_id, None)

    def release(self, thread_id: str) -> None:
        """Give a place back; one that was not taken is no error."""
        self._taken.discard(thread_id)
        self._give()

    @property
    def waiting(self) -> int:
        """Return how many threads queue for a place."""
        return len(self._asked)

    def _give(self) -> None:
        # A grant may release or ask again; the loop then goes on here, not inside it.
        if self._granting:
            return
        self._granting = True
        try:
            while self._asked and len(self._taken) < self._size:
                thread_id = next(iter(self._asked))
                del self._asked[thread_id]
                self._taken.add(thread_id)
                self._grant(thread_id)
        finally:
            self._granting = False


class Scheduler:
    """Turns the turns that threads wait for into runs."""

    def __init__(
        self,
        threads: Threads,
        holds: Holds,
        runs: LiveRuns,
        workers: Workers,
        dispatches: Dispatches,
        spawn: Spawn,
        *,
        report: Report,
        stuck: Callable[[StoreError], None],
        considered: Callable[[str], None],
        max_runs: int,
    ) -> None:
        """Dispatch at most ``max_runs`` at once, of threads that nothing in ``holds`` is against.

        ``stuck`` is told of a store that cannot be read, ``considered`` of a thread whose dispatch
        is over, with a run or without.
        """
        self._threads = threads
        self._holds = holds
        self._runs = runs
        self._workers = workers
        self._dispatches = dispatches
        self._spawn = spawn
        self._report = report
        self._stuck = stuck
        self._considered = considered
        self.slots = Slots(max_runs, self._granted)
        self._unserved: dict[str, bytes | None] = {}
        """Threads with work that nobody can run, and what was stored as their worker."""
        self._dispatching: set[str] = set()

    def committed(self, landed: Landed) -> None:
        """See whether a turn may start now, or has to be wound down."""
        live = self._runs.get(landed.thread_id)
        if live is not None:
            live.wind_down(landed.session)
        self.consider(landed.thread_id)

    def consider(self, thread_id: str) -> None:
        """Queue the thread for a place when a turn waits that may start; call it after each change.

        A place that is not needed any more is given back.
        """
        session = self._threads.known(thread_id)
        needed = (session is not None and session.run is not None) or thread_id in self._runs
        if thread_id not in self._dispatching and not needed:
            self.slots.release(thread_id)
        if session is not None and self._may(thread_id, session):
            self.slots.ask(thread_id)
        else:
            self.slots.withdraw(thread_id)

    def consider_all(self) -> None:
        """Look at every thread in memory."""
        for thread_id in self._threads.ids():
            self.consider(thread_id)

    def is_unserved(self, thread_id: str) -> bool:
        """Tell whether nobody can run the turn that the thread waits for."""
        return thread_id in self._unserved

    def retry_unserved(self) -> None:
        """Look again for workers: somebody may have stored one. Raises `StoreError`."""
        for thread_id, stored in list(self._unserved.items()):
            if self._workers.has_other(thread_id, stored):
                self._threads.open(thread_id)
                del self._unserved[thread_id]
                self.consider(thread_id)

    def follow_on(self, thread_id: str, assignment: Assignment, session: Session) -> Events:
        """Yield the dispatch of the turn that waits in ``session``, which the last one has left.

        So the end and the next beginning are one commit. Only where nobody else waits for the
        place, or has something to say first; otherwise the turn is dispatched as any other.
        """
        work = queued(session)
        if (
            work is None
            or work.wind_down
            or not can_begin(session)
            or self._threads.waiting(thread_id)
            or self.slots.waiting
            or self._holds.stops(thread_id)
            or not self._workers.is_current(thread_id, assignment, program_of(route(session)))
        ):
            return
        yield self._dispatches.intend(thread_id, assignment, work, session)

    def _may(self, thread_id: str, session: Session) -> bool:
        return (
            can_begin(session)
            and queued(session) is not None
            and not self._holds.stops(thread_id)
            and thread_id not in self._unserved
        )

    def _granted(self, thread_id: str) -> None:
        session = self._threads.known(thread_id)
        if session is None or not self._may(thread_id, session):
            self.slots.release(thread_id)
            return
        self._dispatching.add(thread_id)
        self._spawn(self._dispatch(thread_id), f"dispatch {thread_id}")

    async def _dispatch(self, thread_id: str) -> None:
        """Dispatch one run, or find that there is none to dispatch."""
        try:
            await self._try(thread_id)
        except StoreError as error:
            self._stuck(error)
        finally:
            # Where a run was opened, its end gives the place back.
            self._dispatching.discard(thread_id)
            self._considered(thread_id)

    async def _try(self, thread_id: str) -> None:
        known = self._threads.session(thread_id)
        work = queued(known)
        if work is None:
            return
        argv = program_of(route(known))
        assignment = await self._assignment(thread_id, argv)
        if assignment is None:
            return

        def batch(session: Session) -> Events:
            same = queued(session) == work and program_of(route(session)) == argv
            if same and can_begin(session) and not self._holds.stops(thread_id):
                yield self._dispatches.intend(thread_id, assignment, work, session)

        await self._threads.run(thread_id, batch)

    async def _assignment(self, thread_id: str, argv: tuple[str, ...]) -> Assignment | None:
        try:
            assignment = await self._workers.assignment(thread_id, argv)
        except StoreError:
            raise
        except GoalError as error:
            # What may pass by itself is tried again at the next beat.
            passes = error.code == "supervisor_unavailable"
            stored = self._workers.stored(thread_id)
            self._unserved[thread_id] = b"" if passes else stored
            self._report(thread_id, error.code, error.message, error.hint)
            return None
        if assignment is None:
            self._unserved[thread_id] = None
            self._report(
                thread_id,
                "no_worker",
                "nobody said which program works on this thread",
                "goalfsm run --thread NAME -- PROGRAM ARGS",
            )
        return assignment


class Quiescence(msgspec.Struct, eq=False):
    """Answers those who wait for a thread to come to rest.

    Each of these is asked whether it has something going on.
    """

    sessions: Sessions
    effects: Effects
    runs: LiveRuns
    scheduler: Scheduler
    wakeups: Wakeups
    subscriptions: Subscriptions
    _waiting: dict[str, set[asyncio.Future[None]]] = {}
    _told: dict[str, tuple[str, str] | None] = {}
    """Which goal, in which status, a thread was said to have settled with."""

    def committed(self, landed: Landed) -> None:
        """Look whether the thread has come to rest."""
        self.look(landed.thread_id)

    def is_settled(self, thread_id: str, session: Session) -> bool:
        """Tell whether nothing follows by itself: nothing runs, is due or is still to be done.

        A goal that is not active any more has settled even when it resumes by itself one day.
        """
        if (
            self.sessions.busy(thread_id)
            or session.run is not None
            or thread_id in self.runs
            or self.effects.any_open(thread_id)
        ):
            return False
        if queued(session) is not None and not self.scheduler.is_unserved(thread_id):
            return False
        if session.goal is None or session.goal.status != ACTIVE:
            return True
        return self.wakeups.get(thread_id) is None

    def wait(self, thread_id: str, session: Session) -> asyncio.Future[None]:
        """Return a future that is done when the thread has settled."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.is_settled(thread_id, session):
            future.set_result(None)
        else:
            self._waiting.setdefault(thread_id, set()).add(future)
        return future

    def is_watched(self, thread_id: str) -> bool:
        """Tell whether anybody waits for the thread."""
        return thread_id in self._waiting

    def look(self, thread_id: str) -> None:
        """Answer those who wait, and tell followers, when the thread has settled."""
        if thread_id not in self._waiting and not self.subscriptions.has(thread_id):
            self._told.pop(thread_id, None)
            return
        session = self.sessions.known(thread_id)
        if session is None or not self.is_settled(thread_id, session):
            self._told.pop(thread_id, None)
            return
        for future in self._waiting.pop(thread_id, ()):
            if not future.done():
                future.set_result(None)
        # A goal that waited for somebody, and was then stopped, has settled a second time.
        goal = session.goal
        now = None if goal is None else (goal.goal_id, goal.status)
        if thread_id in self._told and self._told[thread_id] == now:
            return
        self._told[thread_id] = now
        self.subscriptions.settled(thread_id, session)

    def forget(self, thread_id: str, future: asyncio.Future[None]) -> None:
        """Take back a wait."""
        waiting = self._waiting.get(thread_id)
        if waiting is not None:
            waiting.discard(future)
            if not waiting:
                del self._waiting[thread_id]

    def fail(self, error: Exception) -> None:
        """Tell everybody that the engine has ended before the thread settled."""
        waiting, self._waiting = self._waiting, {}
        for futures in waiting.values():
            for future in futures:
                if not future.done():
                    future.set_exception(error)
                    future.exception()
