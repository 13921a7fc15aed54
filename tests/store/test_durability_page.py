"""docs/durability.md names tests for each line, and checks and bugs that are there."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Final

from tests.simulation.bugs import BUGS
from tests.simulation.oracle import Oracle

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "durability.md").read_text(encoding="utf-8")


def functions(path: str) -> set[str]:
    """Return the functions and methods of a module, these also with their class."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{e.name}" for e in node.body if isinstance(e, ast.FunctionDef)}
    return found


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    _, _, rest = PAGE.partition(f"{heading}\n")
    lines = [line for line in rest.split("\n#")[0].splitlines() if line.startswith("|")]
    return [line.strip("| ").split(" | ") for line in lines[2:]]


def test_each_line_of_what_breaks_names_a_test() -> None:
    lines = rows("## What happens when…")
    assert len(lines) > 20
    assert [line[0] for line in lines if "tests/" not in line[-1]] == []


def test_each_named_check_exists() -> None:
    known = {f"Oracle.{name}" for name, _ in inspect.getmembers(Oracle, inspect.isfunction)}
    known |= functions("goalfsm/testing/invariants/course.py")
    for name in ("resting", "people", "promises", "callers"):
        known |= functions(f"tests/simulation/{name}.py")
    lines = rows("### The simulation")
    named = {name for line in lines for name in re.findall(r"`([\w.]+)`", line[-1])}
    assert len(named) > 15
    assert named <= known


def test_the_table_of_bugs_is_that_of_the_simulation() -> None:
    """Each with the number of worlds within which a test has it found."""
    shown = [line[:2] for line in rows("### Seeded bugs")]
    told = [[f"{bug.says} (`{name}`)", bug.bound] for name, bug in BUGS.items()]
    assert shown == told
