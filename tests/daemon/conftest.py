"""More handles on the data of a stage, in memory and in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from tests.daemon.stage import Stage


@pytest.fixture(params=["memory", "file"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Stage], Store]:
    """Return what opens one more handle on the same data."""

    def opened(stage: Stage) -> Store:
        if request.param == "memory":
            return stage.store()
        dead = stage.dead
        path = tmp_path / "goals.db"
        store = SqliteStore.open(path, is_alive=lambda who: who.pid not in dead)
        # Virtual time knows no threads: checkpoints are made between commits.
        store.checkpointer = lambda: None  # type: ignore[method-assign]
        return store

    return opened
