"""The rules that a context gives: every machine can be another one, and each tells of its rows."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm import GoalThread, Rules, Stop, default_machine, events
from goalfsm.goal.compiler import Row
from goalfsm.session.context import LIFECYCLE, PHASES
from goalfsm.session.continuation import GUARDS, Guard
from goalfsm.session.policy import Policy
from recovery import LIFECYCLE as LIFECYCLE_ROWS
from recovery import PHASE_TRANSITIONS
from recovery.machine import compile_phases
from recovery.observers import OBSERVERS
from recovery.stale_work import compile_lifecycle

GIVEN = events.ObjectiveGiven(objective="an objective")
OVERFLOW = events.Message(
    role="assistant", stop_reason="error", error="prompt is too long: 9 tokens > 8 maximum"
)


def thread(**rules: Any) -> GoalThread:
    """Return a thread of a host that retries and compacts, whose rules are others than ours."""
    return GoalThread.new(Policy.reference(), thread_id="t", rules=Rules(**rules))


def play(one: GoalThread, *happened: events.Event) -> None:
    for number, event in enumerate(happened):
        one.step(event, id=f"{number}", at_ms=1_800_000_000_000 + number)


def test_the_machine_of_goals_is_the_contexts() -> None:
    machine = default_machine().extended(
        [Row("pause", "active", "blocked", when="ever")], guards={"ever": lambda _goal: True}
    )
    own = thread(machine=machine)
    play(own, GIVEN, events.PauseRequested())
    assert own.session.goal is not None
    assert own.session.goal.status == "blocked"


def test_the_phases_of_recovery_are_the_contexts() -> None:
    """Without the row that begins it, an overflow is not waited for."""
    phases = compile_phases(row for row in PHASE_TRANSITIONS if row.trigger != "begin_overflow")
    states = []
    for own in (thread(), thread(phases=phases)):
        play(own, GIVEN, events.AgentEnded(messages=(OVERFLOW,)))
        states.append(own.session.recovery.phase)
    assert states == ["host_overflow_recovering_needs_user_start", "idle"]


def test_the_lifecycle_of_stale_work_is_the_contexts() -> None:
    lifecycle = compile_lifecycle(
        row for row in LIFECYCLE_ROWS if row.trigger != "stale_work_started"
    )
    old = events.Message(role="custom", work=events.GoalWork("continuation", "given-up"))
    kinds = []
    for own in (thread(), thread(lifecycle=lifecycle)):
        play(own, GIVEN, events.MessageStarted(message=old))
        kinds.append(type(own.session.stale).__name__)
    assert kinds == ["ObservingTurn", "Idle"]


def test_the_order_of_decisions_is_the_contexts() -> None:
    never = Guard("never", "Is it ever time?", lambda _: Stop("never", "no_progress", "not now"))
    own = thread(guards=(never, *GUARDS))
    play(own, GIVEN)
    assert own.session.decision is not None
    assert own.session.decision.guard == "never"


@pytest.mark.parametrize("event", [GIVEN, events.ShutdownStarted()])
def test_what_looks_on_changes_nothing_and_is_told_by_which_table(event: events.Event) -> None:
    alone, watched = thread(), thread()
    told: list[object] = []
    play(alone, GIVEN, event)
    OBSERVERS.append(lambda table, _row: told.append(table))
    try:
        play(watched, GIVEN, event)
    finally:
        OBSERVERS.pop()
    assert watched.session == alone.session
    tables = (PHASES, LIFECYCLE, GUARDS)
    assert any(one is GUARDS for one in told)
    assert all(any(one is known for known in tables) or hasattr(one, "rows") for one in told)
