"""The page about the command line names every command, option and exit status, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from goalfsm.cli import exits
from goalfsm.cli.app import SECTIONS, app

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
COMMANDS = [entry.name for section in SECTIONS for entry in section.entries]


def options(name: str) -> set[str]:
    """Return the long options of a command and its subcommands."""
    command = app.get_command(click.Context(app), name)
    assert command is not None
    commands = [*command.commands.values()] if isinstance(command, click.Group) else [command]
    return {
        option
        for each in commands
        for param in each.params
        for option in param.opts
        if option.startswith("--")
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_the_page(name: str) -> None:
    assert re.search(rf"\| `goalfsm {name}\b", PAGE)


def test_the_page_shows_no_command_that_is_not_there() -> None:
    assert set(re.findall(r"`goalfsm ([a-z][a-z-]*)\b", PAGE)) <= set(COMMANDS)


def test_every_option_on_the_page_exists() -> None:
    known = {option for name in COMMANDS for option in options(name)} | {"--help"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= known


@pytest.mark.parametrize("option", sorted(options("run") - {"--thread", "--db", "--json"}))
def test_every_option_of_run_is_on_the_page(option: str) -> None:
    assert option in PAGE


def test_what_shows_something_says_it_to_programs_too() -> None:
    section = PAGE.partition("## See what is going on")[2].partition("\n## ")[0]
    assert (
        "All of these but `ui`, `chip` and `pr` take `--json` (`diagram`: `--format json`)"
        in section
    )
    shown = set(re.findall(r"^\| `goalfsm ([a-z-]+)\b", section, re.MULTILINE))
    assert shown == {entry.name for entry in SECTIONS[2].entries}
    without = {name for name in shown if "--json" not in options(name)}
    assert without == {"ui", "chip", "pr", "diagram"}


def test_every_exit_status_is_on_the_page() -> None:
    listed = {int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    defined = {value for value in vars(exits).values() if isinstance(value, int)}
    assert listed == defined


@pytest.mark.parametrize(
    ("status", "reason", "exit_status"),
    [
        ("complete", None, 0),
        ("blocked", None, 3),
        ("paused", "user", 4),
        ("paused", "no_progress", 4),
        ("paused", "usage_limit", 5),
        ("budgetLimited", None, 5),
        ("active", None, 4),
        (None, None, 4),
    ],
)
def test_how_a_goal_ends_is_how_a_run_exits(
    status: str | None, reason: str | None, exit_status: int
) -> None:
    assert exits.of_goal(status, reason) == exit_status
