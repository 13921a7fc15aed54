"""What follows when a goal is complete: the next one of its thread's queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.session.effects import TakeNextGoal
from goalfsm.session.events import NextGoalRequested

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Task
    from goalfsm.session.state import Session


class NextGoals:
    """The performer of `TakeNextGoal`: asks for the next goal where the goal before is complete.

    Asked for once more, it is refused: the thread has another goal by then.
    """

    def perform(self, task: Task, session: Session) -> NextGoalRequested:
        """Return what asks for it."""
        del session
        effect = task.effect
        assert isinstance(effect, TakeNextGoal)  # noqa: S101  performers are chosen by the effect
        return NextGoalRequested(origin="system", expected_goal_id=effect.goal_id)
