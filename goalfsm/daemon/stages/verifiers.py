"""Runs what tells whether a goal is complete: programs, and callables of the embedder's."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from goalfsm.errors import GoalError, described
from goalfsm.goal.model import Goal, Verifier
from goalfsm.session.effects import RunUntil, RunVerifier
from goalfsm.session.events import UntilChecked, VerificationFinished
from goalfsm.session.state import Claim
from goalfsm.workers.sealing import Sealed, changed
from goalfsm.workers.verifier import run_verifier

if TYPE_CHECKING:
    from goalfsm.daemon.config import Processes
    from goalfsm.daemon.flow.ports import Task
    from goalfsm.session.state import Session

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


class Verifiers:
    """The performer of `RunVerifier` and `RunUntil`: a bounded number of them at once."""

    def __init__(
        self,
        session: Callable[[str], Session],
        processes: Processes,
        registered: Mapping[str, VerifierFunction],
        *,
        most: int,
    ) -> None:
        """Run programs under ``processes`` and callables by their ``registered`` names.

        ``session(thread_id)`` is asked whether the claim is still open when its turn comes.
        """
        self._session = session
        self._processes = processes
        self._registered = dict(registered)
        self._places = asyncio.Semaphore(most)

    async def perform(
        self, task: Task, session: Session
    ) -> VerificationFinished | UntilChecked | None:
        """Run a verifier and return its outcome; None where its claim is not open any more.

        Cancelled, it returns when nothing of the program is left.
        """
        effect = task.effect
        assert isinstance(effect, RunVerifier | RunUntil)  # noqa: S101  performers are chosen by the effect
        async with self._places:
            if isinstance(effect, RunUntil):
                return await self._until(effect, task.thread_id)
            session = self._session(task.thread_id)
            goal, claim = session.goal, session.claim
            if goal is None or claim is None or claim.claim_id != effect.claim_id:
                return None
            verdict = await self._run(goal, claim, goal.verifiers[effect.index])
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
        session = self._session(thread_id)
        goal, check = session.goal, session.check
        if goal is None or goal.until is None:
            return None
        if check is None or check.check_id != effect.check_id:
            return None
        claim = Claim(claim_id=check.check_id, goal_id=goal.goal_id, at_ms=0)
        verdict = await self._run(goal, claim, goal.until)
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

    async def _run(self, goal: Goal, claim: Claim, verifier: Verifier) -> Verdict:
        match verifier.kind:
            case "command":
                return await self._program(verifier)
            case "callable":
                return await self._callable(goal, claim, verifier)
            case "person":
                return Verdict(outcome="unverifiable", detail="only a person can tell")

    async def _program(self, verifier: Verifier) -> Verdict:
        try:
            supervisor = await self._processes.supervisor()
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
        function = self._registered.get(verifier.name)
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
