"""The engine as the kit runs it: it tells of its own faults, and starts no process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.flow.mailbox import Actor
from goalfsm.daemon.guards.quarantine import Undecided
from goalfsm.daemon.stages.verifiers import Answer, Verdict, Verification
from goalfsm.errors import GoalError
from goalfsm.goal.model import Goal, Verifier
from goalfsm.session.state import Claim

Program = Callable[[tuple[str, ...]], Answer | Awaitable[Answer]]
"""Stands for a program that verifies: gets its arguments, answers as a callable verifier does."""


class EngineFault(GoalError, AssertionError):
    """The engine could not decide or do something of its own: a defect, or a broken machine."""

    code = "engine_fault"


class WatchedEngine(Engine):
    """An engine whose faults fail the test; a real one survives and logs them."""

    def __init__(
        self,
        *args: Any,
        faults: list[Exception],
        programs: Mapping[str, Program],
        **options: Any,
    ) -> None:
        """Add to ``faults`` what goes wrong inside; let ``programs`` verify, by their names."""
        super().__init__(*args, **options)
        self._faults = faults
        self._programs = programs

    @property
    def verification(self) -> Verification:
        """Return what runs verifiers."""
        return self._verification

    @verification.setter
    def verification(self, made: Verification) -> None:
        del made
        self._verification = SimulatedVerification(
            self, self.processes, self._verifiers, most=self._max_runs, programs=self._programs
        )

    def mishap(self, actor: Actor, error: Exception, undecided: Undecided | None = None) -> None:
        """Take note of a fault of the engine's own."""
        if undecided is None or not undecided.only_asked:
            self._faults.append(error)
        super().mishap(actor, error, undecided)


class SimulatedVerification(Verification):
    """Runs a function where a verifier names a program."""

    def __init__(self, *args: Any, programs: Mapping[str, Program], **options: Any) -> None:
        """Let ``programs`` stand for the programs of these names."""
        super().__init__(*args, **options)
        self._programs = programs

    async def _run(self, goal: Goal, claim: Claim, verifier: Verifier) -> Verdict:
        if verifier.kind == "command":
            argv = verifier.argv
            program = self._programs.get(argv[0])
            if program is None:
                detail = f"{argv[0]} does not exist in this test: configure(programs=...) names it"
                return Verdict(outcome="unverifiable", detail=detail)
            name = " ".join(argv)
            self._registered[name] = lambda *_: program(argv)
            verifier = msgspec.structs.replace(verifier, kind="callable", name=name)
        return await super()._run(goal, claim, verifier)
