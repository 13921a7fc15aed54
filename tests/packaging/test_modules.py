"""Every module can be imported, and the program starts: with whatever versions are installed."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import goalfsm
import recovery


@pytest.mark.parametrize("package", [goalfsm, recovery], ids=lambda package: package.__name__)
def test_every_module_can_be_imported(package: ModuleType) -> None:
    names = [
        found.name
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not found.name.endswith("__main__")
    ]
    assert len(names) >= 12
    for name in names:
        import_module(name)


def test_the_program_says_what_it_can_do() -> None:
    said = subprocess.run(
        [sys.executable, "-m", "goalfsm", "--help"], capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("Usage: goalfsm")
    assert said.stderr == ""
