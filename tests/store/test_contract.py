"""Both stores against the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Store
from goalfsm.store.sqlite import SqliteStore
from tests.store_contract import MakeStore, StoreContract


class TestMemoryStore(StoreContract):
    """The store in memory."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        """Return what opens handles on one disk."""
        disk = MemoryDisk()

        def make(**options: Any) -> Store:
            return MemoryStore(disk, **options)

        return make


class TestSqliteStore(StoreContract):
    """The store in a file."""

    @pytest.fixture
    def make_store(self, tmp_path: Path) -> Iterator[MakeStore]:
        """Return what opens handles on one file."""
        opened: list[Store] = []

        def make(**options: Any) -> Store:
            opened.append(SqliteStore.open(tmp_path / "state" / "goals.db", **options))
            return opened[-1]

        yield make
        for store in opened:
            store.close()
