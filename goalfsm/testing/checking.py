"""What holds for a store and its worker whatever happened: checked after a scenario has run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from goalfsm.daemon.flow.replay import replayed
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.thread import ReplayError
from goalfsm.store.memory import MemoryStore
from goalfsm.testing import invariants
from goalfsm.testing.goals import MemoryGoals
from goalfsm.testing.invariants.course import Course
from goalfsm.testing.invariants.invariant import hold

if TYPE_CHECKING:
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.store.reading import Reading


def check_goals(goals: MemoryGoals | Reading, *, machine: GoalMachine | None = None) -> None:
    """Raise AssertionError, saying what is wrong, when an invariant is broken.

    Every journal, decided again, gives every state bit by bit, and every step of it keeps the
    invariants of a session; usage was booked once. Of a scenario in memory its worker is checked
    too: every run was dispatched before it was started, started once, and closed before the next,
    and the worker never had two runs of one thread.

    Of what an earlier version of the rules has decided nothing can be said.

    ``goals`` is a scenario, or any store that is open for reading: a file, or a server. ``machine``
    is the store's, where that is not ours; a scenario has its own.
    """
    if isinstance(goals, MemoryGoals):
        check_goals(MemoryStore(goals.disk), machine=goals.machine)
        _check_worker(goals)
        return
    for listed in goals.sessions.threads():
        stored = goals.sessions.load(listed.thread_id)
        if stored is None:
            continue
        try:
            _check_thread(goals, listed.thread_id, stored.state, machine)
        except AssertionError as broken:
            broken.add_note(f"in thread {listed.thread_id!r}")
            raise


def _check_thread(store: Reading, thread: str, state: bytes, machine: GoalMachine | None) -> None:
    session = codec.decode(state)
    course: Course | None = None
    last = b""
    try:
        for row, before, ready in replayed(store, thread, session, machine):
            last = row.digest
            invariants.check(before, ready.event, ready.step, now_ms=row.at_ms)
            course = course or Course(before)
            course.follow(before, ready.event, ready.state)
    except ReplayError as error:
        if error.code == "other_rules":
            return
        raise AssertionError(error.message) from error
    hold(codec.digest(state) == last, "the snapshot is not where the journal ends")


def _check_worker(goals: MemoryGoals) -> None:
    started = Counter(run.work.run_id for run in goals.worker.runs)
    twice = [run_id for run_id, count in started.items() if count > 1]
    hold(not twice, f"the worker was started twice for {', '.join(twice)}")
    dispatched = {
        event.run_id
        for rows in goals.disk.journal.values()
        for event in (codec.decode_event(row.event) for row in rows)
        if isinstance(event, e.RunDispatched)
    }
    unknown = sorted(started.keys() - dispatched)
    hold(not unknown, f"the worker was started for {', '.join(unknown)}, never dispatched")
    hold(not goals.worker.overlaps, f"two runs of a thread at once: {goals.worker.overlaps}")
