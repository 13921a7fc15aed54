"""Drive one thread until its goal leaves active: here, or by following the engine that owns it."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
import uuid
from typing import TYPE_CHECKING, Final

from goalfsm.cli import asking, exits, programs
from goalfsm.cli.hosting import NOTICE_S, engine_on
from goalfsm.cli.places import speak
from goalfsm.cli.reading import notice_of, now_ms
from goalfsm.daemon.flow.notices import Ended, Settled, StatusChanged
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.daemon.remote import client
from goalfsm.daemon.remote.client import NoEngine
from goalfsm.daemon.signals import stopping_on_signals
from goalfsm.errors import DatabaseReplaced, GoalError, NoDatabase
from goalfsm.goal.model import ACTIVE, BLOCKED, COMPLETE, PAUSED
from goalfsm.session.events import ObjectiveGiven, ResumeRequested
from goalfsm.store.sqlite import SqliteStore
from goalfsm.views.status import project

if TYPE_CHECKING:
    from pathlib import Path

    from goalfsm.cli.places import Place
    from goalfsm.cli.watching import View
    from goalfsm.daemon.config import WorkerConfig
    from goalfsm.daemon.engine import Engine
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply, Session
    from goalfsm.store.port import Owner, Store, Stored
    from goalfsm.views.status import Status

_ATTEMPTS: Final = 40
_PAUSE_S: Final = 0.25


class Drive:
    """One ``run``: what it asks for, once, however often the engine changes meanwhile."""

    def __init__(
        self,
        place: Place,
        view: View,
        objective: ObjectiveGiven | None,
        worker: WorkerConfig | None,
    ) -> None:
        """Give the thread ``objective``, or take its goal up where there is none."""
        self._place = place
        self._view = view
        self._objective = objective
        self._worker = worker
        self._event_id = uuid.uuid4().hex
        self._begun = False
        self._asked = ""

    def carry_out(self) -> int:
        """Drive the thread to where its goal stops; return the exit status.

        Raises GoalError where it is refused; then nothing was written.
        """
        reachable = True
        for _ in range(_ATTEMPTS):
            owner = self._owner() if reachable else None
            try:
                status = asyncio.run(self._host()) if owner is None else self._follow(owner)
            except Owned:
                # Somebody took it meanwhile, or is about to answer: follow them.
                reachable = True
                time.sleep(_PAUSE_S)
            except NoEngine:
                if self._begun:
                    self._view.say("the engine that was followed is gone; going on here")
                reachable = False
            else:
                return self._finish(status)
        raise NoEngine(
            "another process holds the database, but does not answer",
            hint="goalfsm doctor names it",
        )

    def _owner(self) -> Owner | None:
        """Return the engine that can be followed, None where there is none."""
        with contextlib.suppress(NoDatabase):
            owner = client.serving(self._place.db)
            # A command that owns the database for a moment has no socket.
            return owner if owner is not None and owner.socket else None
        return None

    def _finish(self, status: Status | None) -> int:
        if status is None:
            return exits.INTERRUPTED
        goal = status.goal
        self._view.close(status, speak(status.hint, self._place))
        if goal is None:
            return exits.ATTENTION
        return exits.of_goal(goal.status, goal.pause_reason)

    # Here.

    async def _host(self) -> Status | None:
        """Own the database and drive; None when a signal ended it."""
        try:
            store = SqliteStore.open(self._place.db, create=not self._begun)
        except NoDatabase as error:
            # What was followed before and is gone now is not begun again as an empty one.
            raise DatabaseReplaced(error.message) from None
        try:
            before = store.sessions.load(self._place.thread_id)
            engine, notifier = engine_on(store, self._place.db)
            async with engine:
                with stopping_on_signals(engine):
                    last = await self._watch(store, engine, before)
                await notifier.sent(NOTICE_S)
                return last
        finally:
            store.close()

    async def _watch(self, store: Store, engine: Engine, before: Stored | None) -> Status | None:
        thread_id = self._place.thread_id
        async with contextlib.aclosing(engine.follow(thread_id)) as notices:
            first = await anext(notices)
            if before is not None:
                self._catch_up(store, before)
            self._view.show(first)
            event = self._opening(engine.session(thread_id))
            program = programs.stored_by_engine(store.workers, *self._program())
            async with program:
                if event is not None:
                    self._check(await engine.submit(thread_id, event, self._event_id))
            self._begun = True
            if event is None and is_over(now := engine.status(thread_id)):
                return now
            async for notice in notices:
                self._view.show(notice)
                if isinstance(notice, Ended):
                    self._ended(notice)
                    return None
                # What a notice says may be older than what was asked for.
                if isinstance(notice, Settled):
                    if is_over(now := engine.status(thread_id)):
                        return now
                    self._tell_who_is_asked(now)
        return None

    def _catch_up(self, store: Store, before: Stored) -> None:
        """Show what the engine did when it took over, before anybody could follow it."""
        thread_id = before.thread_id
        stood = project(asking.session_of(before), now_ms(), thread_id=thread_id)
        self._view.show(StatusChanged(thread_id=thread_id, status=stood))
        for row in store.journal.read(thread_id, after=before.revision):
            self._view.show(notice_of(row))

    def _ended(self, notice: Ended) -> None:
        if notice.reason != "stopped":
            raise GoalError(
                notice.message or "the engine failed",
                code=notice.reason,
                hint="goalfsm run goes on, or follows the engine that took over",
            )
        again = shlex.join(("goalfsm", "run", *self._place.options()))
        self._view.say(f"stopped; the goal stays as it is, and `{again}` goes on")

    # By following.

    def _follow(self, owner: Owner) -> Status | None:
        """Hand the thread to the engine that owns the database, and watch; None on Ctrl-C."""
        thread_id, db = self._place.thread_id, self._place.db
        pid = owner.identity.pid
        notices = client.follow(db, thread_id)
        try:
            first = next(notices)
            self._view.show(first)
            begun = self._begin_there()
            if not begun and isinstance(first, StatusChanged) and is_over(first.status):
                return first.status
            self._view.say(f"process {pid} serves this database; following it")
            for notice in notices:
                self._view.show(notice)
                if isinstance(notice, Ended):
                    raise NoEngine("the engine has ended")
                if isinstance(notice, Settled):
                    if is_over(now := client.status(db, thread_id)):
                        return now
                    self._tell_who_is_asked(now)
        except KeyboardInterrupt:
            self._view.say(f"stopped following; process {pid} goes on with the goal")
            return None
        raise NoEngine("the engine hung up")

    def _begin_there(self) -> bool:
        """Ask the engine to begin; False where nothing has to be asked."""
        place = self._place
        store = SqliteStore.open(place.db)
        try:
            stored = store.sessions.load(place.thread_id)
            event = self._opening(None if stored is None else asking.session_of(stored))
            with programs.stored(store.workers, *self._program()):
                if event is not None:
                    self._check(client.request(place.db, place.thread_id, event, self._event_id))
        finally:
            store.close()
        self._begun = True
        return event is not None

    # Both.

    def _tell_who_is_asked(self, status: Status) -> None:
        """Say, once for each time, which command the goal is waiting for."""
        asked = speak(status.hint, self._place)
        if asked and asked != self._asked:
            self._view.say(f"this waits for you: {asked}")
        self._asked = asked

    def _program(self) -> tuple[str, bytes | None, Path]:
        """Return the worker to be stored with what is asked, none the second time, and where."""
        config = None if self._worker is None or self._begun else self._worker.encode()
        return self._place.thread_id, config, self._place.db.parent

    def _opening(self, session: Session | None) -> Event | None:
        """Return what gives a goal or takes it up, once; raise where that is refused."""
        if self._begun:
            return None
        goal = None if session is None else session.goal
        if self._objective is not None:
            if goal is not None and goal.status != COMPLETE and not self._objective.replace:
                raise asking.busy(self._place)
            return self._objective
        if session is None:
            raise asking.unknown_thread(self._place)
        if goal is None:
            raise asking.no_goal(self._place)
        return ResumeRequested() if goal.status in {PAUSED, BLOCKED} else None

    def _check(self, reply: Reply) -> None:
        if not reply.ok:
            raise asking.refusal(self._place, reply)
        if reply.code == "recorded":
            self._view.say(reply.message)


def is_over(status: Status) -> bool:
    """Tell whether a goal has left active, and its last turn has ended."""
    goal = status.goal
    return goal is None or (goal.status != ACTIVE and status.run is None)
