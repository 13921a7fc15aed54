"""What a node is told by whoever starts it, and what it reaches of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from goalfsm.cluster.floor import Floor
    from goalfsm.cluster.jobs import Jobs
    from goalfsm.cluster.tx import Transactions
    from goalfsm.daemon.config import WorkerSource
    from goalfsm.daemon.host.platform import Platform
    from goalfsm.daemon.stages.performers import Callback, VerifierFunction
    from goalfsm.goal.machine import GoalMachine
    from goalfsm.session.policy import Policy


class Options(NamedTuple):
    """What a node is told by whoever starts it."""

    name: str
    places: tuple[str, ...]
    max_runs: int
    version: str
    policy: Policy
    machine: GoalMachine | None
    workers: WorkerSource | None
    callbacks: Mapping[str, Callback]
    verifiers: Mapping[str, VerifierFunction]
    on_fault: Callable[[str, Exception], None] | None


class Reached(NamedTuple):
    """What a node reaches of the cluster; ``platform`` is the machine's, but in a simulation."""

    transactions: Transactions
    nodes: Floor
    jobs: Jobs[Any]
    listen: Callable[[], AsyncIterator[str]]
    platform: Platform | None = None
