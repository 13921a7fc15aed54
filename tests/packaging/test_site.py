"""The documentation site holds every page, and the manual page every command."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from goalfsm.cli.app import SECTIONS
from tests.packaging.conftest import ROOT

COMMANDS = [entry.name for section in SECTIONS for entry in section.entries]
TREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def listed() -> list[str]:
    """Return the names in the tables of contents of the first page."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    lines = [line.strip() for tree in TREE.findall(index) for line in tree.splitlines()]
    return [line for line in lines if line and not line.startswith(":")]


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "docs").glob("*.md")))
def test_every_page_is_in_a_table_of_contents(page: str) -> None:
    if page != "index":
        assert listed().count(page) == 1, (
            f"name {page} in docs/index.md once: under the tutorial, how-tos, reference or"
            " explanation, by what its reader wants"
        )


def built(builder: str, folder: Path) -> Path:
    """Build with every warning as an error, as `make docs` and `make man` do."""
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", builder]
    done = subprocess.run(
        [*command, "-c", "docs", "-d", folder / "trees", ".", folder / builder],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / builder


def test_the_site_is_entered_at_its_root_and_tells_of_every_command(tmp_path: Path) -> None:
    site = built("html", tmp_path)
    assert "url=docs/index.html" in (site / "index.html").read_text("utf-8")
    commands = (site / "docs" / "commands.html").read_text("utf-8")
    for name in COMMANDS:
        assert f'id="goalfsm-{name}"' in commands
    goal = (site / "diagrams" / "goal.html").read_text("utf-8")
    assert re.search(r'<img [^>]*src="\.\./_images/goal\.svg"', goal)
    assert "stateDiagram" not in goal


def test_the_manual_page_tells_of_every_command(tmp_path: Path) -> None:
    page = (built("man", tmp_path) / "goalfsm.1").read_text("utf-8")
    assert page.splitlines()[-1].startswith(".\\")
    assert re.search(r'^\.TH "GOALFSM" "?1"?', page, re.MULTILINE)
    first = page.partition(".SH NAME")[2].partition(".SH GOALFSM")[0]
    assert "The command line (docs/command\\-line.md) explains" in first
    assert "<>" not in page
    for name in COMMANDS:
        # troff shows a bare hyphen as one only where it is escaped.
        heading = re.escape(name).replace("\\-", r"\\?-")
        assert re.search(rf"^\.S[SH] {heading}$", page, re.MULTILINE), name
