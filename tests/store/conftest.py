"""A file for tests of the SQLite store, and an owning handle on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from goalfsm.store.sqlite import SqliteStore
from tests.store.handles import commit, nobody_lives, owned


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the database goes."""
    return tmp_path / "state" / "goals.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Return an owning handle with one commit in it."""
    store = SqliteStore.open(path, is_alive=nobody_lives)
    owned(store)
    store.commit([commit()])
    yield store
    store.close()
