"""A draft of a pull request, through a program that stands for gh and writes down what it got."""

from __future__ import annotations

from pathlib import Path

import pytest

from goalfsm.cli import exits
from tests.cli.terminal import Cli

_GH = """#!/bin/sh
for word; do printf '%s\\n' "$word"; done > argv.txt
cat > body.txt
echo https://example.invalid/pull/1
"""


@pytest.fixture(name="gh")
def _gh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Put a gh of our own, and nothing else of that name, on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "gh"
    program.write_text(_GH)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


@pytest.fixture(autouse=True)
def _given(cli: Cli) -> None:
    cli("set", " --port $(rm -rf .)\nto `the` new tree", "--criterion", "it builds")


def test_the_text_is_printed(cli: Cli) -> None:
    shown = cli("pr")
    assert shown.status == exits.OK
    assert shown.out.startswith("## What\n\n```text\n--port $(rm -rf .)\n")
    assert shown.out == cli("report", "--pr").out


def test_a_draft_is_opened_with_arguments_and_no_shell(cli: Cli, gh: Path) -> None:
    assert gh.exists()
    created = cli("pr", "--create")
    assert (created.status, created.out) == (exits.OK, "https://example.invalid/pull/1\n")
    assert Path("argv.txt").read_text().splitlines() == [
        "pr",
        "create",
        "--draft",
        "--title=--port $(rm -rf .)",
        "--body-file=-",
    ]
    assert Path("body.txt").read_text() == cli("pr").out


def test_what_gh_says_against_it_is_told(cli: Cli, gh: Path) -> None:
    gh.write_text("#!/bin/sh\necho 'no commits between\nmain and main' >&2\nexit 1\n")
    refused = cli("pr", "--create")
    assert refused.status == exits.FAILED
    assert "gh refused with 1: no commits between main and main" in refused.err
    assert "Hint: " in refused.err


def test_without_gh_it_is_refused_and_said_what_to_do(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused = cli("pr", "--create")
    assert refused.status == exits.USAGE
    assert refused.err.startswith("goalfsm: there is no gh")
    assert "gh auth login" in refused.err


def test_without_a_goal_there_is_no_text(cli: Cli) -> None:
    cli("clear")
    assert cli("pr").status == exits.USAGE
    assert cli("report", "--pr", "--json").status == exits.USAGE
