"""Who does the effects that are no run's: verifiers, callbacks, records, waits for a process."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec
import structlog

from goalfsm import files
from goalfsm.daemon.host.records import record_path
from goalfsm.errors import GoalError, described
from goalfsm.goal.model import ACTIVE, Goal, Status, Verifier
from goalfsm.session.effects import (
    AskPerson,
    RunCallback,
    RunUntil,
    RunVerifier,
    TakeNextGoal,
    WatchProcess,
    WriteReport,
)
from goalfsm.session.events import (
    NextGoalRequested,
    ProcessEnded,
    UntilChecked,
    VerificationFinished,
)
from goalfsm.session.state import Claim, Session
from goalfsm.views.report import markdown, pull_request, record
from goalfsm.workers.sealing import Sealed, changed
from goalfsm.workers.supervisor import identity
from goalfsm.workers.verifier import run_verifier

if TYPE_CHECKING:
    from goalfsm.daemon.config import Processes
    from goalfsm.daemon.flow.ports import Report, Task
    from goalfsm.daemon.stages.live_run import LiveRuns
    from goalfsm.workers.isolating import Isolation


MAX_DETAIL: Final = 4_000
"""Most characters of what a verifier said that are kept: its end."""

_log = structlog.get_logger(__name__)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verifier says of a claim; ``timed_out`` where it took too long to say anything."""

    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""
    timed_out: bool = False


Answer = Verdict | bool | str | None
"""A verdict, or True or None for passed, False for failed, a text for failed and why."""
VerifierFunction = Callable[[Goal, Claim], Answer | Awaitable[Answer]]
"""Gets the goal and the claim; may be a coroutine function. What it raises is unverifiable."""


class Verifiers(msgspec.Struct, eq=False):
    """The performer of `RunVerifier` and `RunUntil`: as many of them as ``at_once`` lets.

    Programs are run under ``processes``, and callables by their ``registered`` names.
    ``session(thread_id)`` is asked whether the claim is still open when its turn comes,
    ``isolation(thread_id)`` what programs see that check the work of an isolated one.
    """

    session: Callable[[str], Session]
    processes: Processes
    registered: Mapping[str, VerifierFunction]
    at_once: asyncio.Semaphore
    isolation: Callable[[str], Isolation | None] = lambda _thread_id: None

    async def perform(
        self, task: Task, session: Session
    ) -> VerificationFinished | UntilChecked | None:
        """Run a verifier and return its outcome; None where its claim is not open any more.

        Cancelled, it returns when nothing of the program is left.
        """
        effect = task.effect
        assert isinstance(effect, RunVerifier | RunUntil)  # noqa: S101  performers are chosen by the effect
        async with self.at_once:
            if isinstance(effect, RunUntil):
                return await self._until(effect, task.thread_id)
            session = self.session(task.thread_id)
            goal, claim = session.goal, session.claim
            if goal is None or claim is None or claim.claim_id != effect.claim_id:
                return None
            verifier = goal.verifiers[effect.index]
            verdict = await self._run(task.thread_id, goal, claim, verifier)
        _log.info(
            "verifier finished",
            thread_id=task.thread_id,
            goal_id=goal.goal_id,
            verifier=effect.index + 1,
            outcome=verdict.outcome,
        )
        return VerificationFinished(
            claim_id=effect.claim_id,
            index=effect.index,
            outcome=verdict.outcome,
            detail=verdict.detail[-MAX_DETAIL:],
            digest=_seal(verdict),
        )

    async def _until(self, effect: RunUntil, thread_id: str) -> UntilChecked | None:
        session = self.session(thread_id)
        goal, check = session.goal, session.check
        if goal is None or goal.until is None:
            return None
        if check is None or check.check_id != effect.check_id:
            return None
        claim = Claim(claim_id=check.check_id, goal_id=goal.goal_id, at_ms=0)
        verdict = await self._run(thread_id, goal, claim, goal.until)
        _log.info(
            "until checked", thread_id=thread_id, goal_id=goal.goal_id, outcome=verdict.outcome
        )
        return UntilChecked(
            check_id=check.check_id,
            outcome=verdict.outcome,
            detail=verdict.detail[-MAX_DETAIL:],
            digest=_seal(verdict),
            timed_out=verdict.timed_out,
        )

    async def _run(self, thread_id: str, goal: Goal, claim: Claim, verifier: Verifier) -> Verdict:
        match verifier.kind:
            case "command":
                return await self._program(thread_id, verifier)
            case "callable":
                return await self._callable(goal, claim, verifier)
            case "person":
                return Verdict(outcome="unverifiable", detail="only a person can tell")

    async def _program(self, thread_id: str, verifier: Verifier) -> Verdict:
        try:
            supervisor = await self.processes.supervisor()
            # What the turns have made runs in it: it could do what no turn may.
            isolation = self.isolation(thread_id)
        except GoalError as error:
            return Verdict(outcome="unverifiable", detail=f"{error.message}. Hint: {error.hint}")
        sealed = tuple(Sealed(**msgspec.structs.asdict(each)) for each in verifier.sealed)
        asks = verifier.on_change == "ask"
        result = await run_verifier(
            verifier.argv,
            supervisor=supervisor,
            cwd=verifier.cwd,
            timeout_s=verifier.timeout_s,
            sealed=sealed if asks else (),
            isolation=isolation,
        )
        name = " ".join(verifier.argv)
        if not asks:
            argv, cwd = verifier.argv, verifier.cwd
            differing = await asyncio.to_thread(changed, sealed, argv, cwd)
            name += f" (changed since it was sealed: {', '.join(differing)})" if differing else ""
        said = result.output_tail.strip()
        why = f"{name}: {result.reason}" if result.reason else name
        detail = f"{why}\n{said}" if said else why
        return Verdict(outcome=result.status, detail=detail, timed_out=result.timed_out)

    async def _callable(self, goal: Goal, claim: Claim, verifier: Verifier) -> Verdict:
        function = self.registered.get(verifier.name)
        if function is None:
            return Verdict(
                outcome="unverifiable",
                detail=f"no verifier is registered under the name {verifier.name}",
            )
        try:
            async with asyncio.timeout(verifier.timeout_s):
                said = function(goal, claim)
                answer = (await said) if inspect.isawaitable(said) else said
        except TimeoutError:
            late = f"{verifier.name} timed out after {verifier.timeout_s:g} s"
            return Verdict(outcome="unverifiable", detail=late, timed_out=True)
        except Exception as error:  # noqa: BLE001 - the embedder's function may raise anything
            why = f"{verifier.name} raised {described(error)}"
            return Verdict(outcome="unverifiable", detail=why)
        return _verdict(verifier.name, answer)


def _seal(verdict: Verdict) -> str:
    """Return what seals all that a verifier said; empty where it said nothing."""
    return sha256(verdict.detail.encode()).hexdigest() if verdict.detail else ""


def _verdict(name: str, answer: Answer) -> Verdict:
    match answer:
        case Verdict():
            return answer
        case None | True:
            return Verdict(outcome="passed")
        case False:
            return Verdict(outcome="failed", detail=f"{name} says no")
        case str():
            return Verdict(outcome="failed", detail=answer)


PERSON_ASKED: Final = "person_asked"
"""The name of the callback for a goal that goes no further without a person; it may be missing."""


class CallbackCall(msgspec.Struct, frozen=True, kw_only=True):
    """What an embedder's callback gets; equal ``key`` means the same call, made once more."""

    thread_id: str
    goal_id: str
    name: str
    status: Status
    key: str


Callback = Callable[[CallbackCall], Awaitable[Any] | Any]
"""Called when a goal has entered a status; at least once. What it raises is logged."""


class Callbacks(msgspec.Struct, eq=False):
    """The performer of `RunCallback` and `AskPerson`: calls ``callbacks`` by name."""

    callbacks: Mapping[str, Callback]

    async def perform(self, task: Task, session: Session) -> None:
        """Call the function; a name that nobody registered is logged."""
        del session
        effect = task.effect
        assert isinstance(effect, RunCallback | AskPerson)  # noqa: S101  performers are chosen by the effect
        name: str = PERSON_ASKED
        status: Status = ACTIVE
        if isinstance(effect, RunCallback):
            name, status = effect.name, effect.status
        log = _log.bind(thread_id=task.thread_id, callback=name)
        callback = self.callbacks.get(name)
        if callback is None:
            if isinstance(effect, RunCallback):
                log.warning("no such callback")
            return
        call = CallbackCall(
            thread_id=task.thread_id,
            goal_id=effect.goal_id,
            name=name,
            status=status,
            key=task.key,
        )
        try:
            called = callback(call)
            if inspect.isawaitable(called):
                await called
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("callback raised")


class NotWritten(GoalError):
    """The record of a goal could not be written; it is tried again at the next start."""

    code = "report_not_written"
    hint = "see that the folder can be written; goalfsm report THREAD prints the record"


class Reports(msgspec.Struct, eq=False):
    """The performer of `WriteReport`: one file a goal, which a second time only replaces.

    It is written beside ``db``; followers are told by ``report`` where that fails.
    ``completed(thread_id, goal_id)`` is the thread as it was when that goal had been completed,
    for a goal that it has no more.
    """

    db: str
    completed: Callable[[str, str], Session | None]
    report: Report

    def perform(self, task: Task, session: Session) -> None:
        """Write the record; raises `NotWritten`, which leaves the effect open."""
        effect = task.effect
        assert isinstance(effect, WriteReport)  # noqa: S101  performers are chosen by the effect
        goal = session.goal
        if goal is None or goal.goal_id != effect.goal_id:
            session = self.completed(task.thread_id, effect.goal_id) or session
            goal = session.goal
        if goal is None or goal.goal_id != effect.goal_id:
            _log.warning("the record of a goal that is gone is not written", key=task.key)
            return
        # The same text whenever it is written: no clock runs for a goal that is complete.
        made = record(session, goal.updated_at * 1000, thread_id=task.thread_id)
        text = pull_request(made) if effect.form == "pr" else markdown(made)
        path = record_path(self.db, task.thread_id, effect.goal_id)
        try:
            files.write_bytes(path, text.encode())
        except OSError as error:
            refused = NotWritten(f"{path} could not be written: {error.strerror or error}")
            self.report(task.thread_id, refused.code, refused.message, refused.hint)
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


class ProcessWatch(msgspec.Struct, eq=False):
    """The performer of `WatchProcess`: who is told when which process has ended.

    It waits by ``wait_gone(pid, started)``; a live run must not end what its goal waits for.
    """

    runs: LiveRuns
    wait_gone: Callable[[int, str], Awaitable[None]]
    _watched: set[tuple[str, int]] = set()

    def perform(self, task: Task, session: Session) -> Awaitable[ProcessEnded] | None:
        """Tell the thread once when the process has ended.

        Where nobody knows when the process started, whoever has the number now is meant.
        """
        del session
        effect = task.effect
        assert isinstance(effect, WatchProcess)  # noqa: S101  performers are chosen by the effect
        live = self.runs.get(task.thread_id)
        if live is not None:
            live.spare(effect.pid)
        if (task.thread_id, effect.pid) in self._watched:
            return None
        self._watched.add((task.thread_id, effect.pid))
        return self._watch(task, effect.pid, effect.started)

    async def gone(self, pids: Iterable[int]) -> None:
        """Return when all of these processes have ended."""
        started = {pid: identity.start_time(pid) for pid in pids}
        await asyncio.gather(*(self.wait_gone(pid, start) for pid, start in started.items()))

    async def _watch(self, task: Task, pid: int, started: str) -> ProcessEnded:
        try:
            await self.wait_gone(pid, started or identity.start_time(pid))
        finally:
            self._watched.discard((task.thread_id, pid))
        return ProcessEnded(pid=pid)
