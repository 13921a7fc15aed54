"""What follows when a goal is complete: its record in a file, the next goal of the queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from goalfsm import files
from goalfsm.daemon.host.records import record_path
from goalfsm.errors import GoalError
from goalfsm.session.effects import TakeNextGoal, WriteReport
from goalfsm.session.events import NextGoalRequested
from goalfsm.views.report import markdown, pull_request, record

if TYPE_CHECKING:
    from goalfsm.daemon.flow.ports import Report, Task
    from goalfsm.session.state import Session

_log = structlog.get_logger(__name__)


class NotWritten(GoalError):
    """The record of a goal could not be written; it is tried again at the next start."""

    code = "report_not_written"
    hint = "see that the folder can be written; goalfsm report THREAD prints the record"


class Reports:
    """The performer of `WriteReport`: one file a goal, which a second time only replaces."""

    def __init__(
        self,
        db: str,
        completed: Callable[[str, str], Session | None],
        report: Report,
    ) -> None:
        """Write beside ``db``; tell followers by ``report`` where that fails.

        ``completed(thread_id, goal_id)`` is the thread as it was when that goal had been completed,
        for a goal that it has no more.
        """
        self._db = db
        self._completed = completed
        self._report = report

    def perform(self, task: Task, session: Session) -> None:
        """Write the record; raises `NotWritten`, which leaves the effect open."""
        effect = task.effect
        assert isinstance(effect, WriteReport)  # noqa: S101  performers are chosen by the effect
        goal = session.goal
        if goal is None or goal.goal_id != effect.goal_id:
            session = self._completed(task.thread_id, effect.goal_id) or session
            goal = session.goal
        if goal is None or goal.goal_id != effect.goal_id:
            _log.warning("the record of a goal that is gone is not written", key=task.key)
            return
        # The same text whenever it is written: no clock runs for a goal that is complete.
        made = record(session, goal.updated_at * 1000, thread_id=task.thread_id)
        text = pull_request(made) if effect.form == "pr" else markdown(made)
        path = record_path(self._db, task.thread_id, effect.goal_id)
        try:
            files.write_bytes(path, text.encode())
        except OSError as error:
            refused = NotWritten(f"{path} could not be written: {error.strerror or error}")
            self._report(task.thread_id, refused.code, refused.message, refused.hint)
            raise refused from error


class NextGoals:
    """The performer of `TakeNextGoal`: asks for the next goal where the goal before is complete.

    A second request for the same goal is refused: the thread has another goal by then.
    """

    def perform(self, task: Task, session: Session) -> NextGoalRequested:
        """Return the request that takes up the next goal of the thread's queue."""
        del session
        effect = task.effect
        assert isinstance(effect, TakeNextGoal)  # noqa: S101  performers are chosen by the effect
        return NextGoalRequested(origin="system", expected_goal_id=effect.goal_id)
