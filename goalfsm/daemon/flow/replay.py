"""Decide a thread's journal again: the same events have to give the same states, bit by bit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from goalfsm.daemon.flow.authority import of_a_row
from goalfsm.daemon.host.zones import zone
from goalfsm.errors import StoreError, described
from goalfsm.goal.model import PAUSED
from goalfsm.session import codec
from goalfsm.session.context import Rules
from goalfsm.session.state import BY_A_FAULT
from goalfsm.session.thread import GoalThread, ReplayError
from goalfsm.session.work import is_over

if TYPE_CHECKING:
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.state import Session
    from goalfsm.session.thread import Replayed
    from goalfsm.store.port import Store
    from goalfsm.store.reading import Reading
    from goalfsm.store.rows import JournalRow

_PAGE = 1_000


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """How far a replay came: ``wrong_at`` is the first revision whose state differs.

    ``rows`` were replayed. ``skipped``: the journal has a gap, or was written by other rules of
    which none of its rows leads to these, so that nothing can be said of it.
    """

    rows: int = 0
    wrong_at: int | None = None
    skipped: bool = False

    @property
    def ok(self) -> bool:
        """Return whether every journal gave its states again."""
        return self.wrong_at is None


def replay(store: Reading, thread_id: str, machine: GoalMachine | None = None) -> Replay:
    """Decide the thread's journal again, from where these rules began to decide, and compare."""
    stored = store.sessions.load(thread_id)
    if stored is None:
        return Replay()
    rows, revision, state = 0, 0, b""
    try:
        for each in replayed(store, thread_id, codec.decode(stored.state), machine):
            rows, revision, state = rows + 1, each.row.revision, each.row.digest
    except ReplayError as error:
        if error.code == "state_differs":
            return Replay(rows=rows + 1, wrong_at=error.revision)
        return Replay(rows=rows, skipped=True)
    if revision != stored.revision or state != codec.digest(stored.state):
        return Replay(rows=rows, wrong_at=stored.revision)
    return Replay(rows=rows)


def as_completed(
    store: Reading, thread_id: str, goal_id: str, machine: GoalMachine | None = None
) -> Session | None:
    """Return the thread as it was last with this goal complete, from its journal.

    None where the journal does not give that again.
    """
    stored = store.sessions.load(thread_id)
    if stored is None:
        return None
    found = None
    with contextlib.suppress(ReplayError):
        for each in replayed(store, thread_id, codec.decode(stored.state), machine):
            state = each.ready.state
            if state.goal and state.goal.goal_id == goal_id and is_over(state):
                found = state
    return found


def replayed(
    store: Reading, thread_id: str, last: Session, machine: GoalMachine | None = None
) -> Iterator[Replayed]:
    """Decide the journal of a thread again, whose stored session is ``last``.

    Yields what `GoalThread.replay` does, and raises what it raises.
    """
    return GoalThread.replay(
        journal_of(store, thread_id),
        last.began_with,
        thread_id=thread_id,
        rules=Rules(machine),
        zones=zone,
    )


def journal_of(store: Reading, thread_id: str) -> Iterator[JournalRow]:
    """Yield the thread's journal, oldest row first."""
    revision = 0
    while rows := store.journal.read(thread_id, after=revision, limit=_PAGE):
        yield from rows
        revision = rows[-1].revision


def stopped_by_faults(store: Reading) -> Iterator[tuple[str, str]]:
    """Yield the threads that wait for a person because of a fault, and what it was."""
    for row in store.sessions.threads():
        stored = store.sessions.load(row.thread_id)
        session = None if stored is None else codec.decode(stored.state)
        if session is None or session.goal is None:
            continue
        held = next((wait.note for wait in session.waits if wait.held), "")
        note = session.goal.note if session.goal.status == PAUSED else held
        if note and BY_A_FAULT in note:
            yield row.thread_id, note


def undecidable(store: Store) -> Iterator[tuple[str, str]]:
    """Yield the rows of the inbox that cannot be read, decided, or taken, by their ids, and why."""
    after = 0
    while rows := store.inbox.pending(after=after, limit=_PAGE):
        for row in rows:
            try:
                event = of_a_row(codec.decode_event(row.event))
                stored = store.sessions.load(row.thread_id)
                thread = GoalThread.new() if stored is None else GoalThread.load(stored.state)
                thread.step(event, id=row.inbox_id, at_ms=row.at_ms)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is wrong
                yield row.inbox_id, described(error)
        after = rows[-1].seq
