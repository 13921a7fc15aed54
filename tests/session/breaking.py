"""Steps that no session takes, for tests of the invariants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from goalfsm.goal.model import Limits
from goalfsm.session import Reply, Step
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.invariants.invariant import Transition
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

Case = Callable[[], Transition]


class Cases(list[tuple[str, Case]]):
    """Steps that break invariants, with the name of what each of them breaks."""

    def breaks(self, name: str) -> Callable[[Case], Case]:
        """Register a step that breaks the invariant ``name``."""

        def register(case: Case) -> Case:
            self.append((name, case))
            return case

        return register


def step(
    thread: CheckedThread,
    event: e.Event | None = None,
    effects: tuple[f.Effect, ...] = (),
    reply: Reply | None = None,
    **fields: Any,
) -> Transition:
    """Return a step that did this to the thread's session."""
    before = thread.session
    after = Step(replace(before, **fields), effects, reply)
    return Transition(before, event or e.TimerFired(), after, START_MS)


def goal(thread: CheckedThread, event: e.Event | None = None, **fields: Any) -> Transition:
    """Return a step that did this to the thread's goal."""
    return step(thread, event, goal=replace(thread.goal, **fields))


def running() -> CheckedThread:
    """Return a thread with an open run."""
    thread = started()
    thread.dispatch()
    return thread


def limited() -> CheckedThread:
    """Return a thread whose goal has used its budget up."""
    thread = started(limits=Limits(tokens=5))
    thread.dispatch()
    thread.use(5)
    thread.end()
    return thread


def complete() -> CheckedThread:
    """Return a thread whose goal is complete."""
    thread = started()
    thread.do(e.CompletionRequested())
    return thread


WORK = f.SendWork(kind="continuation", goal_id="goal-1", deliver_as="follow_up")
LIMIT = f.SendWork(kind="wind_down", goal_id="goal-1", deliver_as="steer")
