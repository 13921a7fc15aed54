"""What every store must do, as tests that a backend inherits.

There are two contracts. `ReadingContract` is for every store, one that many machines share too: a
subclass provides ``reading``, a handle on an empty store, and ``write``, which puts commits and
workers into it. `StoreContract` is for a store that one process owns, and holds the other: its
subclass provides the fixture ``make_store``, a function that opens one more handle on the same
durable data, as another process would::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda **options: MyStore.open(tmp_path / "goals", **options)

Its options are ``read_only`` (default False) and ``is_alive``, the function that tells which
processes live. Handles are closed by the tests that must see them closed, else by the fixture.
"""

from __future__ import annotations

import pytest

from goalfsm.store.port import Reading, Store
from tests.store.contract_commits import CommitsContract
from tests.store.contract_effects import EffectsContract
from tests.store.contract_handles import HandlesContract
from tests.store.contract_ownership import OwnershipContract
from tests.store.contract_reading import ReadingContract
from tests.store.handles import MakeStore, Write, WriteAsOwner, everybody_lives, owned

__all__ = ["MakeStore", "ReadingContract", "StoreContract"]


class StoreContract(
    CommitsContract, EffectsContract, ReadingContract, OwnershipContract, HandlesContract
):
    """Inherit this and provide ``make_store``."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        """Return a handle that owns an empty store."""
        return owned(make_store(is_alive=everybody_lives))

    @pytest.fixture
    def write(self, store: Store) -> Write:
        """Return what writes through that handle."""
        return WriteAsOwner(store)

    @pytest.fixture
    def reading(self, store: Store, make_store: MakeStore) -> Reading:
        """Return another handle, which only reads."""
        assert store.owner.epoch is not None
        return make_store(read_only=True)
