"""What workers are asked for: to begin, end and steer a run, and to shorten their own context."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from goalfsm.daemon.flow.turn import compaction_ended, dispatched, work_of
from goalfsm.daemon.host.platform import recorded_identity
from goalfsm.daemon.stages.live_run import LiveRun
from goalfsm.errors import StoreError
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.codec import token_digest
from goalfsm.session.work import route
from goalfsm.store.port import Process
from goalfsm.views.prompts import render_turn
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import checked

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from goalfsm.daemon.config import Assignment, Workers
    from goalfsm.daemon.flow.ports import Events, Inbox, Outbox, Task
    from goalfsm.daemon.host.clock import Clock, IdSource
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.daemon.stages.run_ports import RunPorts
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Session
    from goalfsm.session.work import Queued
    from goalfsm.store.port import Processes

_log = structlog.get_logger(__name__)


class Dispatches:
    """Gives each dispatch its run id and token, and keeps the token for whoever starts the run."""

    def __init__(self, ids: IdSource) -> None:
        """Draw from ``ids``."""
        self._ids = ids
        self._assigned: dict[str, tuple[str, Assignment]] = {}

    def intend(
        self, thread_id: str, assignment: Assignment, work: Queued, session: Session
    ) -> e.RunDispatched:
        """Return the event that opens a run of ``session`` by the worker of ``assignment``.

        ``work`` is what waits in ``session``. It says why the worker is on a route, if it is.
        """
        run_id, token = self._ids.new_id(), self._ids.token()
        self._assigned[thread_id] = (run_id, assignment._replace(token=token))
        digest = token_digest(token)
        return dispatched(
            assignment.worker,
            work,
            run_id=run_id,
            token=digest,
            turn=session.next_turn,
            route=route(session) if assignment.argv else None,
        )

    def take(self, thread_id: str, run_id: str) -> Assignment | None:
        """Return who runs a run that was dispatched here and has not been started, once."""
        intended, assignment = self._assigned.get(thread_id, ("", None))
        if intended != run_id:
            return None
        del self._assigned[thread_id]
        return assignment


class RunControl:
    """The performer of `StartRun`, `EndRun` and `DeliverSteering`."""

    def __init__(
        self,
        ports: RunPorts,
        runs: LiveRuns,
        outbox: Outbox,
        take_assignment: Callable[[str, str], Assignment | None],
        last_words: Callable[[str, Session], str],
        given_up: Callable[[str], bool] = lambda _thread_id: False,
    ) -> None:
        """Keep what is started in ``runs``.

        ``take_assignment(thread_id, run_id)`` returns who runs what was dispatched here;
        ``last_words(thread_id, session)`` what the prompt says of the turn before;
        ``given_up(thread_id)`` whether somebody was told meanwhile that no turn of it follows.
        """
        self._given_up = given_up
        self._ports = ports
        self._runs = runs
        self._outbox = outbox
        self._take_assignment = take_assignment
        self._last_words = last_words

    def perform(self, task: Task, session: Session) -> Awaitable[None] | None:
        """Start, end or steer the thread's run."""
        match task.effect:
            case f.StartRun(run_id=run_id):
                self._start(task, session, run_id)
            case f.EndRun(run_id=run_id, reason=reason):
                self._end(task.thread_id, run_id, reason)
            case f.DeliverSteering(run_id=run_id, message_id=message_id, text=text):
                live = self._runs.get(task.thread_id)
                # Where it is over the thread keeps the message: the next prompt carries it.
                if live is not None and live.run_id == run_id:
                    return live.deliver(message_id, text)
            case _:  # pragma: no cover - performers are chosen by the effect
                raise TypeError(task.effect)
        return None

    def _start(self, task: Task, session: Session, run_id: str) -> None:
        run, thread_id = session.run, task.thread_id
        assignment = self._take_assignment(thread_id, run_id)
        if run is None or run.run_id != run_id or run.ending is not None or assignment is None:
            # It has been reconciled, or is being ended: what was not started never will be.
            return
        if self._given_up(thread_id):
            self._end(thread_id, run_id, "the goal was stopped before it started")
            return
        try:
            prompt = render_turn(session, self._ports.clock.now_ms())
            before = self._last_words(thread_id, session)
            prompt = f"{prompt}\n{before}\n" if before else prompt
        except Exception:
            # The open run says what there is to settle; nothing of it will be started.
            self._outbox.done(task)
            raise
        work = work_of(session, run, prompt, assignment, task, db=self._ports.db)
        live = self._runs[thread_id] = LiveRun(self._ports, run, work, assignment)
        live.start()

    def _end(self, thread_id: str, run_id: str, reason: str) -> None:
        live = self._runs.get(thread_id)
        if live is not None and live.run_id == run_id:
            live.end("interrupted", reason)
            return

        def batch(session: Session) -> Events:
            if session.run is not None and session.run.run_id == run_id:
                yield e.RunInterrupted(run_id=run_id, turn=session.run.turn, detail=reason)

        # Nothing of it was started here, and what an earlier engine started is gone by now.
        self._ports.inbox.run(thread_id, batch)


class Compaction:
    """The performer of `CompactContext`."""

    def __init__(self, inbox: Inbox, workers: Workers, *, db: str) -> None:
        """Ask the thread's worker among ``workers``; tell ``inbox`` what came of it."""
        self._inbox = inbox
        self._workers = workers
        self._db = db

    async def perform(self, task: Task, session: Session) -> e.CompactionEnded:
        """Have the worker shorten its context while the goal is there; return how that ended."""
        effect, goal = task.effect, session.goal
        assert isinstance(effect, f.CompactContext)  # noqa: S101  performers are chosen by the effect
        done = w.Compaction(changed=False)
        if goal is not None and goal.goal_id == effect.goal_id:
            await self._inbox.send(task.thread_id, e.CompactionStarted())
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


class RunRecords:
    """What is written down of the processes of runs, so that a later engine finds what is left."""

    def __init__(
        self, processes: Processes, clock: Clock, stuck: Callable[[StoreError], None]
    ) -> None:
        """Write to ``processes``; ``stuck`` is told of a store that cannot."""
        self._processes = processes
        self._clock = clock
        self._stuck = stuck

    def spawned(self, thread_id: str, run_id: str, spawned: w.Spawned) -> None:
        """Write down the process of a run."""
        process = Process(
            run_id=run_id,
            thread_id=thread_id,
            identity=recorded_identity(spawned.pid, spawned.start_time),
            pgid=spawned.pgid,
            at_ms=self._clock.now_ms(),
        )
        try:
            self._processes.put(process)
        except StoreError as error:
            # Its environment names it as well; the next commit meets the same trouble.
            self._stuck(error)

    def gone(self, run_id: str) -> None:
        """Forget the process of a run: nothing of it is left."""
        try:
            self._processes.end(run_id)
        except StoreError as error:
            self._stuck(error)
