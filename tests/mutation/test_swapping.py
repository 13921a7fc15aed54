"""A changed function takes the place of the real one, wherever the real one is held."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.swapping import Change, swap

ROOT = Path(__file__).parents[2]
SOURCE = '''\
"""A module to change."""

LIMIT = 10


def double(number, by=2):
    """Return the double."""
    return number * by


class Counter:
    """Counts."""

    start = 5

    def __init__(self):
        super().__init__()
        self.count = self.start

    @staticmethod
    def limit():
        """Return the limit."""
        return LIMIT

    @property
    def doubled(self):
        """Return the double of the count."""
        return double(self.count)


TABLE = {"double": double}
MADE = double(4)
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Import the module."""
    (tmp_path / "to_be_changed.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("to_be_changed")
    del sys.modules["to_be_changed"]


def changed(function: str, source: str) -> Change:
    """Return a change of the module."""
    return Change("to_be_changed", function, source)


def test_who_holds_the_function_calls_the_changed_one(module: ModuleType) -> None:
    held = module.double
    swap(changed("double", "def double(number, by=2):\n    return number / by\n"))
    assert held(4) == module.TABLE["double"](4) == 2
    assert module.Counter().doubled == 2.5


def test_a_default_is_changed_as_well(module: ModuleType) -> None:
    swap(changed("double", "def double(number, by=3):\n    return number * by\n"))
    assert module.double(4) == 12


def test_methods_keep_what_they_are(module: ModuleType) -> None:
    swap(
        changed(
            "Counter.__init__",
            "def __init__(self):\n    super().__init__()\n    self.count = self.start + 1\n",
        )
    )
    swap(changed("Counter.limit", "@staticmethod\ndef limit():\n    return LIMIT + 1\n"))
    assert module.Counter().count == 6
    assert module.Counter.limit() == module.Counter().limit() == 11


def test_a_change_that_takes_super_away_is_for_an_import(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="free vars"):
        swap(changed("Counter.__init__", "def __init__(self):\n    self.count = 1\n"))
    assert module.Counter().count == 5


def test_what_runs_at_import_is_changed_at_import(tmp_path: Path) -> None:
    (tmp_path / "to_be_changed.py").write_text(SOURCE)
    change = tuple(changed("double", "def double(number, by=2):\n    return number / by\n"))
    program = (
        "import sys\n"
        f"sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]\n"
        "from tests.mutation.swapping import Change, import_changed\n"
        f"import_changed(Change(*{change!r}))\n"
        "import to_be_changed\n"
        "print(to_be_changed.MADE, to_be_changed.Counter().doubled)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "2.0 2.5\n"
