"""One run: the worker's events become the thread's, until its end has been recorded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from goalfsm.daemon.flow.notices import Output
from goalfsm.daemon.flow.threads import PROCESSES
from goalfsm.daemon.flow.turn import Gathered, ended, outcome_of, usage_id
from goalfsm.errors import GoalError, StoreError, described
from goalfsm.goal.model import LIMITED
from goalfsm.session import events as e
from goalfsm.session.effects import DeliverSteering
from goalfsm.session.state import FAULT_CODE
from goalfsm.text import duration
from goalfsm.views.prompts import steering_text, wind_down_text
from goalfsm.views.tool_answers import respond
from goalfsm.workers import protocol as w
from goalfsm.workers.inprocess import checked_event, exception_reported

if TYPE_CHECKING:
    from goalfsm.daemon.config import Assignment
    from goalfsm.daemon.flow.ports import EventBatch, Events, Task
    from goalfsm.daemon.stages.run_ports import RunPorts
    from goalfsm.session.state import Reply, Run, Session

Ending = Literal["interrupted", "killed"]
"""Why a run is ended early: the thread is needed; we may not write any more."""

_ROOM: Final = 128
"""How many of a run's events may wait to be committed before the worker has to wait."""
_SHOWN: Final = 500
_INSIST_S: Final = 1.0

_log = structlog.get_logger(__name__)


class LiveRun:
    """A run whose worker this engine has started."""

    def __init__(self, ports: RunPorts, run: Run, work: w.Work, assignment: Assignment) -> None:
        """Prepare ``run``, in which the worker of ``assignment`` does ``work``; see `start`."""
        self.run_id = run.run_id
        self.thread_id = thread_id = work.thread_id
        self._work = work
        self._ports = ports
        self.run = run
        self._worker = assignment.worker
        self._assignment = assignment
        self.gathered = Gathered(assignment.token)
        self._task: asyncio.Task[None] | None = None
        self._ending: Ending | None = None
        self._detail = ""
        self._recording = False
        self._spawned = False
        self._winding_down = run.wind_down
        self._lives = False
        self._sign: asyncio.Event | None = None
        """The first sign of life, of whoever waits for it."""
        self._log = _log.bind(
            thread_id=thread_id, goal_id=run.goal_id, run_id=run.run_id, turn=run.turn
        )

    def start(self) -> None:
        """Start the worker: from here on the open run says that there may be something to end."""
        self._log.info("run started", wind_down=self.run.wind_down)
        self._task = asyncio.get_running_loop().create_task(self._drive())
        self._task.add_done_callback(self._over)

    def end(self, how: Ending, detail: str = "") -> None:
        """End the worker; what that means for the thread is recorded when it is gone.

        A second call changes nothing, except that ``killed`` wins: then nothing is recorded.
        """
        if self._task is None or self._task.done() or (self._recording and how != "killed"):
            return  # its worker is gone, and how it went is or is being recorded
        first = self._ending is None
        if first or how == "killed":
            self._ending, self._detail = how, detail
        if how == "killed":
            self._task.cancel()
            asyncio.get_running_loop().call_later(_INSIST_S, self._insist, self._task)
        elif first:
            # In a task of its own: the run's task has then begun, and can record its end.
            self._ports.spawn(self._abort(self._task), f"abort {self.run_id}")
        if first:
            self._log.info("run is being ended", how=how, detail=detail)

    def _insist(self, task: asyncio.Task[None]) -> None:
        """Have the worker end what a cancelled task did not: a function of ours may resist."""
        if not task.done() and "abort" in self._worker.capabilities:
            self._ports.spawn(self._worker.abort(self.run_id), f"kill {self.run_id}")

    async def steer(self, message_id: str, text: str) -> bool:
        """Hand a message to the running turn; False when it cannot take it.

        A turn that was just started may have no input yet: it is asked again when it shows life.
        """
        if self._task is None or "steer" not in self._worker.capabilities:
            return False
        lives = self._lives
        if await self._offer(self._task, message_id, text):
            return True
        if lives:
            return False
        sign = self._sign = self._sign or asyncio.Event()
        if self._lives:
            sign.set()
        begun = asyncio.ensure_future(sign.wait())
        try:
            await asyncio.wait({self._task, begun}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            begun.cancel()
        return await self._offer(self._task, message_id, text)

    async def _offer(self, task: asyncio.Task[None], message_id: str, text: str) -> bool:
        if task.done() or self._ending is not None:
            return False
        return await self._worker.steer(self.run_id, message_id, text)

    def wind_down(self, session: Session) -> None:
        """Have the running turn wind its work down, once, where the goal has come to owe that.

        Where the worker does not take it, or ends before, a turn of its own follows.
        """
        goal, run = session.goal, session.run
        owed = session.wind_down == "owed" and goal is not None and goal.status == LIMITED
        mine = run is not None and run.run_id == self.run_id and run.can_steer
        if goal is not None and owed and mine and not self._winding_down:
            self._winding_down = True
            told = self._wind_down(goal.goal_id, wind_down_text(session))
            self._ports.spawn(told, f"wind down {self.run_id}")

    async def _wind_down(self, goal_id: str, text: str) -> None:
        if not await self.steer(f"wind-down-{goal_id}", text):
            return

        def batch(session: Session) -> Events:
            # A turn that has ended meanwhile may not have seen it: then it gets one of its own.
            if session.run is not None and session.run.run_id == self.run_id:
                yield e.WindDownDelivered(run_id=self.run_id)

        await _quietly(self._ports.inbox.run(self.thread_id, batch))

    async def deliver(self, message_id: str, text: str) -> None:
        """Hand a person's message to the running turn; the thread keeps one that is not taken."""
        sent = await self.steer(message_id, steering_text(message_id, text))
        self._log.info("steering", message_id=message_id, sent=sent)

    def spare(self, pid: int) -> None:
        """Keep a process that the goal waits for from being ended with the run."""
        if isinstance(self._worker, w.Sparing):
            self._worker.spare(self.run_id, pid)

    async def wait(self) -> None:
        """Return when the worker is gone and its end is recorded."""
        if self._task is not None:
            await asyncio.wait({self._task})

    # The worker's life.

    async def _abort(self, task: asyncio.Task[None]) -> None:
        worker = self._worker
        if "abort" not in worker.capabilities or not await worker.abort(self.run_id):
            # Closing the worker's iterator ends the run as well.
            task.cancel()

    async def _drive(self) -> None:
        try:
            if self._is_ours():
                await self._listen()
        except asyncio.CancelledError:
            if self._ending is None:
                raise
        except Exception as error:  # noqa: BLE001 - a worker of the embedder's may raise anything
            self._log.exception("worker raised")
            self.gathered.take(exception_reported(error))
        if self._ending != "killed":
            await self._record()
            if self._spawned:
                self._ports.recorded(self.run_id)

    def _is_ours(self) -> bool:
        """Tell whether a worker may start; where the store cannot say, no other one may either."""
        try:
            return self._ports.confirm()
        except StoreError as error:
            self._ports.stuck(error)
            return False

    async def _listen(self) -> None:
        events = self._worker.run(self._work)
        try:
            async for said in events:
                event = checked_event(said)
                self._lives = True
                if self._sign is not None:
                    self._sign.set()
                await self._take(event)
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()

    async def _take(self, event: w.TurnEvent) -> None:  # noqa: C901 - one case an event
        seen = self.gathered
        seen.take(event)
        match event:
            case w.Spawned(pid=pid):
                self._spawned = True  # what a crash would have to end is written down
                self._ports.spawned(self.thread_id, self.run_id, event)
                self._log.debug("worker spawned", pid=pid)
            case w.Text(text=text):
                self._show(text)
            case w.UsageReported():
                usage = seen.usage(self.run, event)
                await self._send(usage, event_id=usage_id(usage.key))
            case w.SessionSaved(session=data):
                await self._send(e.SessionSaved(run_token=self.run.token, data=data))
            case w.ToolEnded(name=name, ok=ok):
                await self._send(e.ToolFinished(name=name, ok=ok))
            case w.ToolCalled():
                result = await self._answer(event)
                await self._worker.tool_result(self.run_id, event.id, result)
            case w.WaitDeclared():
                await self._send(seen.wait(self.run, event, self._ports.clock.now_ms()))
            case w.SteeringAcknowledged(id=taken):
                await self._send(e.SteeringAcknowledged(message_id=taken, run_token=self.run.token))
            case w.Skipped(reason=reason, excerpt=excerpt, count=count):
                self._skipped(reason, excerpt, count)
            case w.RetryReported():
                self._retrying(event)

    async def _send(self, event: e.Event, *, event_id: str = "") -> None:
        """Wait for a commit only when too many wait already: then the worker has to wait too."""
        reply = self._ports.inbox.send(self.thread_id, event, event_id=event_id)
        if self._ports.inbox.waiting(self.thread_id) > _ROOM:
            await _quietly(reply)

    def _show(self, text: str) -> None:
        subscriptions, thread_id = self._ports.subscriptions, self.thread_id
        if subscriptions.has(thread_id):
            shown = self.gathered.clean(text)
            said = Output(thread_id=thread_id, run_id=self.run_id, text=shown)
            subscriptions.give(said, len(shown))

    async def _answer(self, call: w.ToolCalled) -> w.ToolResult:
        """Decide a goal tool's call after everything before it; return what the model is told."""
        arguments = dict(call.arguments)
        event = e.ToolCalled(name=call.name, arguments=arguments, run_token=self.run.token)
        try:
            reply = await asyncio.shield(self._ports.inbox.send(self.thread_id, event))
            session = self._ports.sessions.session(self.thread_id)
        except GoalError as error:
            return w.ToolResult(ok=False, error=error.message, code=error.code)
        except Exception as error:  # noqa: BLE001  the quarantine has said so; the model is told
            why = f"the call could not be decided: {described(error)}"
            return w.ToolResult(ok=False, error=why, code=FAULT_CODE)
        response = respond(reply, session, self._ports.clock.now_ms())
        if not response.ok:
            return w.ToolResult(ok=False, error=response.text, code=reply.code)
        result = {"text": response.text, "data": msgspec.to_builtins(response.data)}
        return w.ToolResult(ok=True, result=result, code=reply.code)

    def _skipped(self, reason: str, excerpt: str, count: int) -> None:
        shown = self.gathered.clean(excerpt)
        self._log.warning("output skipped", reason=reason, excerpt=shown, count=count)
        times = "" if count == 1 else f" ({count:,} times)"
        message = f"{reason}{times}" + (f": {shown}" if shown else "")
        self._ports.report(self.thread_id, "output_skipped", message, "")

    def _retrying(self, event: w.RetryReported) -> None:
        """Say that the worker itself tries again: its silence may take minutes."""
        shown = self.gathered.clean(event.message)[:_SHOWN]
        self._log.info("worker retries", message=shown, seconds=event.seconds)
        when = f" in {duration(event.seconds)}" if event.seconds else ""
        which = "" if event.attempt is None else f" (try {event.attempt:,})"
        message = f"the worker tries again{when}{which}: {shown}"
        self._ports.report(self.thread_id, "worker_retries", message, "")

    # Its end.

    async def _record(self) -> None:
        """Commit what the end means; let the thread go on once nothing of the run is left."""
        self._recording = True
        self._ports.said(self.thread_id, self.run, self.gathered)
        exited, ports, thread_id = self.gathered.exited, self._ports, self.thread_id
        left = () if exited is None else exited.left
        if left:
            ports.holds.add(PROCESSES, thread_id)
            self._log.error("processes could not be ended", pids=left)
        if left and ports.ends_whole:
            await ports.gone(left)
            ports.holds.release(PROCESSES, thread_id)
            left = ()
        try:
            await self._record_end()
        except Exception:
            # Another closes the run, and would not know what its thread waits for.
            ports.spawn(self._free(left), f"left of {self.run_id}")
            raise
        await self._free(left)

    async def _free(self, left: tuple[int, ...]) -> None:
        """Let the thread go on when the processes that were left are gone."""
        if left:
            await self._ports.gone(left)
            self._ports.holds.release(PROCESSES, self.thread_id)
            await _quietly(self._ports.inbox.send(self.thread_id, e.HostChanged(idle=True)))

    async def _record_end(self) -> None:
        """Commit how the turn went; where that meets a fault, that it is over."""
        try:
            await _quietly(self._ports.inbox.run(self.thread_id, self._end_batch()))
        except Exception as error:  # noqa: BLE001 - the quarantine has said what it was
            self._ending = "interrupted"
            self._detail = f"its end could not be decided: {described(error)}"
            await _quietly(self._ports.inbox.run(self.thread_id, self._end_batch()))

    def _end_batch(self) -> EventBatch:
        """Return the end as an event, and the next dispatch when nothing of the run is left."""
        run, seen, ports = self.run, self.gathered, self._ports
        is_interrupted = self._ending == "interrupted" or seen.lost
        gone = not ports.holds.has(PROCESSES, self.thread_id)

        def batch(session: Session) -> Events:
            if session.run is None or session.run.run_id != run.run_id:
                return
            if is_interrupted:
                now_ms, why = ports.clock.now_ms(), self._why()
                ready = yield e.RunInterrupted(
                    run_id=run.run_id, turn=run.turn, detail=why, ended_ms=now_ms, gone=gone
                )
            else:
                ready = yield ended(session.run, seen, zone=ports.clock.zone, gone=gone)
            if gone:
                yield from ports.follow_on(self.thread_id, self._assignment, ready.state)

        return batch

    def _why(self) -> str:
        error = self.gathered.error
        return self.gathered.clean(self._detail or ("" if error is None else error.message))

    def _over(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("run failed", exc_info=error)
        failure = self.gathered.error
        self._log.info(
            "run ended",
            outcome=self._ending or outcome_of(self.gathered),
            answer_length=self.gathered.answer_length,
            error=None if failure is None else self.gathered.clean(failure.message)[:_SHOWN],
        )
        self._ports.over(self.thread_id, self.run_id)


class LiveRuns(dict[str, LiveRun]):
    """The runs that go on here, by thread; the performer of `DeliverSteering`."""

    def perform(self, task: Task, session: Session) -> Awaitable[None] | None:
        """Hand a message to the turn that runs; where it is over, the next prompt carries it."""
        del session
        effect, live = task.effect, self.get(task.thread_id)
        assert isinstance(effect, DeliverSteering)  # noqa: S101  performers are chosen by the effect
        if live is None or live.run_id != effect.run_id:
            return None
        return live.deliver(effect.message_id, effect.text)

    def said(self, thread_id: str) -> Output | None:
        """Return what the thread's run has said so far, None where there is nothing."""
        run = self.get(thread_id)
        return None if run is None else run.gathered.so_far(thread_id, run.run_id)

    def remove(self, thread_id: str, run_id: str) -> None:
        """Forget a run that is over; another one of its thread stays."""
        if (live := self.get(thread_id)) is not None and live.run_id == run_id:
            del self[thread_id]


async def _quietly(reply: asyncio.Future[Reply]) -> None:
    """Wait for a commit; that it failed is said where the engine ends."""
    with contextlib.suppress(GoalError):
        await asyncio.shield(reply)
