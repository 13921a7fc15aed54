"""What holds for a store and its worker whatever happened: checked after a scenario has run."""

from __future__ import annotations

from collections import Counter

from goalfsm.daemon.host.zones import zone
from goalfsm.goal.model import Usage
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Rules
from goalfsm.session.thread import GoalThread, ReplayError
from goalfsm.store.port import JournalRow
from goalfsm.testing import invariants
from goalfsm.testing.goals import MemoryGoals


def check_goals(goals: MemoryGoals) -> None:
    """Raise AssertionError, saying what is wrong, when an invariant is broken.

    Every journal, decided again, gives every state bit by bit, and every step of it keeps the
    invariants of a session; every run was dispatched before it was started, started once, and
    closed before the next; usage was booked once; the worker never had two runs of one thread.
    """
    for thread, rows in sorted(goals.disk.journal.items()):
        try:
            _check_thread(goals, thread, rows)
        except AssertionError as broken:
            broken.add_note(f"in thread {thread!r}")
            raise
    _check_worker(goals)


def _check_thread(goals: MemoryGoals, thread: str, rows: list[JournalRow]) -> None:
    stored = goals.disk.sessions[thread]
    session = codec.decode(stored.state)
    used: dict[str, Usage] = {}
    replayed = GoalThread.replay(
        rows,
        session.began_with,
        thread_id=thread,
        rules=Rules(goals.machine),
        zones=zone,
    )
    try:
        for row, before, ready in replayed:
            event = ready.event
            invariants.check(before, event, ready.step, now_ms=row.at_ms)
            if isinstance(event, e.UsageReported):
                used.setdefault(event.key, event.usage)
    except ReplayError as error:
        raise AssertionError(error.message) from error
    last = rows[-1].digest if rows else b""
    _hold(codec.digest(stored.state) == last, "the snapshot is not where the journal ends")
    for name in Usage.__struct_fields__:
        booked = getattr(session.ledger.reported, name)
        reported = sum(getattr(usage, name) for usage in used.values())
        _hold(booked == reported, f"{name}: {booked} were booked, {reported} reported")


def _check_worker(goals: MemoryGoals) -> None:
    started = Counter(run.work.run_id for run in goals.worker.runs)
    twice = [run_id for run_id, count in started.items() if count > 1]
    _hold(not twice, f"the worker was started twice for {', '.join(twice)}")
    dispatched = {
        event.run_id
        for rows in goals.disk.journal.values()
        for event in (codec.decode_event(row.event) for row in rows)
        if isinstance(event, e.RunDispatched)
    }
    unknown = sorted(started.keys() - dispatched)
    _hold(not unknown, f"the worker was started for {', '.join(unknown)}, never dispatched")
    _hold(not goals.worker.overlaps, f"two runs of a thread at once: {goals.worker.overlaps}")


def _hold(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)
