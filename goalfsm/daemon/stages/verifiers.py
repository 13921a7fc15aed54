"""Runs the verifiers of completion claims: programs, and callables of the embedder's."""

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
from goalfsm.session.events import VerificationFinished
from goalfsm.session.state import Claim
from goalfsm.workers.verifier import run_verifier

if TYPE_CHECKING:
    from goalfsm.daemon.config import Processes
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.hub import Hub

MAX_DETAIL: Final = 4_000
"""Most characters of what a verifier said that are kept: its end."""

_log = structlog.get_logger(__name__)


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a verifier says of a claim."""

    outcome: Literal["passed", "failed", "unverifiable"]
    detail: str = ""


Answer = Verdict | bool | str | None
"""A verdict, or True or None for passed, False for failed, a text for failed and why."""
VerifierFunction = Callable[[Goal, Claim], Answer | Awaitable[Answer]]
"""Gets the goal and the claim; may be a coroutine function. What it raises is unverifiable."""


class Verification:
    """Runs verifiers beside the actors, a bounded number at once."""

    def __init__(
        self,
        engine: Hub,
        processes: Processes,
        registered: Mapping[str, VerifierFunction],
        *,
        most: int,
    ) -> None:
        """Run programs under ``processes`` and callables by their ``registered`` names."""
        self._engine = engine
        self._processes = processes
        self._registered = dict(registered)
        self._places = asyncio.Semaphore(most)
        self._running: set[str] = set()

    def begin(self, actor: Actor, claim_id: str, index: int, key: str) -> None:
        """Run a verifier, unless that is going on already; ``key`` is done with its outcome."""
        if key in self._running:
            return
        self._running.add(key)
        self._engine.spawn(self._verify(actor, claim_id, index, key), f"verify {key}")

    async def _verify(self, actor: Actor, claim_id: str, index: int, key: str) -> None:
        try:
            async with self._places:
                goal, claim = actor.session.goal, actor.session.claim
                if goal is None or claim is None or claim.claim_id != claim_id:
                    self._engine.mark_done(actor, key)
                    return
                verdict = await self._run(goal, claim, goal.verifiers[index])
            _log.info(
                "verifier finished",
                thread_id=actor.thread_id,
                goal_id=goal.goal_id,
                verifier=index + 1,
                outcome=verdict.outcome,
            )
            finished = VerificationFinished(
                claim_id=claim_id,
                index=index,
                outcome=verdict.outcome,
                detail=verdict.detail[-MAX_DETAIL:],
                digest=sha256(verdict.detail.encode()).hexdigest() if verdict.detail else "",
            )
            await actor.tell(finished, done=(key,))
        finally:
            self._running.discard(key)

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
        result = await run_verifier(
            verifier.argv, supervisor=supervisor, cwd=verifier.cwd, timeout_s=verifier.timeout_s
        )
        name = " ".join(verifier.argv)
        said = result.output_tail.strip()
        why = f"{name}: {result.reason}" if result.reason else name
        return Verdict(outcome=result.status, detail=f"{why}\n{said}" if said else why)

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
            return Verdict(outcome="unverifiable", detail=late)
        except Exception as error:  # noqa: BLE001 - the embedder's function may raise anything
            why = f"{verifier.name} raised {described(error)}"
            return Verdict(outcome="unverifiable", detail=why)
        return _verdict(verifier.name, answer)


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
