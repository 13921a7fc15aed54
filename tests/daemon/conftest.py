"""More handles on the data of a goals, in memory and in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import MemoryGoals


@pytest.fixture(params=["memory", "file"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[MemoryGoals], Store]:
    """Return what opens one more handle on the same data."""

    def opened(goals: MemoryGoals) -> Store:
        if request.param == "memory":
            return goals.store()
        store = SqliteStore.open(tmp_path / "goals.db", is_alive=goals.system.is_alive)
        # Virtual time knows no threads: checkpoints are made between commits.
        store.checkpointer = lambda: None  # type: ignore[method-assign]
        return store

    return opened
