"""Ask the engine that serves a database, from another process; without one, do it here."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.link import ANSWER_S, TIMEOUT_S, Link, NoEngine, refused
from goalfsm.daemon.remote.socket_path import listening

if TYPE_CHECKING:
    from goalfsm.daemon.flow.notices import Notice
    from goalfsm.session.events import Event
    from goalfsm.session.policy import Policy
    from goalfsm.session.state import Reply
    from goalfsm.store.port import Owner
    from goalfsm.views.status import Status

__all__ = [
    "ANSWER_S",
    "TIMEOUT_S",
    "NoEngine",
    "call_own",
    "follow",
    "from_engine",
    "look",
    "ping",
    "request",
    "serving",
    "status",
    "through_database",
    "tool_of_engine",
]


def request(
    db: str | Path,
    thread_id: str,
    event: Event,
    event_id: str,
    *,
    policy: Policy | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Reply:
    """Have an event decided; return the reply when it is durable.

    By the engine that serves ``db``; where it is silent the event is recorded for it, and the
    reply's code is ``recorded``; where there is none it is decided here, and a later engine goes
    on from there. Sending the same ``event_id`` again is harmless. Raises GoalError when nothing
    was written: also where what is asked for is not this process's to ask for. A pause or a clear
    that no engine answers and no database takes is kept beside it, and the reply's code is
    ``suspended``.
    """
    deadline = time.monotonic() + timeout_s
    reply = from_engine(db, thread_id, event, event_id, deadline)
    if reply is not None:
        return reply
    return through_database(db, thread_id, event, event_id, deadline, policy=policy)


def through_database(
    db: str | Path,
    thread_id: str,
    event: Event,
    event_id: str,
    deadline: float,
    *,
    policy: Policy | None = None,
) -> Reply:
    """Have an event decided that no engine took at its socket; see `request`.

    ``deadline`` is in monotonic seconds.
    """
    # It loads the store, and the rules where there is no engine.
    from goalfsm.daemon.remote import direct  # noqa: PLC0415  see above

    return direct.ask(db, thread_id, event, event_id, policy, deadline)


def from_engine(
    db: str | Path, thread_id: str, event: Event, event_id: str, deadline: float
) -> Reply | None:
    """Return the reply of the engine that listens for ``db``, None where that is not to be had.

    ``deadline`` is in monotonic seconds; see `request` for what is raised.
    """
    answer = _heard(
        db, wire.Submit(thread_id=thread_id, event_id=event_id, event=wire.raw(event)), deadline
    )
    if answer is None or isinstance(answer, wire.Replied):
        return None if answer is None else answer.reply
    raise refused(answer)


def look(db: Path, thread_id: str, deadline: float) -> wire.Seen | None:
    """Return how the thread stands from the engine that listens for ``db``, None as `from_engine`.

    None too where it knows no such thread, or does not know its threads yet.
    """
    answer = _heard(db, wire.Look(thread_id=thread_id), deadline)
    return answer if isinstance(answer, wire.Seen) else None


def tool_of_engine(db: Path, call: wire.CallTool, deadline: float) -> wire.ToolTold | None:
    """Return what the engine that listens for ``db`` has a model told, None as `from_engine`."""
    answer = _heard(db, call, deadline)
    if answer is None or isinstance(answer, wire.ToolTold):
        return answer
    raise refused(answer)


def _heard(db: str | Path, question: wire.Request, deadline: float) -> wire.Answer | None:
    """Return what an engine answers that listens for ``db``.

    One that is going, or has lost its file, has no answer: the database says who comes next.
    """
    for place in listening(os.fspath(db)):
        try:
            with Link(str(place), deadline, db=os.fspath(db), starting=False) as link:
                answer = link.ask(question)
        except NoEngine:
            continue
        if isinstance(answer, wire.Failed) and answer.code in {*wire.GONE, wire.CROWDED}:
            continue
        return answer
    return None


def call_own(place: Path, call: wire.CallTool) -> wire.ToolTold:
    """Have a tool's call decided at a run's own socket, or at a node's.

    Return what the model is told. Raises `NoEngine`, and what the call is refused with.
    """
    with Link(str(place), time.monotonic() + TIMEOUT_S, db=None) as link:
        answer = link.ask(call)
    if isinstance(answer, wire.ToolTold):
        return answer
    raise refused(answer)


def status(db: str | Path, thread_id: str, *, timeout_s: float = TIMEOUT_S) -> Status:
    """Return how the thread stands, from the engine that serves it; raise `NoEngine`."""
    with _engine_of(db, timeout_s) as link:
        answer = link.ask(wire.AskStatus(thread_id=thread_id))
    if isinstance(answer, wire.Told):
        return link.read(wire.status_told, answer)
    raise refused(answer)


def ping(place: str, thread_id: str, *, timeout_s: float = TIMEOUT_S) -> wire.Pong:
    """Return what the engine at a socket says of the thread's turns.

    Raises `NoEngine` where it does not answer.
    """
    with Link(place, time.monotonic() + timeout_s, db="") as link:
        answer = link.ask(wire.Ping(thread_id=thread_id))
    if isinstance(answer, wire.Pong):
        return answer
    raise refused(answer)


def follow(
    db: str | Path,
    thread_id: str,
    *,
    succeeds: bool = False,
    after_revision: int | None = None,
) -> Generator[Notice, None, None]:
    """Yield what happens to a thread, as the engine tells it; ends after `Ended`.

    Who ``succeeds`` is ready to go on with the thread when that engine ends. With
    ``after_revision`` what was committed after that one comes first.

    Raises `NoEngine` when there is none, or when it ends without a word. Closing the iterator
    stops following.
    """
    from goalfsm.daemon.flow.notices import Ended  # noqa: PLC0415  only for who follows

    with _engine_of(db, TIMEOUT_S) as link:
        answer = link.ask(
            wire.Follow(thread_id=thread_id, succeeds=succeeds, after_revision=after_revision)
        )
        link.wait_forever()
        while isinstance(answer, wire.Noticed):
            notice = link.read(wire.notice_told, answer)
            yield notice
            if isinstance(notice, Ended):
                return
            answer = link.hear()
    raise refused(answer)


def serving(db: str | Path) -> Owner | None:
    """Return the living owner of a database, None when there is none."""
    from goalfsm.store.owner import is_alive  # noqa: PLC0415 - as below
    from goalfsm.store.sqlite import SqliteStore  # noqa: PLC0415 - an embedder may have another

    with contextlib.closing(SqliteStore.open(Path(db), read_only=True)) as store:
        owner = store.owner.current()
    return owner if owner is not None and is_alive(owner.identity) else None


def _engine_of(db: str | Path, timeout_s: float) -> Link:
    owner = serving(db)
    if owner is None or not owner.socket:
        raise NoEngine(f"no engine serves {db}")
    return Link(owner.socket, time.monotonic() + timeout_s, db=os.fspath(db))
