"""Have the engine that owns the database drive a thread, and watch it from here."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

from goalfsm.cli import asking, exits, programs
from goalfsm.cli.errand import Over
from goalfsm.daemon.flow.notices import Ended
from goalfsm.daemon.remote import client
from goalfsm.daemon.remote.link import NoEngine
from goalfsm.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from goalfsm.cli.errand import Errand
    from goalfsm.store.port import Owner


class OthersTurn(NoEngine):
    """The engine has ended, and another follower goes on with the database."""


def follow(errand: Errand, owner: Owner) -> Over:
    """Hand the thread to the engine of ``owner``, and watch until the errand is over.

    Raises `NoEngine` when that engine has ended and this process is to go on.
    """
    place, view = errand.place, errand.view
    thread_id, db, pid = place.thread_id, errand.file, owner.identity.pid
    notices = client.follow(db, thread_id, succeeds=True)
    try:
        first = next(notices)
        errand.note(first)
        _begin(errand)
        over = _gone_on(errand, errand.begin(client.status(db, thread_id)))
        if over is not None:
            errand.close(over)
            return over
        view.say(f"process {pid} serves this database; following it")
        for notice in notices:
            errand.note(notice)
            if isinstance(notice, Ended):
                raise _ended(notice)
            if errand.changed(notice):
                over = _gone_on(errand, errand.look(client.status(db, thread_id)))
                if over is not None:
                    errand.close(over)
                    return over
    except KeyboardInterrupt:
        view.say(f"stopped following; process {pid} goes on with the goal")
        return Over(exits.INTERRUPTED)
    raise NoEngine("the engine hung up")


def _gone_on(errand: Errand, over: Over | None) -> Over | None:
    """Have the engine go on to the queued goals, where that was asked for."""
    db, thread_id = errand.file, errand.place.thread_id
    while over is not None and (event := errand.next_request(over)) is not None:
        reply = client.request(db, thread_id, event, uuid.uuid4().hex)
        over = errand.go_on(client.status(db, thread_id), reply)
    return over


def _ended(notice: Ended) -> NoEngine:
    """Return what says who goes on: this process, unless another one asked before."""
    ours = notice.successor in {None, 0, os.getpid()}
    return (NoEngine if ours else OthersTurn)("the engine has ended")


def _begin(errand: Errand) -> None:
    """Ask the engine to begin, where something has to be asked."""
    place = errand.place
    store = SqliteStore.open(errand.file)
    try:
        stored = store.sessions.load(place.thread_id)
        event = errand.opening(None if stored is None else asking.session_of(stored))
        with programs.stored(store.workers, place.thread_id, errand.program(), errand.file.parent):
            if event is not None:
                asked = client.request(errand.file, place.thread_id, event, errand.event_id)
                errand.check(asked)
    finally:
        store.close()
