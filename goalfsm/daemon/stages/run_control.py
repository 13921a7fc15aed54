"""What workers are asked for: to begin and end a run, to shorten their context; and its records."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from goalfsm.daemon.flow.turn import Gathered, compaction_ended, dispatched, work_of
from goalfsm.daemon.host.platform import recorded_identity
from goalfsm.daemon.stages.live_run import LiveRun, LiveRuns
from goalfsm.errors import StoreError, TooLarge
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.codec import token_digest
from goalfsm.session.work import Queued, route
from goalfsm.store.port import Process, Processes, Transcript, TranscriptKeeping
from goalfsm.views.prompts import last_answer, render_turn
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.daemon.config import Assignment, Workers
    from goalfsm.daemon.flow.ports import Events, Inbox, Outbox, Task
    from goalfsm.daemon.host.platform import Clock, IdSource
    from goalfsm.daemon.stages.run_ports import RunPorts
    from goalfsm.goal.model import Goal
    from goalfsm.session.state import Run, Session


_log = structlog.get_logger(__name__)


class Dispatches(msgspec.Struct, eq=False):
    """Gives each dispatch its run id and token, and keeps the token for whoever starts the run."""

    ids: IdSource
    _assigned: dict[str, tuple[str, Assignment]] = {}

    def intend(
        self, thread_id: str, assignment: Assignment, work: Queued, session: Session
    ) -> e.RunDispatched:
        """Return the event that opens a run of ``session`` by the worker of ``assignment``.

        ``work`` is what waits in ``session``. It says why the worker is on a route, if it is.
        """
        run_id, token = self.ids.new_id(), self.ids.token()
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


class RunControl(msgspec.Struct, eq=False):
    """The performer of `StartRun` and `EndRun`.

    It keeps what is started in ``runs``.

    ``take_assignment(thread_id, run_id)`` returns who runs what was dispatched here;
    ``last_words(thread_id, session)`` what the prompt says of the turn before;
    ``given_up(thread_id)`` whether somebody was told meanwhile that no turn of it follows.
    """

    ports: RunPorts
    runs: LiveRuns
    outbox: Outbox
    take_assignment: Callable[[str, str], Assignment | None]
    last_words: Callable[[str, Session], str]
    given_up: Callable[[str], bool] = lambda _thread_id: False

    def perform(self, task: Task, session: Session) -> None:
        """Start or end the thread's run."""
        match task.effect:
            case f.StartRun(run_id=run_id):
                self._start(task, session, run_id)
            case f.EndRun(run_id=run_id, reason=reason):
                self._end(task.thread_id, run_id, reason)
            case _:  # pragma: no cover - performers are chosen by the effect
                raise TypeError(task.effect)

    def _start(self, task: Task, session: Session, run_id: str) -> None:
        run, thread_id = session.run, task.thread_id
        assignment = self.take_assignment(thread_id, run_id)
        if run is None or run.run_id != run_id or run.ending is not None or assignment is None:
            # It has been reconciled, or is being ended: what was not started never will be.
            return
        if self.given_up(thread_id):
            self._end(thread_id, run_id, "the goal was stopped before it started")
            return
        try:
            prompt = render_turn(session, self.ports.clock.now_ms())
            before = self.last_words(thread_id, session)
            prompt = f"{prompt}\n{before}\n" if before else prompt
        except Exception:
            # The open run says what there is to settle; nothing of it will be started.
            self.outbox.done(task)
            raise
        work = work_of(session, run, prompt, assignment, task, db=self.ports.db)
        live = self.runs[thread_id] = LiveRun(self.ports, run, work, assignment)
        live.start()

    def _end(self, thread_id: str, run_id: str, reason: str) -> None:
        live = self.runs.get(thread_id)
        if live is not None and live.run_id == run_id:
            live.end("interrupted", reason)
            return

        def batch(session: Session) -> Events:
            if session.run is not None and session.run.run_id == run_id:
                yield e.RunInterrupted(run_id=run_id, turn=session.run.turn, detail=reason)

        # Nothing of it was started here, and what an earlier engine started is gone by now.
        self.ports.inbox.run(thread_id, batch)


class Compaction(msgspec.Struct, eq=False):
    """The performer of `CompactContext`.

    It asks the thread's worker among ``workers``, and tells ``inbox`` what came of it.
    """

    inbox: Inbox
    workers: Workers
    db: str

    async def perform(self, task: Task, session: Session) -> e.CompactionEnded:
        """Have the worker shorten its context while the goal is there; return how that ended."""
        effect, goal = task.effect, session.goal
        assert isinstance(effect, f.CompactContext)  # noqa: S101  performers are chosen by the effect
        done = w.Compaction(changed=False)
        if goal is not None and goal.goal_id == effect.goal_id:
            await self.inbox.send(task.thread_id, e.CompactionStarted())
            done = await self._compacted(task, goal, session)
        return compaction_ended(effect.goal_id, done)

    async def _compacted(self, task: Task, goal: Goal, session: Session) -> w.Compaction:
        try:
            # What there is to shorten is of whoever saved it.
            saved = None if session.worker_session is None else session.worker
            argv = () if saved is None else saved.argv
            assignment = await self.workers.assignment(task.thread_id, argv)
            if assignment is None or "compact" not in assignment.worker.capabilities:
                return w.Compaction(changed=False)
            work = w.Work(
                db=self.db,
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


class RunRecords(msgspec.Struct, eq=False):
    """What is written down of the processes of runs, so that a later engine finds what is left.

    ``stuck`` is told of a store that cannot write it.
    """

    processes: Processes
    clock: Clock
    stuck: Callable[[StoreError], None]

    def spawned(self, thread_id: str, run_id: str, spawned: w.Spawned) -> None:
        """Write down the process of a run."""
        process = Process(
            run_id=run_id,
            thread_id=thread_id,
            identity=recorded_identity(spawned.pid, spawned.start_time),
            pgid=spawned.pgid,
            at_ms=self.clock.now_ms(),
        )
        try:
            self.processes.put(process)
        except StoreError as error:
            # Its environment names it as well; the next commit meets the same trouble.
            self.stuck(error)

    def gone(self, run_id: str) -> None:
        """Forget the process of a run: nothing of it is left."""
        try:
            self.processes.end(run_id)
        except StoreError as error:
            self.stuck(error)


_SHOWN: Final = 2_000
"""How many characters of the last answer the next prompt carries."""

_LAST: Final = 1_000
"""Of how many threads the last answer is remembered until the next turn; the store has them all."""

_LATE: Final = 16
"""How many turns' words wait for a store in trouble."""


class Transcripts(msgspec.Struct, eq=False):
    """What the runs of every thread said; losing one harms nobody.

    They are kept in ``keeping``; ``elsewhere``: others run turns of the same threads, too.
    """

    keeping: TranscriptKeeping
    clock: Clock
    elsewhere: bool = False
    _last: dict[str, tuple[int, str]] = {}
    """The turn of a thread that ended last, and the end of its answer, for the next prompt."""
    _late: deque[Transcript] = msgspec.field(default_factory=partial(deque, maxlen=_LATE))
    """What the store did not take yet."""

    def keep(self, thread_id: str, run: Run, seen: Gathered) -> None:
        """Keep what a run said, where it said something."""
        words = "" if seen.exited is None else seen.clean(seen.exited.stderr_tail)
        answer = seen.clean(seen.said.kept().decode("utf-8", "replace")).encode()
        if not answer and not words:
            return
        stderr = words.encode("utf-8", "replace")
        transcript = Transcript(
            thread_id=thread_id,
            run_id=run.run_id,
            turn=run.turn,
            at_ms=self.clock.now_ms(),
            answer=answer,
            stderr=stderr,
            answer_bytes=max(seen.said.total, len(answer)),
            stderr_bytes=len(stderr),
        )
        self._late.append(transcript)
        if not self.elsewhere:
            self._last.pop(thread_id, None)
            if len(self._last) >= _LAST:
                del self._last[next(iter(self._last))]
            self._last[thread_id] = (run.turn, _end_of(answer))
        self._put_late()

    def _put_late(self) -> None:
        """Keep what could not be before; a store in trouble is asked again at the next turn."""
        try:
            while self._late:
                with contextlib.suppress(TooLarge):
                    self.keeping.put(self._late[0])
                self._late.popleft()
        except StoreError as error:
            _log.debug("what turns said is kept later", turns=len(self._late), code=error.code)

    def last_words(self, thread_id: str, session: Session) -> str:
        """Return what the run of ``session`` is told of the turn before it, for its prompt.

        "" for a worker that has a session of its own, and for the first turn of a goal.
        """
        goal, run = session.goal, session.run
        alone = session.worker_session is None and goal is not None and goal.continuations > 1
        if run is None or not alone:
            return ""
        turn, text = self._last.pop(thread_id, (0, ""))
        if turn != run.turn - 1:
            text = self._stored(thread_id, run)
        return last_answer(text) if text else ""

    def _stored(self, thread_id: str, run: Run) -> str:
        self._put_late()
        try:
            found = self.keeping.read(thread_id, before_turn=run.turn, limit=1)
        except StoreError:
            return ""
        return _end_of(found[0].answer) if found else ""


def _end_of(answer: bytes) -> str:
    """Return the end of an answer that a prompt shows."""
    return answer.decode("utf-8", "replace").strip()[-_SHOWN:]
