"""What holds after every step of every session, whatever happened: written down once.

It may use sessions, goals and recovery, to read them; it changes nothing.

``check(before, event, step)`` looks at one step of ``goalfsm.session.rules.handle`` and raises
AssertionError with a sentence when an invariant is broken. It keeps nothing between calls, so the
same function serves property tests, simulations and an embedder's own host. Sessions are taken to
come from ``handle``: one that was put together by hand may break an invariant before its first
step.
"""

from __future__ import annotations

from typing import Final

from goalfsm.session import events as e
from goalfsm.session.context import Step
from goalfsm.session.state import Session
from goalfsm.testing.invariants.charges import CHARGES
from goalfsm.testing.invariants.goals import GOALS
from goalfsm.testing.invariants.invariant import Transition
from goalfsm.testing.invariants.requests import REQUESTS
from goalfsm.testing.invariants.sessions import SESSIONS, TIMERS

INVARIANTS: Final = (*SESSIONS, *GOALS, *REQUESTS, *CHARGES, *TIMERS)
"""Every invariant, in the order in which they are checked."""


def check(before: Session, event: e.Event, step: Step, *, now_ms: int | None = None) -> None:
    """Raise AssertionError, naming the invariant, when ``step`` breaks one.

    ``now_ms`` is the time that was given to ``handle``; where it is left out the decision's own
    time is taken.
    """
    if now_ms is None and step.decision is not None:
        now_ms = step.decision.at_ms
    transition = Transition(before, event, step, now_ms)
    for says, look in INVARIANTS:
        try:
            look(transition)
        except AssertionError as broken:
            message = f"{says}\n  broken: {broken}\n  event: {event}"
            raise AssertionError(message) from None
