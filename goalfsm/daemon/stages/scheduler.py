"""Which thread runs next: first come, first served, and never more at once than allowed."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.flow.beginnings import (
    Intent,
    begun,
    intent_for,
    is_owed,
    is_wanted,
)
from goalfsm.daemon.flow.decide import is_continuation
from goalfsm.errors import GoalError
from goalfsm.session.effects import SendWork

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.config import Assignment
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.flow.scripts import Said
    from goalfsm.daemon.hub import Hub
    from goalfsm.session.state import Session, Step

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

    def has(self, thread_id: str) -> bool:
        """Tell whether the thread has a place."""
        return thread_id in self._taken

    def asks(self, thread_id: str) -> bool:
        """Tell whether the thread queues for a place."""
        return thread_id in self._asked

    @property
    def waiting(self) -> int:
        """Return how many threads queue for a place."""
        return len(self._asked)

    @property
    def taken(self) -> int:
        """Return how many places are taken."""
        return len(self._taken)

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


class Dispatcher:
    """Turns queued goal work into runs."""

    def __init__(self, engine: Hub, max_runs: int) -> None:
        """Dispatch for ``engine``, at most ``max_runs`` at once."""
        self._engine = engine
        self.slots = Slots(max_runs, self._granted)
        self.paused: set[str] = set()
        """Why nothing may be dispatched at all: shutting down, a full disk."""
        self.unserved: dict[str, bytes | None] = {}
        """Threads with work that nobody can run, and what was stored as their worker."""
        self._dispatching: set[str] = set()
        self._assigned: dict[str, tuple[str, Assignment]] = {}

    def pause(self, why: str) -> None:
        """Dispatch nothing until `resume` is called with the same reason."""
        self.paused.add(why)

    def resume(self, why: str) -> None:
        """Dispatch again, when no other reason is against it."""
        self.paused.discard(why)
        if not self.paused:
            for actor in self._engine.actors():
                self.consider(actor)

    def consider(self, actor: Actor) -> None:
        """Queue the thread for a place when it has work to run; call it after every change.

        A place that is not needed any more is given back.
        """
        thread_id = actor.thread_id
        needed = actor.session.run is not None or self._engine.is_live(thread_id)
        if thread_id not in self._dispatching and not needed:
            self.slots.release(thread_id)
        self._forget_unwanted(actor)
        if self._may(actor):
            self.slots.ask(thread_id)
        else:
            self.slots.withdraw(thread_id)

    def retry_unserved(self) -> None:
        """Look again for workers: somebody may have stored one."""
        for thread_id, stored in list(self.unserved.items()):
            if self._engine.has_other_worker(thread_id, stored):
                del self.unserved[thread_id]
                self.consider(self._engine.actor(thread_id))

    def _forget_unwanted(self, actor: Actor) -> None:
        """Drop queued work that the thread does not wait for any more."""
        session = actor.session
        for work, fits in ((actor.continuation, is_wanted), (actor.wind_down, is_owed)):
            if (
                work is not None
                and isinstance(work.effect, SendWork)
                and not fits(session, work.effect.goal_id)
            ):
                self._engine.mark_done(actor, work.key)

    def _may(self, actor: Actor) -> bool:
        session = actor.session
        return (
            not self.paused
            and not actor.suspended
            and not actor.left
            and session.host.idle
            and session.run is None
            and not session.stopping
            and (actor.continuation is not None or actor.wind_down is not None)
            and actor.thread_id not in self.unserved
        )

    def _granted(self, thread_id: str) -> None:
        actor = self._engine.known(thread_id)
        if actor is None or not self._may(actor):
            self.slots.release(thread_id)
            return
        self._dispatching.add(thread_id)
        self._engine.spawn(self._dispatch(actor), f"dispatch {thread_id}")

    async def _dispatch(self, actor: Actor) -> None:
        """Dispatch one run, or find that there is none to dispatch."""
        try:
            await self._try(actor)
        finally:
            # Where a run was opened, its end gives the place back.
            self._dispatching.discard(actor.thread_id)
            self._engine.reconsider(actor)

    async def _try(self, actor: Actor) -> None:
        wind_down = actor.wind_down is not None
        work = actor.wind_down or actor.continuation
        if work is None or not isinstance(work.effect, SendWork):
            return
        goal_id = work.effect.goal_id
        assignment = await self._assignment(actor)
        if assignment is None:
            return
        intent = self._intend(actor, assignment, goal_id, wind_down=wind_down)

        def script(session: Session) -> Generator[Said, Step, None]:
            current = actor.wind_down if wind_down else actor.continuation
            fits = (is_owed if wind_down else is_wanted)(session, goal_id)
            if current is work and fits and self._may_begin(actor, session):
                yield from begun(intent, done=(work.key,))

        await actor.post(script)

    def follow_on(
        self, actor: Actor, assignment: Assignment, step: Step
    ) -> Generator[Said, Step, None]:
        """Yield the dispatch of the turn that ``step``, the end of the last one, asks for.

        So the end and the next beginning are one commit. Only where nobody else waits for the
        place, or has something to say first; otherwise the turn is dispatched as any other.
        """
        session = step.session
        work = next((effect for effect in step.effects if is_continuation(effect)), None)
        if (
            not isinstance(work, SendWork)
            or actor.waiting
            or actor.wind_down is not None
            or self.slots.waiting
            or not self._may_begin(actor, session)
            or not self._engine.is_current(actor.thread_id, assignment)
        ):
            return
        intent = self._intend(actor, assignment, work.goal_id)
        yield from begun(intent, takes=(work,))

    def _intend(
        self, actor: Actor, assignment: Assignment, goal_id: str, *, wind_down: bool = False
    ) -> Intent:
        world = self._engine.world
        intent = intent_for(
            assignment.worker,
            goal_id,
            run_id=world.new_id(),
            token=world.token(),
            wind_down=wind_down,
        )
        self._assigned[actor.thread_id] = (intent.run_id, assignment)
        return intent

    def take_assignment(self, thread_id: str, run_id: str) -> Assignment | None:
        """Return who runs a run that was dispatched here and has not been started, once."""
        intended, assignment = self._assigned.get(thread_id, ("", None))
        if intended != run_id:
            return None
        del self._assigned[thread_id]
        return assignment

    async def _assignment(self, actor: Actor) -> Assignment | None:
        thread_id = actor.thread_id
        try:
            assignment = await self._engine.assignment(thread_id)
        except GoalError as error:
            # What may pass by itself is tried again at the next beat.
            passes = error.code == "supervisor_unavailable"
            stored = self._engine.store.workers.get(thread_id)
            self.unserved[thread_id] = b"" if passes else stored
            self._engine.problem(thread_id, error.code, error.message, error.hint)
            return None
        if assignment is None:
            self.unserved[thread_id] = None
            self._engine.problem(
                thread_id,
                "no_worker",
                "nobody said which program works on this thread",
                "goalfsm run --thread NAME -- PROGRAM ARGS",
            )
        return assignment

    def _may_begin(self, actor: Actor, session: Session) -> bool:
        return (
            session.host.idle
            and session.run is None
            and not session.stopping
            and not actor.suspended
            and not self.paused
        )
