"""The page about failures: its Python runs, its commands print what the page shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.terminal import Cli

PAGE = (Path(__file__).parents[2] / "docs" / "failures.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _gateway() -> None:
    (rules,) = (text for language, text in BLOCKS if language == "toml")
    Path("gateway.toml").write_text(rules, "utf-8")


def test_the_python_of_the_page_runs() -> None:
    programs = [text for language, text in BLOCKS if language == "python"]
    assert len(programs) == 4
    exec(compile("\n".join(programs), "failures.md", "exec"), {})  # noqa: S102  it is ours


def test_the_commands_of_the_page_print_what_it_shows(cli: Cli) -> None:
    shown = "".join(text for language, text in BLOCKS if language == "console")
    sessions = re.findall(r"^\$ goalfsm (.*)\n((?:(?!\$ ).*\n)*)", shown, re.MULTILINE)
    assert len(sessions) == 4
    for command, expected in sessions:
        result = cli(*shlex.split(command))
        assert result.status == 0
        assert result.out.splitlines()[: expected.count("\n")] == expected.splitlines()


def test_the_page_lists_every_kind() -> None:
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE))))
    assert listed == {
        "transient",
        "rate_limited",
        "quota",
        "overflow",
        "auth",
        "invalid_request",
        "content_refused",
        "unknown",
    }
