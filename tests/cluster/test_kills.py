"""Real nodes that are killed and stopped; the long form is ``python -m tests.cluster.killing``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cluster.killing import Killing, drawn
from tests.postgres import postgres_server

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_done_twice_whatever_is_killed(tmp_path: Path) -> None:
    """Nodes, one stopped for longer than its lease, the queue, and PostgreSQL itself."""
    with postgres_server() as server:
        killing = Killing(server, tmp_path, seed=7, nodes=2, threads=4)
        found = killing.run(["kill", "wipe", "stop", "kill", "crash"], pause_s=2.0)
    assert found.faults == []
    assert found.interrupted > 0
    assert found.turns > 4


def test_the_long_form_draws_every_kind_of_fault() -> None:
    assert set(drawn(1, 200)) == {"kill", "stop", "crash", "wipe"}
    assert drawn(1, 50) == drawn(1, 50)
