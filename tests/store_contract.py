"""What every store must do, as tests that a backend inherits.

A backend's test module subclasses `StoreContract` and provides the fixture ``make_store``: a
function that opens one more handle on the same durable data, as another process would::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda **options: MyStore.open(tmp_path / "goals", **options)

Its options are ``read_only`` (default False) and ``is_alive``, the function that tells which
processes live. Handles are closed by the tests that must see them closed, else by the fixture.
"""

from __future__ import annotations

import pytest

from goalfsm.store.port import Store
from tests.store.contract_commits import CommitsContract
from tests.store.contract_effects import EffectsContract
from tests.store.contract_handles import HandlesContract
from tests.store.contract_ownership import OwnershipContract
from tests.store.contract_reading import ReadingContract
from tests.store.handles import MakeStore, everybody_lives, owned

__all__ = ["MakeStore", "StoreContract"]


class StoreContract(
    CommitsContract, EffectsContract, ReadingContract, OwnershipContract, HandlesContract
):
    """Inherit this and provide ``make_store``."""

    @pytest.fixture
    def store(self, make_store: MakeStore) -> Store:
        """Return a handle that owns an empty store."""
        return owned(make_store(is_alive=everybody_lives))
