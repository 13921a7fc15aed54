"""Ask the engine for something and show what it answers; look at what is stored."""

from __future__ import annotations

import contextlib
import shlex
import time
import uuid
from typing import TYPE_CHECKING

from goalfsm.cli.output import say
from goalfsm.cli.places import Place, own_database, speak
from goalfsm.errors import GoalError, NoDatabase
from goalfsm.store.address import Server
from goalfsm.store.opening import open_to_read

if TYPE_CHECKING:
    from pathlib import Path

    from goalfsm.cluster.client import ClusterClient
    from goalfsm.daemon.remote.face import Remote
    from goalfsm.daemon.remote.wire import Seen
    from goalfsm.session.events import Event
    from goalfsm.session.state import Reply, Session
    from goalfsm.store.address import Address
    from goalfsm.store.port import Store
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import Stored
    from goalfsm.views.report import CompletionRecord
    from goalfsm.views.status import Status


def ask(place: Place, event: Event) -> None:
    """Send a command to a thread that exists and say what came of it; raise when it is refused."""
    if isinstance(place.db, Server):
        with reading(place) as store:
            require_thread(store, place)
    asked = remote(place.db)
    say(told(place, _sent(asked, place, event)))
    if asked.answered:
        return
    from goalfsm.daemon.remote.reading import driver_of  # noqa: PLC0415  where nobody answered
    from goalfsm.views.activity import takes_up, unattended  # noqa: PLC0415  as above

    with reading(place) as store:
        driver = driver_of(store, place.thread_id)
        stored = store.sessions.load(place.thread_id)
    session = None if stored is None else session_of(stored)
    if not driver.alive and session is not None and unattended(session, driver):
        command = speak(takes_up(driver, session), place)
        told_how = f"; {command} takes it up" if command else ""
        # It is done; where nobody can be told this, that is no failure.
        with contextlib.suppress(OSError):
            say(f"Nobody works on this now{told_how}", err=True)


def send(place: Place, event: Event) -> Reply:
    """Send an event durably and return the reply; raise GoalError when it was refused."""
    return _sent(remote(place.db), place, event)


def _sent(asked: Remote, place: Place, event: Event) -> Reply:
    try:
        reply = asked.request(place.thread_id, event, uuid.uuid4().hex)
    except NoDatabase as error:
        raise no_database(place.db, error) from None
    if not reply.ok:
        raise refusal(place, reply)
    return reply


def rehearsed(place: Place, session: Session | None, event: Event) -> Reply:
    """Return what a thread of that session, or a new one, replies to ``event``; nothing is written.

    Raises what the event would be refused with.
    """
    from goalfsm.cli.output import now_ms  # noqa: PLC0415  few commands rehearse
    from goalfsm.daemon.flow.decide import ACCEPTED  # noqa: PLC0415  the same
    from goalfsm.daemon.host.zones import zone  # noqa: PLC0415  the same
    from goalfsm.session.thread import GoalThread  # noqa: PLC0415  the same

    thread = GoalThread.new(thread_id=place.thread_id, zones=zone)
    if session is not None:
        thread = GoalThread(session, thread_id=place.thread_id, zones=zone)
    reply = thread.step(event, id="asked", at_ms=now_ms()).reply or ACCEPTED
    if not reply.ok:
        raise refusal(place, reply)
    return reply


def require_person(db: Address | None, what: str) -> None:
    """Raise GoalError where this process is a run's: ``what`` it asks for is a person's to do.

    Of ``db``, or of any database.
    """
    from goalfsm.daemon.flow import authority  # noqa: PLC0415  only a few look

    # On a server there is no file that a supervisor could be recorded for: environment and marks
    # of a run tell.
    authority.require_person("" if db is None or isinstance(db, Server) else db, what)


def refusal(place: Place, reply: Reply) -> GoalError:
    """Return the error for a reply that refuses."""
    if reply.code == "goal_exists":
        return busy(place)
    if reply.code == "unknown_thread":
        return unknown_thread(place)
    hint = speak(reply.hint, place)
    return GoalError(reply.message, code=reply.code, hint=hint, remedies=reply.remedies)


def remote(db: Address) -> Remote:
    """Return how what decides and drives the threads of a database is asked."""
    if isinstance(db, Server):
        return cluster(db)
    from goalfsm.daemon.remote.face import RemoteEngine  # noqa: PLC0415  only who asks needs it

    return RemoteEngine(db)


def cluster(server: Server) -> ClusterClient:
    """Return what decides about the threads on a server."""
    try:
        from goalfsm.cluster.client import ClusterClient  # noqa: PLC0415  it loads the driver
    except ImportError as error:
        raise GoalError(
            f"what speaks to PostgreSQL is not installed ({error.name})",
            code="extra_missing",
            hint="pip install 'goalfsm[cluster]'",
        ) from error
    return ClusterClient(server)


def look(place: Place) -> Seen | None:
    """Return how a thread stands, as its engine says, else as the database does.

    None where there is no such thread. Raises `NoDatabase`.
    """
    from goalfsm.daemon.remote import client  # noqa: PLC0415  only who asks needs it

    deadline = time.monotonic() + client.ANSWER_S
    if not isinstance(place.db, Server):
        seen = client.look(place.db, place.thread_id, deadline)
        if seen is not None:
            return seen
    from goalfsm.daemon.remote.seeing import seen_in  # noqa: PLC0415  where no engine answers

    with contextlib.closing(open_to_read(place.db)) as store:
        return seen_in(store, place.thread_id, deadline=deadline)


def stored_status(place: Place) -> Status:
    """Return how the thread stands in the database; no engine is asked."""
    from goalfsm.cli.output import now_ms  # noqa: PLC0415  a command that only sends needs none
    from goalfsm.daemon.remote.reading import driver_of  # noqa: PLC0415  the same
    from goalfsm.views.status import project  # noqa: PLC0415  the same

    with reading(place) as store:
        session = require_thread(store, place)
        driver = driver_of(store, place.thread_id)
    return project(session, now_ms(), thread_id=place.thread_id, driver=driver)


def show(lines: tuple[str, ...], hint: str, place: Place) -> None:
    """Show a status in lines, with the hint as it is for the place."""
    for row in lines:
        say(row)
    if told_how := speak(hint, place):
        say(f"Hint: {told_how}")


def told(place: Place, reply: Reply) -> str:
    """Return what a reply says, with its hint on a second line."""
    message = reply.message or reply.code.replace("_", " ")
    return f"{message}\nHint: {speak(reply.hint, place)}" if reply.hint else message


def reading(place: Place) -> contextlib.closing[Reading]:
    """Open the place's database for reading; raise when there is nothing yet."""
    return contextlib.closing(open_existing(place.db))


def open_existing(db: Address) -> Reading:
    """Open a database for reading; say what to do where there is none."""
    return open_to_read(db) if isinstance(db, Server) else open_file(db)


def open_file(db: Path) -> Store:
    """Open a file for reading; say what to do where there is none."""
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415  SQLite is loaded when needed

    try:
        return SqliteStore.open(db, read_only=True)
    except NoDatabase as error:
        raise no_database(db, error) from None


def no_database(db: Address, error: NoDatabase) -> NoDatabase:
    """Return the error for a database that does not exist; raise where it only is not seen."""
    refuse_isolated()
    if isinstance(db, Server):
        return error  # the tables are missing, and it says what makes them
    own = "this directory has no goal yet: " if db == own_database() else ""
    return NoDatabase(
        f"{own}{error.message}",
        hint='goalfsm run "OBJECTIVE" -- PROGRAM makes it; --db names another one,'
        " and goalfsm list --everywhere shows yours",
    )


def refuse_isolated() -> None:
    """Raise where this process is of an isolated run: it sees no database."""
    from goalfsm.daemon.remote.socket_path import own_socket  # noqa: PLC0415  only where none is

    if own_socket() is not None:
        raise GoalError(
            "this is an isolated run: it sees no database, and is no person",
            code="origin_not_allowed",
            hint="its goal's tools are goalfsm tool; a person asks in a terminal of their own",
        )


def require_thread(store: Reading, place: Place) -> Session:
    """Return the session of the place's thread; raise when there is no such thread."""
    stored = store.sessions.load(place.thread_id)
    if stored is None:
        raise unknown_thread(place)
    return session_of(stored)


def record_of(store: Reading, place: Place) -> tuple[Session, CompletionRecord]:
    """Return the session and the record of its goal, with the hint as it is for the place.

    Raises GoalError where there is no goal.
    """
    import msgspec  # noqa: PLC0415  only where a record is asked for

    from goalfsm.daemon.remote.reading import asked_driver  # noqa: PLC0415  as above
    from goalfsm.views.report import record  # noqa: PLC0415  as above

    session = require_thread(store, place)
    if session.goal is None:
        raise no_goal(place)
    driver = asked_driver(store, place.thread_id)
    at_ms = time.time_ns() // 1_000_000
    made = record(session, at_ms, thread_id=place.thread_id, driver=driver)
    return session, msgspec.structs.replace(made, hint=speak(made.hint, place))


def session_of(stored: Stored) -> Session:
    """Return the session of a snapshot."""
    from goalfsm.session import codec  # noqa: PLC0415  a command that only sends needs none

    return codec.decode(stored.state)


def unknown_thread(place: Place) -> GoalError:
    """Return the error for a thread that never had a goal."""
    if place.given:
        return GoalError(
            f"there is no thread {place.thread_id} in {place.db}",
            code="unknown_thread",
            hint="goalfsm list shows the threads; --db names another database",
        )
    if others := _names(place.db):
        there = f"thread {others[0]}" if len(others) == 1 else f"{len(others)} threads"
        return GoalError(
            f"this directory's own thread has no goal; its database has {there}",
            code="unknown_thread",
            hint="goalfsm list shows what there is; name it: goalfsm status THREAD".replace(
                "THREAD", shlex.quote(others[0]) if len(others) == 1 else "THREAD"
            ),
        )
    return GoalError(
        "this directory has no goal yet",
        code="unknown_thread",
        hint='goalfsm run "OBJECTIVE" -- PROGRAM starts one; '
        "--thread and --db name one that is elsewhere",
    )


def _names(db: Address) -> list[str]:
    """Return the threads of a database; one that cannot be read has none."""
    try:
        store = open_to_read(db)
    except GoalError:
        return []
    with contextlib.closing(store):
        return [row.thread_id for row in store.sessions.threads()]


def no_goal(place: Place, *, queued: bool = False) -> GoalError:
    """Return the error for a thread that has no goal any more, or none but ``queued`` ones."""
    takes_next = "goalfsm run --advance --thread THREAD begins with the first that is queued"
    hint = takes_next if queued else "goalfsm set THREAD OBJECTIVE gives it one"
    return GoalError(
        f"thread {place.thread_id} has no goal", code="no_goal", hint=speak(hint, place)
    )


def busy(place: Place) -> GoalError:
    """Return the refusal of a second goal."""
    return GoalError(
        f"thread {place.thread_id} already has an unfinished goal",
        code="goal_exists",
        hint="goalfsm run without an objective goes on with it; --replace gives it up",
    )


def is_thread(db: Address, name: str) -> bool:
    """Tell whether the database has a thread of that name; one that cannot be read has none."""
    try:
        store = open_to_read(db)
    except GoalError:
        return False
    with contextlib.closing(store):
        return store.sessions.load(name) is not None
