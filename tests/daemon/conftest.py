"""More handles on the data of a goals, in memory and in a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing import MemoryGoals


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the place of a database whose engine is asked over a socket."""
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr("goalfsm.daemon.remote.direct._RECORDED_S", 0.1)
    return tmp_path / "goals.db"


@pytest.fixture(params=["memory", "file"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[MemoryGoals], Store]:
    """Return what opens one more handle on the same data."""

    def opened(goals: MemoryGoals) -> Store:
        if request.param == "memory":
            return goals.store()
        store = SqliteStore.open(tmp_path / "goals.db", is_alive=goals.system.is_alive)
        # Virtual time knows no threads: checkpoints are made between commits.
        store.checkpointer = lambda: None
        return store

    return opened
