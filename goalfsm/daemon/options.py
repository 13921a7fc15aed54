"""What an embedder gives to an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from goalfsm.daemon.config import WorkerSource
    from goalfsm.daemon.flow.ports import Performer
    from goalfsm.daemon.stages.performers import Callback, VerifierFunction
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.effects import Effect
    from goalfsm.session.policy import Policy


class Options(NamedTuple):
    """The options of an engine, as its embedder gave them."""

    workers: WorkerSource | None
    policy: Policy
    machine: GoalMachine | None
    callbacks: Mapping[str, Callback]
    verifiers: Mapping[str, VerifierFunction]
    performers: Mapping[type[Effect], Performer]
    on_fault: Callable[[str, Exception], None] | None
    max_runs: int
