"""How a thread stands, as people see it: from an engine that is asked, else from its database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from goalfsm.daemon.host.records import written
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.reading import asked_driver, own_driver, with_program
from goalfsm.session import codec
from goalfsm.views.chip import chip
from goalfsm.views.lines import status_lines
from goalfsm.views.status import project

if TYPE_CHECKING:
    from goalfsm.daemon.flow.threads import Threads
    from goalfsm.session.state import Session
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


def seen_by_engine(
    threads: Threads, store: Store, thread_id: str, now_ms: int, held: str, *, brings_workers: bool
) -> wire.Seen | None:
    """Return what people see of a thread of this process's engine; None where there is none.

    ``held`` says what keeps turns of the thread from starting.
    """
    session = threads.known(thread_id) if threads.is_stored(thread_id) else None
    if session is None:
        session, revision = threads.stored(thread_id)
        if not revision:
            return None
    driver = own_driver(now_ms, held)
    if not brings_workers:
        driver = with_program(store, thread_id, driver)
    return _seen(session, now_ms, thread_id, driver, store)


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
