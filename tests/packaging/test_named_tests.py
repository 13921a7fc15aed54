"""Pages name the tests that show what they say, and these are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED: Final = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`(?: \(`(\w+)`\))?")


def functions(path: Path) -> set[str]:
    """Return the names of all functions of a module."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def rows(page: Path) -> list[list[str]]:
    """Return the cells of all rows of tables, without their heads."""
    lines = page.read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("|")]
    cells = [line.strip("|").split("|") for line in tables]
    return [row for row in cells if not set("".join(row)) <= set("-: ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_that_a_page_names_is_there(page: Path) -> None:
    for file, test, part in NAMED.findall(page.read_text(encoding="utf-8")):
        path = ROOT / file
        assert path.is_file(), file
        assert not test or test in functions(path), f"{file}::{test}"
        assert not part or f"def {part}(" in path.read_text(encoding="utf-8"), f"{file}::{part}"


def test_each_row_about_security_names_a_test() -> None:
    claims = [row for row in rows(ROOT / "docs" / "security.md") if row[0].strip() != "threat"]
    assert len(claims) > 20
    assert [row[0] for row in claims if not NAMED.search(row[-1])] == []


def test_a_name_is_found_with_its_function_and_its_part() -> None:
    found = NAMED.findall("`tests/a/b.py::test_c` and `tests/d.py` (`asks`)")
    assert found == [("tests/a/b.py", "test_c", ""), ("tests/d.py", "", "asks")]
