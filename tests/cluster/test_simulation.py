"""Nodes on virtual time; the long form is ``python -m tests.cluster.simulation --seeds 100``."""

from __future__ import annotations

import pytest

from goalfsm.cluster.decider import Attempt, Decider
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.daemon.host.platform import IdSource
from goalfsm.session import events as e
from goalfsm.session.context import Rules
from goalfsm.session.policy import Policy
from goalfsm.testing.loop import run as run_loop
from goalfsm.testing.simulated import Counted
from tests.cluster.bugs import BUGS
from tests.cluster.simulation import CLUSTER, Cluster
from tests.simulation.bugs import switched_on
from tests.simulation.command import command, run, shows
from tests.simulation.drawing import draw
from tests.simulation.stats import Stats

SEEDS = 24


def test_nothing_is_lost_or_done_twice_whatever_breaks() -> None:
    stats = Stats()
    for seed in range(SEEDS):
        world, violation = run(draw(seed), Cluster)
        stats.add(world.stats)
        assert violation is None, f"{violation}\nreproduce: {command(seed, None, CLUSTER.module)}"
    assert stats.events > SEEDS * 20
    assert min(stats.crashes, stats.stalls, stats.partitions, stats.wipes, stats.faults) > 0
    assert stats.runs_interrupted > 0


def test_a_seed_is_the_same_world_again() -> None:
    first = run(draw(9), Cluster)[0].told()
    assert len(first) > 50
    assert run(draw(9), Cluster)[0].told() == first


@pytest.mark.parametrize("name", BUGS)
def test_this_bug_is_found(name: str) -> None:
    """A world fails within the number of seeds that is stated for the bug."""
    with switched_on(name, BUGS):
        assert any(shows(draw(seed), Cluster) for seed in BUGS[name].seeds), BUGS[name].says


def test_an_event_that_is_sent_twice_in_a_row_is_decided_once() -> None:
    """Both are decided in one transaction: neither finds the other in the journal."""

    async def decided() -> tuple[int, list[str]]:
        database = MemoryDatabase(lambda: 1, MemoryJobs(lambda: 1))
        decider = Decider(database, IdSource(Counted()), policy=Policy(), rules=Rules())
        given = e.ObjectiveGiven(objective="it works")
        twice = [Envelope(given, event_id="one", outside=True) for _ in range(2)]
        decision = await decider.decide(Attempt("a", twice))
        return len(database.thread("a").commits), [reply.code for _, reply in decision.answers]

    assert run_loop(decided()) == (1, ["created", "created"])
