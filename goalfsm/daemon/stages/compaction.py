"""Has a worker shorten its own context, between two turns."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from goalfsm.daemon.flow.turn import compaction_ended
from goalfsm.session.effects import CompactContext
from goalfsm.session.events import CompactionEnded, CompactionStarted
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import checked

if TYPE_CHECKING:
    from goalfsm.daemon.config import Workers
    from goalfsm.daemon.flow.ports import Inbox, Task
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Session

_log = structlog.get_logger(__name__)


class Compaction:
    """The performer of `CompactContext`."""

    def __init__(self, inbox: Inbox, workers: Workers, *, db: str) -> None:
        """Ask the thread's worker among ``workers``; tell ``inbox`` what came of it."""
        self._inbox = inbox
        self._workers = workers
        self._db = db

    async def perform(self, task: Task, session: Session) -> CompactionEnded:
        """Have the worker shorten its context while the goal is there; return how that ended."""
        effect, goal = task.effect, session.goal
        assert isinstance(effect, CompactContext)  # noqa: S101  performers are chosen by the effect
        done = w.Compaction(changed=False)
        if goal is not None and goal.goal_id == effect.goal_id:
            await self._inbox.send(task.thread_id, CompactionStarted())
            done = await self._compacted(task, goal, session)
        return compaction_ended(effect.goal_id, done)

    async def _compacted(self, task: Task, goal: Goal, session: Session) -> w.Compaction:
        try:
            # What there is to shorten is of whoever saved it.
            saved = None if session.worker_session is None else session.worker
            argv = () if saved is None else saved.argv
            assignment = await self._workers.assignment(task.thread_id, argv)
            if assignment is None or "compact" not in assignment.worker.capabilities:
                return w.Compaction(changed=False)
            work = w.Work(
                db=self._db,
                thread_id=task.thread_id,
                goal_id=goal.goal_id,
                run_id=task.key,
                run_token="",
                turn=goal.continuations,
                objective=goal.objective,
                prompt="",
                kind="compact",
                turn_timeout_s=assignment.turn_timeout_s,
                silence_timeout_s=assignment.silence_timeout_s,
                session=session.worker_session,
            )
            return checked(await assignment.worker.compact(work))
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001  a worker of the embedder's may raise anything
            _log.exception("compaction failed", thread_id=task.thread_id, goal_id=goal.goal_id)
            return w.Compaction(changed=False)
