"""What a process that is no engine reads of a database: who drives it, what was decided in it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.daemon.remote import socket_path
from goalfsm.daemon.remote.hosted_turn import noted
from goalfsm.session import codec
from goalfsm.session.events import UsageReported
from goalfsm.store.rows import Driving, Identity, Owner
from goalfsm.views.activity import suspended_by
from goalfsm.views.parts import Driver

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from goalfsm.daemon.remote.wire import Pong
    from goalfsm.session.events import Event
    from goalfsm.session.state import Decision, Session
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import JournalRow, Stored
    from goalfsm.views.explain import Explanation

_PAGE: Final = 500
_DECISION_EVENTS: Final = 20_000
"""How many events are read for decisions that differ: a thread may decide the same for weeks."""
_DECISION_BYTES: Final = 32 * 1024 * 1024


def driver_of(store: Reading, thread_id: str) -> Driver:
    """Return who works on the thread: a file's owner, a turn's host, or the nodes of a server."""
    who = store.drivers.of(thread_id)
    if isinstance(who, Driving):
        return _of_nodes(who)
    driver = _of_host(store, thread_id) if who is None else _of_owner(who)
    # One that is there may have workers of its own; it has to be asked.
    return driver if driver.alive else with_program(store, thread_id, driver)


def with_program(store: Reading, thread_id: str, driver: Driver) -> Driver:
    """Return ``driver`` with whether a program is stored for the thread."""
    return msgspec.structs.replace(driver, lacks_program=store.workers.get(thread_id) is None)


def _of_host(store: Reading, thread_id: str) -> Driver:
    """Return the program that does the thread's open turn, where no engine does."""
    path = getattr(store, "path", None)
    turn = None if path is None else noted(path, thread_id)
    if turn is None or not turn.lives:
        return Driver()
    return Driver(pid=turn.pid, alive=True, seen_ms=time.time_ns() // 1_000_000)


def _of_nodes(who: Driving) -> Driver:
    """Return the node that has the thread's turn, and those that would take one."""
    node, names = who.node, tuple(node.name for node in who.nodes)
    free = sum(max(0, node.max_runs - node.runs) for node in who.nodes)
    driver = Driver(
        place=who.place, nodes=names, free=free, alive=bool(names), unwatched=who.unwatched
    )
    if node is None:
        return driver
    return msgspec.structs.replace(
        driver,
        pid=node.pid,
        alive=node.alive,
        since_ms=node.since_ms,
        seen_ms=node.seen_ms,
        node=node.name,
        host=node.host,
    )


def _of_owner(owner: Owner) -> Driver:
    """Return which process owns a file, as its row and the system tell."""
    from goalfsm.daemon.host.platform import SystemClock  # noqa: PLC0415  only where it is asked
    from goalfsm.store.owner import is_alive  # noqa: PLC0415  only where it is asked

    now = time.time_ns() // 1_000_000
    alive = is_alive(owner.identity)
    return Driver(
        pid=owner.identity.pid,
        alive=alive,
        since_ms=_started_ms(owner.identity, now - SystemClock().uptime_ms()) if alive else None,
        seen_ms=now if alive else owner.seen_ms or None,
        held=suspended_by(socket_path.shown(owner.socket)) if alive else "",
    )


def asked_driver(store: Reading, thread_id: str, *, deadline: float | None = None) -> Driver:
    """Return the same as `driver_of`; a file's owner that is there is asked whether it works.

    An engine that does not answer is waited for until ``deadline`` (monotonic seconds), by default
    for a second.
    """
    driver, owner = driver_of(store, thread_id), store.drivers.of(thread_id)
    if not driver.alive or not isinstance(owner, Owner) or not owner.socket:
        # Without a socket it is a command, which has the database for a moment.
        return driver
    said = _said_by(owner, thread_id, deadline)
    if said is None:
        return msgspec.structs.replace(driver, answers=False)
    driver = msgspec.structs.replace(driver, held=said.held)
    return driver if said.brings_workers else with_program(store, thread_id, driver)


def _said_by(owner: Owner, thread_id: str, deadline: float | None = None) -> Pong | None:
    """Return what a file's owner answers, None where it does not."""
    from goalfsm.daemon.remote import client  # noqa: PLC0415  only for an engine that is there
    from goalfsm.daemon.remote.link import ANSWER_S, NoEngine  # noqa: PLC0415  the same

    try:
        left = ANSWER_S if deadline is None else deadline - time.monotonic()
        return client.ping(owner.socket, thread_id, timeout_s=left)
    except NoEngine:
        return None


def own_driver(now_ms: int, held: str) -> Driver:
    """Return this process as who works on its threads, but for what ``held`` says."""
    from goalfsm.daemon.host.platform import SystemClock, own_identity  # noqa: PLC0415  as above

    identity = own_identity()
    since_ms = _started_ms(identity, time.time_ns() // 1_000_000 - SystemClock().uptime_ms())
    return Driver(pid=identity.pid, alive=True, since_ms=since_ms, seen_ms=now_ms, held=held)


def many(store: Reading, thread_ids: Collection[str]) -> Iterator[tuple[Stored, Driver]]:
    """Yield these threads with who works on each; a file's owner is asked once, for all of them.

    What it keeps turns of single threads from starting for is not asked.
    """
    asked: dict[Identity, tuple[Driver, bool]] = {}
    drivers = store.drivers.many(thread_ids)
    for stored in store.sessions.many(thread_ids):
        thread_id = stored.thread_id
        who = drivers.get(thread_id)
        if isinstance(who, Driving):
            yield stored, _of_nodes(who)
        elif who is None:
            yield stored, driver_of(store, thread_id)
        else:
            if who.identity not in asked:
                asked[who.identity] = _asked_owner(who)
            driver, needs_programs = asked[who.identity]
            yield stored, with_program(store, thread_id, driver) if needs_programs else driver


def _asked_owner(owner: Owner) -> tuple[Driver, bool]:
    """Return a file's owner, and whether a thread needs a stored program, as far as is known."""
    driver = _of_owner(owner)
    if not driver.alive or not owner.socket:
        return driver, not driver.alive
    said = _said_by(owner, "")
    if said is None:
        return msgspec.structs.replace(driver, answers=False), False
    return driver, not said.brings_workers


def _started_ms(identity: Identity, booted_ms: int) -> int | None:
    """Return when (unix ms) a living process began; None where the system counts otherwise."""
    ticks = os.sysconf("SC_CLK_TCK") if sys.platform == "linux" else 0
    return booted_ms + identity.start_time * 1000 // ticks if ticks > 0 else None


def newest(store: Reading, thread_id: str) -> Iterator[JournalRow]:
    """Yield the rows of a thread's journal, newest first."""
    before = None
    while page := store.journal.read(thread_id, before=before, newest=True):
        yield from page
        before = page[-1].revision


def events_of(
    store: Reading, thread_id: str, *, since_ms: int
) -> Iterator[tuple[int, Event, Decision | None]]:
    """Yield the events of a thread since a time (unix ms), oldest first.

    Each comes with the time of its commit, and with what was decided then, None for nothing new.
    What was refused changed nothing and is left out; usage is kept in the ledger all the same.
    """
    after = store.journal.revision_before(thread_id, since_ms)
    while page := store.journal.read(thread_id, after=after, limit=_PAGE):
        for row in page:
            if row.at_ms < since_ms:
                continue
            event, made = codec.decode_event(row.event), _made(row)
            refused = made is not None and made.decision == "refused"
            if isinstance(event, UsageReported) or not refused:
                yield row.at_ms, event, None if refused else made
        after = page[-1].revision


def _made(row: JournalRow) -> Decision | None:
    """Return what a commit decided; None where it kept to what was decided before."""
    made = None if row.decision is None else codec.decode_decision(row.decision)
    return made if made is not None and made.at_ms in {0, row.at_ms} else None


def explained(store: Reading, session: Session, thread_id: str) -> Explanation:
    """Return why a thread last went on, waited or stopped, with the decisions before that."""
    from goalfsm.views.explain import explain  # noqa: PLC0415  only where somebody asks why

    first = store.journal.read(thread_id, limit=1, newest=True)
    decisions, seen = _decisions_of(store, thread_id)
    bound = seen if any(row.revision > seen for row in first) else None
    driver = asked_driver(store, thread_id)
    return explain(session, decisions, of_newest=bound, driver=driver)


def _decisions_of(store: Reading, thread_id: str) -> tuple[list[Decision], int]:
    """Return what was decided about a thread, newest first, and in how many of its newest events.

    These are `_DECISION_EVENTS`, or fewer where they carry more than `_DECISION_BYTES`.
    """
    found: list[Decision] = []
    seen, left = 0, _DECISION_BYTES
    for row in newest(store, thread_id):
        if seen == _DECISION_EVENTS:
            break
        seen, left = seen + 1, left - len(row.event)
        decision = _made(row)
        if decision is not None and decision.at_ms:
            found.append(decision)
        if left <= 0:
            break
    return found, seen
