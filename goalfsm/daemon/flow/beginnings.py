"""What a dispatch is: the intent to run, and the event that opens the run."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from goalfsm.daemon.flow.scripts import Marked
from goalfsm.goal.model import LIMITED
from goalfsm.session import events as e
from goalfsm.session.effects import SendWork

if TYPE_CHECKING:
    from goalfsm.daemon.flow.scripts import Said
    from goalfsm.session.state import Session, Step
    from goalfsm.workers.protocol import Worker


class Intent(NamedTuple):
    """A run that is about to be dispatched."""

    run_id: str
    token: str
    goal_id: str
    wind_down: bool
    can_steer: bool
    can_compact: bool


def intent_for(
    worker: Worker, goal_id: str, *, run_id: str, token: str, wind_down: bool = False
) -> Intent:
    """Return the intent to have ``worker`` run the goal's next turn."""
    can = worker.capabilities
    return Intent(
        run_id=run_id,
        token=token,
        goal_id=goal_id,
        wind_down=wind_down,
        can_steer="steer" in can,
        can_compact="compact" in can,
    )


def begun(
    intent: Intent,
    *,
    done: tuple[str, ...] = (),
    takes: tuple[SendWork, ...] = (),
) -> Generator[Said, Step, None]:
    """Yield the dispatch of ``intent``; the queued work is done with it."""
    dispatched = e.RunDispatched(
        run_id=intent.run_id,
        token=intent.token,
        wind_down=intent.wind_down,
        can_steer=intent.can_steer,
        can_compact=intent.can_compact,
    )
    yield Marked(dispatched, done, takes)


def is_wanted(session: Session, goal_id: str) -> bool:
    """Tell whether the thread still waits for this continuation."""
    return session.continuation.queued == goal_id


def is_owed(session: Session, goal_id: str) -> bool:
    """Tell whether the goal's one wind-down turn is still to come."""
    goal = session.goal
    return (
        session.wind_down == "owed"
        and goal is not None
        and goal.goal_id == goal_id
        and goal.status == LIMITED
    )
