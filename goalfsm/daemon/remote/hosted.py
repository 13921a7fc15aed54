"""Turns that a program does which no engine started: it says when one has ended.

An interactive agent works so: it calls when it has done a turn, and is given the prompt of the next
one. Nothing is dispatched, so no engine is needed; whoever calls owns the store for a moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.daemon.flow.turn import finished
from goalfsm.daemon.host.platform import SystemClock, SystemEntropy
from goalfsm.daemon.remote import offline
from goalfsm.daemon.remote.direct import session_of
from goalfsm.daemon.remote.hosted_turn import HostedTurn, forget, note
from goalfsm.errors import GoalError
from goalfsm.session.codec import token_digest
from goalfsm.session.events import EngineStarted, Event, RunDispatched, RunInterrupted, TimerFired
from goalfsm.session.state import Session
from goalfsm.session.work import can_begin, next_wake, queued
from goalfsm.store.port import Held
from goalfsm.views.prompts import render_turn
from goalfsm.workers.protocol import Exited, Text
from goalfsm.workers.supervisor.identity import start_time

if TYPE_CHECKING:
    from pathlib import Path

    from goalfsm.store.port import Store


class Driven(GoalError):
    """Another process owns the database: its engine says what its threads do."""

    code = "driven"
    hint = "goalfsm status shows what it does"


def begin(store: Store, db: Path, thread_id: str, *, host: str, pid: int) -> str | None:
    """Begin the turn that the thread waits for, and return its prompt; None where none waits.

    ``host`` is the session that does it, ``pid`` its process. Raises `Driven`.
    """
    session = session_of(store, thread_id)
    if session.stopping:
        # The last engine has let the thread go; this takes it up, as the next engine would.
        session = _say(store, thread_id, EngineStarted())
    wakes = next_wake(session)
    if wakes is not None and wakes <= SystemClock().wall_ms():
        session = _say(store, thread_id, TimerFired())
    waits = queued(session)
    if waits is None or not can_begin(session):
        return None
    entropy = SystemEntropy()
    turn = HostedTurn(
        run_id=entropy.new_id(), token=entropy.token(), host=host, pid=pid, begun=start_time(pid)
    )
    dispatched = RunDispatched(
        run_id=turn.run_id,
        token=token_digest(turn.token),
        turn=session.next_turn,
        wind_down=waits.wind_down,
    )
    # Noted before: a turn whose note is missing could claim nothing.
    note(db, thread_id, turn)
    session = _say(store, thread_id, dispatched)
    if session.run is None or session.run.run_id != turn.run_id:
        return None
    return render_turn(session, SystemClock().wall_ms())


def end(store: Store, db: Path, thread_id: str, turn: HostedTurn, answer: str | None) -> None:
    """End a hosted turn with what it answered; None where nobody knows how it ended.

    Raises `Driven`.
    """
    run = session_of(store, thread_id).run
    if run is not None and run.run_id == turn.run_id:
        detail = "its person ended it, or the program that did it has ended"
        event: Event = RunInterrupted(run_id=run.run_id, turn=run.turn, detail=detail)
        if answer is not None:
            event = finished(run, (Text(text=answer), Exited(ok=True)))
        _say(store, thread_id, event)
    forget(db, thread_id)


def _say(store: Store, thread_id: str, event: Event) -> Session:
    answer = offline.apply(store, thread_id, event, offline.new_event_id())
    if isinstance(answer, Held):
        raise Driven("an engine drives the goals of this database")
    return session_of(store, thread_id)
