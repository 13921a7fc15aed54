"""How a thread stands, as people see it: from an engine that is asked, else from its database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from goalfsm.daemon.host.records import written
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.reading import asked_driver, own_driver, with_program
from goalfsm.errors import GoalError, StoreError
from goalfsm.session import codec
from goalfsm.views.activity import suspended_by
from goalfsm.views.chip import chip
from goalfsm.views.rows import status_lines
from goalfsm.views.status import project

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.flow.threads import Holds, Threads
    from goalfsm.daemon.host.platform import Clock
    from goalfsm.session.state import Run, Session
    from goalfsm.store.port import Store
    from goalfsm.store.reading import Reading
    from goalfsm.views.parts import Driver
    from goalfsm.views.status import Status


def seen_in(store: Reading, thread_id: str, *, deadline: float) -> wire.Seen | None:
    """Return what people see of a thread in a database; None where there is no such thread.

    Who drives it is asked whether it works, until ``deadline`` (monotonic seconds).
    """
    stored = store.sessions.load(thread_id)
    if stored is None:
        return None
    session, now_ms = codec.decode(stored.state), time.time_ns() // 1_000_000
    driver = asked_driver(store, thread_id, deadline=deadline)
    return _seen(session, now_ms, thread_id, driver, store)


class EngineView(msgspec.Struct, eq=False):
    """What others see of this process's engine.

    It looks at no thread before ``ready()``: an earlier engine's runs may go on.
    ``suspended()`` is the code of what keeps the store from committing, "" of nothing.
    """

    threads: Threads
    store: Store
    holds: Holds
    clock: Clock
    suspended: Callable[[], str]
    ready: Callable[[], bool]
    brings_workers: bool
    """Whether no program need be stored for a thread."""

    def told(self, thread_id: str) -> str:
        """Return in words what keeps turns of the thread from starting."""
        return suspended_by(self.suspended()) or self.holds.told(thread_id)

    def seen(self, thread_id: str) -> wire.Seen | None:
        """Return what people see of a thread; None where there is none, or before the takeover."""
        if not self.ready():
            return None
        known, now_ms = self.threads.is_stored(thread_id), self.clock.now_ms()
        session = self.threads.known(thread_id) if known else None
        if session is None:
            session, revision, _ = self.threads.stored(thread_id)
            if not revision:
                return None
        driver = own_driver(now_ms, self.told(thread_id))
        if not self.brings_workers:
            driver = with_program(self.store, thread_id, driver)
        return _seen(session, now_ms, thread_id, driver, self.store)

    def exists(self, thread_id: str) -> bool:
        """Tell whether there is such a thread, also one that is given its goal in the inbox."""
        try:
            if self.store.sessions.load(thread_id) is not None:
                return True
            return any(row.thread_id == thread_id for row in self.store.inbox.pending())
        except StoreError:
            return True  # a stop has to be taken, whatever cannot be read

    def run_of(self, thread_id: str) -> Run | None:
        """Return the thread's open run; None of one that cannot be read: nothing follows."""
        try:
            return self.threads.session(thread_id).run
        except GoalError:
            return None


def _seen(
    session: Session, now_ms: int, thread_id: str, driver: Driver, store: Reading
) -> wire.Seen:
    status = seen_status(session, now_ms, thread_id, driver, store)
    goal = status.goal
    return wire.Seen(
        lines=tuple(status_lines(status)),
        hint=status.hint,
        chip=None if goal is None else chip(status, now_ms),
        status=wire.raw(status),
    )


def seen_status(
    session: Session, now_ms: int, thread_id: str, driver: Driver, store: Reading
) -> Status:
    """Return how a thread of ``store`` stands, with the file that its goal's record is in."""
    status = project(session, now_ms, thread_id=thread_id, driver=driver)
    record = written(str(getattr(store, "path", None) or ""), thread_id, status.goal)
    return msgspec.structs.replace(status, record=record) if record else status
