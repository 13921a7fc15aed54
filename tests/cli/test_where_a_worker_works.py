"""A worker may write where it works; nothing of ours is looked for there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import goalfsm
from goalfsm.cli import main
from goalfsm.cli.interface import _give
from goalfsm.cli.loading import THIS_PROGRAM

SHADOWS = ("goalfsm", "click", "msgspec", "apsw", "psutil", "sitecustomize", "usercustomize")


@pytest.fixture
def caught() -> Path:
    """Return a file that is there once a module of this directory was loaded."""
    there = Path("caught").resolve()
    for name in SHADOWS:
        module = Path(name, "__init__.py") if name == "goalfsm" else Path(f"{name}.py")
        module.parent.mkdir(exist_ok=True)
        module.write_text(f"open({str(there)!r}, 'a').write({name!r})\n")
    return there


def test_what_the_interface_has_done_is_done_by_this_very_program(caught: Path) -> None:
    """A module that a worker has put into its directory runs with nobody's word."""
    db = Path("goals.db").resolve()
    assert main(["set", "--thread", "t", "do it", "--db", str(db)]) == 0
    worked, said = _give("pause", db, ("t",))
    assert worked, said
    assert not caught.exists()


def test_every_process_of_ours_is_started_without_its_directory(caught: Path) -> None:
    ran = subprocess.run([*THIS_PROGRAM, "--help"], capture_output=True, text=True, check=False)
    assert (ran.returncode, caught.exists()) == (0, False), ran.stderr
    root = Path(goalfsm.__file__).parent
    for file in {*root.rglob("*.py")} - {*(root / "examples").rglob("*.py")}:
        for found in re.finditer(r"sys\.executable,[^\n]*", file.read_text("utf-8")):
            assert re.match(r'sys\.executable, "-[PI]"', found[0]), (file, found[0])
