"""What an engine under test is made with: it tells of its own faults, and starts no process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from goalfsm.daemon.stages.performers import Answer, Verdict, Verifiers
from goalfsm.errors import GoalError
from goalfsm.goal.model import Goal, Verifier
from goalfsm.session.state import Claim

Program = Callable[[tuple[str, ...]], Answer | Awaitable[Answer]]
"""Stands for a program that verifies: gets its arguments, answers as a callable verifier does."""


class EngineFault(GoalError, AssertionError):
    """The engine could not decide or do something of its own: a defect, or a broken machine."""

    code = "engine_fault"


class SimulatedVerifiers(Verifiers, kw_only=True):
    """The performer of `RunVerifier` and `RunUntil` that runs functions in place of programs.

    ``programs`` stand for the programs of these names; see `Verifiers` for the rest.
    """

    programs: Mapping[str, Program]

    async def _run(self, thread_id: str, goal: Goal, claim: Claim, verifier: Verifier) -> Verdict:
        if verifier.kind == "command":
            argv = verifier.argv
            program = self.programs.get(argv[0])
            if program is None:
                detail = f"{argv[0]} does not exist in this test: configure(programs=...) names it"
                return Verdict(outcome="unverifiable", detail=detail)
            name = " ".join(argv)
            self.registered = {**self.registered, name: lambda *_: program(argv)}
            verifier = msgspec.structs.replace(verifier, kind="callable", name=name)
        return await super()._run(thread_id, goal, claim, verifier)
