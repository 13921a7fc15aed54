"""Drive one thread until its goal leaves active: here, or by following the engine that owns it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Final

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_if_result,
    stop_after_attempt,
    stop_after_delay,
    wait_fixed,
)

from goalfsm.cli import asking, exits, programs
from goalfsm.cli.errand import Errand, Over
from goalfsm.cli.owning import Host
from goalfsm.daemon.flow.notices import Ended
from goalfsm.daemon.guards.ownership import Owned
from goalfsm.daemon.remote import client
from goalfsm.daemon.remote.face import RemoteEngine
from goalfsm.daemon.remote.link import FalseEngine, NoEngine
from goalfsm.errors import NoDatabase
from goalfsm.store.address import Server
from goalfsm.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from goalfsm.store.port import Owner


class OthersTurn(NoEngine):
    """The engine has ended, and another follower goes on with the database."""


def follow(errand: Errand, owner: Owner) -> Over:
    """Hand the thread to the engine of ``owner``, and watch until the errand is over.

    Raises `NoEngine` when that engine has ended and this process is to go on.
    """
    place, view = errand.place, errand.view
    thread_id, db, pid = place.thread_id, errand.file, owner.identity.pid
    engine = RemoteEngine(db)
    notices = client.follow(db, thread_id, succeeds=True)
    try:
        first = next(notices)
        errand.note(first)
        _begin(errand)
        over = errand.gone_on(engine, errand.begin(engine.status(thread_id)))
        if over is not None:
            errand.close(over)
            return over
        view.say(f"process {pid} serves this database; following it")
        for notice in notices:
            errand.note(notice)
            if isinstance(notice, Ended):
                raise _ended(notice)
            if errand.changed(notice):
                over = errand.gone_on(engine, errand.look(engine.status(thread_id)))
                if over is not None:
                    errand.close(over)
                    return over
    except KeyboardInterrupt:
        view.say(f"stopped following; process {pid} goes on with the goal")
        return Over(exits.INTERRUPTED)
    raise NoEngine("the engine hung up")


def _ended(notice: Ended) -> NoEngine:
    """Return what says who goes on: this process, unless another one asked before."""
    ours = notice.successor in {None, 0, os.getpid()}
    return (NoEngine if ours else OthersTurn)("the engine has ended")


def _begin(errand: Errand) -> None:
    """Ask the engine to begin, where something has to be asked."""
    place = errand.place
    with contextlib.closing(SqliteStore.open(errand.file)) as store:
        stored = store.sessions.load(place.thread_id)
        event = errand.opening(None if stored is None else asking.session_of(stored))
        with programs.stored(store.workers, place.thread_id, errand.program(), errand.file.parent):
            if event is not None:
                asked = client.request(errand.file, place.thread_id, event, errand.event_id)
                errand.check(asked)


_ATTEMPTS: Final = 40
_PAUSE_S: Final = 0.25
_OTHERS_S: Final = 5.0
"""How long another follower, whose turn it is to go on, may take to do so."""


def carry_out(errand: Errand) -> int:
    """Drive the thread to where its goal stops; return the exit status.

    Raises GoalError where it is refused; then nothing was written.
    """
    if isinstance(errand.place.db, Server):
        from goalfsm.cli import following_nodes  # noqa: PLC0415  it loads the driver

        return following_nodes.follow(errand, errand.place.db).exit_status
    reachable = True
    for attempt in Retrying(
        stop=stop_after_attempt(_ATTEMPTS),
        wait=lambda state: _PAUSE_S if isinstance(_error(state), Owned) else 0.0,
        # Whoever a false engine is, it is there, and is asked by the inbox.
        retry=retry_if_exception_type((Owned, NoEngine)) & retry_if_not_exception_type(FalseEngine),
        retry_error_callback=_error,
    ):
        with attempt:
            owner = _owner(errand) if reachable else None
            # Who cannot be followed is taken for gone; who is there nevertheless is followed again.
            reachable = owner is None
            over = asyncio.run(Host(errand).carry_out()) if owner is None else follow(errand, owner)
            return over.exit_status
        error = _error(attempt.retry_state)
        if isinstance(error, OthersTurn):
            errand.view.say("the engine that was followed has ended; another terminal goes on")
            _await_owner(errand)
            reachable = True
        elif isinstance(error, NoEngine) and errand.begun:
            errand.view.say("the engine that was followed is gone; going on here")
    raise NoEngine(
        "another process holds the database, but does not answer",
        hint="goalfsm doctor names it",
    )


def _owner(errand: Errand) -> Owner | None:
    """Return the engine that can be followed, None where there is none."""
    with contextlib.suppress(NoDatabase):
        owner = client.serving(errand.file)
        # A command that owns the database for a moment has no socket.
        return owner if owner is not None and owner.socket else None
    return None


def _await_owner(errand: Errand) -> None:
    """Wait a moment for the process that was there first to own the database."""
    Retrying(
        stop=stop_after_delay(_OTHERS_S),
        wait=wait_fixed(_PAUSE_S),
        retry=retry_if_result(lambda owner: owner is None),
        retry_error_callback=_error,
    )(_owner, errand)


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
