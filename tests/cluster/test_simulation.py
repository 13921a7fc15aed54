"""Nodes on virtual time; the long form is ``python -m tests.cluster.simulation --seeds 100``."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import mock

import pytest

from goalfsm.cluster.decider import Decider
from goalfsm.cluster.memory_jobs import MemoryJobs
from goalfsm.cluster.memory_tx import MemoryDatabase
from goalfsm.cluster.turns import Turns
from tests.cluster.simulation import Violation, simulate

if TYPE_CHECKING:
    from goalfsm.store.rows import OpenEffect


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost_or_done_twice_whatever_breaks(seed: int) -> None:
    stats = simulate(seed)
    assert stats.turns > 0
    assert stats.crashes + stats.partitions + stats.stops > 0
    assert stats.verified > 0


def test_a_seed_is_the_same_world_again() -> None:
    assert [simulate(seed) for seed in (1, 3)] == [simulate(seed) for seed in (1, 3)]


def test_it_shows_where_a_living_nodes_run_is_taken() -> None:
    """A cluster that does not look at leases has two turns of a thread at once."""
    with mock.patch.object(Turns, "_is_left", return_value=True):
        shown = _first_violation()
    assert "beside" in shown


def test_it_shows_where_a_commit_of_unknown_outcome_is_decided_again() -> None:
    """A retry that does not look whether the event is known decides it a second time."""
    load = Decider._load

    async def forgetful(self: Decider, tx: object, attempt: object) -> object:
        loaded = await load(self, tx, attempt)  # type: ignore[arg-type]
        return loaded._replace(known={})

    with mock.patch.object(Decider, "_load", forgetful):
        shown = _first_violation()
    assert "twice" in shown


def test_it_shows_where_a_living_nodes_effect_is_taken() -> None:
    """A cluster that gives an effect to whoever asks verifies a claim at two nodes at once."""

    async def given(self: MemoryDatabase, key: str, node_id: str) -> OpenEffect | None:
        del node_id
        effect = self.outbox.get(key)
        return None if effect is None or effect.done else effect.row

    async def everything(self: MemoryDatabase, keys: object) -> set[str]:
        del self, keys
        return set()

    with (
        mock.patch.object(MemoryDatabase, "claim", given),
        mock.patch.object(MemoryJobs, "alive", everything),
    ):
        shown = _first_violation()
    assert "is verified by" in shown


def _first_violation() -> str:
    for seed in range(24):
        try:
            simulate(seed)
        except Violation as violation:
            return str(violation)
    return "nothing"
