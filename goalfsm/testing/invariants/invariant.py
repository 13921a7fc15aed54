"""One invariant: what it says of a step, and the function that raises when it does not hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from goalfsm.goal.model import Goal
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.context import Step
from goalfsm.session.state import Session


class Transition(NamedTuple):
    """One step: the session before, what happened, what came of it, and when (unix ms)."""

    before: Session
    event: e.Event
    step: Step
    now_ms: int | None

    @property
    def after(self) -> Session:
        """Return the session after the step."""
        return self.step.session

    @property
    def same_goal(self) -> tuple[Goal, Goal] | None:
        """Return the goal before and after, None when it is another one or was loaded anew."""
        before, after = self.before.goal, self.after.goal
        if before is None or after is None or before.goal_id != after.goal_id:
            return None
        return None if isinstance(self.event, LOADS) else (before, after)

    def all(self, kind: type[f.Effect]) -> tuple[f.Effect, ...]:
        """Return the effects of one kind, in order."""
        return tuple(effect for effect in self.step.effects if isinstance(effect, kind))


LOADS: Final = (e.SessionStarted, e.TreeChanged)
"""Events that put a history in the place of what was known: nothing has to follow on."""

Look = Callable[[Transition], None]


class Invariant(NamedTuple):
    """What always holds, in words, and the function that raises when it does not."""

    says: str
    look: Look


class Chapter:
    """Invariants about one thing, in the order in which they are written."""

    def __init__(self) -> None:
        """Have no invariant yet."""
        self._written: list[Invariant] = []

    def says(self, sentence: str) -> Callable[[Look], Look]:
        """Add the decorated function as what looks whether ``sentence`` holds."""

        def write(look: Look) -> Look:
            self._written.append(Invariant(sentence, look))
            return look

        return write

    def __iter__(self) -> Iterator[Invariant]:
        return iter(self._written)


def hold(condition: object, message: str) -> None:
    """Raise AssertionError with ``message`` unless ``condition`` is true."""
    if not condition:
        raise AssertionError(message)
