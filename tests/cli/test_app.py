"""The program itself: help, versions, errors in a line, imports only where they are needed."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

import goalfsm
from goalfsm.cli import exits
from goalfsm.cli.app import SECTIONS, app
from tests.cli.terminal import Cli

COMMANDS = [entry.name for section in SECTIONS for entry in section.entries]


def test_help_lists_every_command(cli: Cli) -> None:
    result = cli("--help")
    assert result.status == exits.OK
    listed = {row.split()[0] for row in result.out.splitlines() if row.startswith("  ")}
    assert set(COMMANDS) <= listed
    assert "130 interrupted" in " ".join(result.out.split())


def test_no_command_at_all_shows_the_help_and_is_wrong_usage(cli: Cli) -> None:
    result = cli()
    assert result.status == exits.USAGE
    assert "Work on a goal" in result.err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_name_that_is_listed(cli: Cli, name: str) -> None:
    command = app.get_command(click.Context(app), name)
    assert command is not None
    assert command.name == name
    result = cli(name, "--help")
    assert result.status == exits.OK
    assert result.out.startswith(f"Usage: goalfsm {name}")


@pytest.mark.parametrize(
    ("redirection", "status"),
    [
        (">&-", exits.OK),
        ("2>&-", exits.OK),
        ("<&- >&- 2>&-", exits.OK),
        ("2>/dev/full", exits.OK),
        (">/dev/full", exits.FAILED),
    ],
)
def test_output_that_nobody_takes_is_no_traceback(cli: Cli, redirection: str, status: int) -> None:
    cli("set", "it", "--db", "goals.db")
    for words in ("status", "list", "log --json", "status --json", "doctor", "steer left"):
        line = f"exec {sys.executable} -m goalfsm.cli {words} --db goals.db {redirection}"
        done = subprocess.run(["sh", "-c", line], check=False, capture_output=True, text=True)
        assert done.returncode == status, (words, done)
        if status:
            assert done.stderr.splitlines()[0].endswith("No space left on device")
            assert "Hint: " in done.stderr
        else:
            assert "Traceback" not in done.stderr


def test_an_error_that_nobody_can_be_told_has_its_status() -> None:
    line = f"exec {sys.executable} -m goalfsm.cli status --db absent.db 2>/dev/full"
    assert subprocess.run(["sh", "-c", line], check=False).returncode == exits.USAGE


def test_a_closed_stream_is_not_replaced_by_the_database(cli: Cli) -> None:
    """What is written to stderr must not get into a file that was given its number."""
    line = f"exec {sys.executable} -m goalfsm.cli run it --db goals.db -- true <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", line], check=False).returncode == exits.ATTENTION
    assert cli("doctor", "--db", "goals.db").status == exits.OK


def test_the_version_is_that_of_the_library(cli: Cli) -> None:
    assert cli("--version").out == f"goalfsm {goalfsm.__version__}\n"


def test_an_unknown_command_names_the_nearest(cli: Cli) -> None:
    result = cli("statsu")
    assert result.status == exits.USAGE
    assert result.told_shortly
    assert result.err.endswith("Hint: goalfsm status\n")


@pytest.mark.parametrize(
    "words",
    [
        ("frobnicate",),
        ("status", "--nope"),
        ("status", "a", "b"),
        ("budget", "--tokens", "ten"),
        ("budget",),
        ("steer",),
        ("steer", "a", "b", "c"),
        ("status", "a", "--thread", "b"),
        ("status", "--thread", "a\tb"),
        ("tool", "update_goal", "--status", "paused"),
    ],
)
def test_wrong_usage_is_told_in_a_line_with_a_hint(cli: Cli, words: tuple[str, ...]) -> None:
    result = cli(*words)
    assert result.status == exits.USAGE
    assert result.told_shortly, result


def test_help_imports_no_engine() -> None:
    """Listing the commands loads neither the store nor the event loop."""
    program = (
        "import sys; from goalfsm.cli import main; main(['--help']);"
        "heavy = {'apsw', 'asyncio', 'rich', 'structlog', 'tenacity'} & set(sys.modules);"
        "sys.exit(','.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_module_is_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "goalfsm.cli", "--version"], check=True, capture_output=True
    )
    assert done.stdout.startswith(b"goalfsm ")


def test_a_reader_that_has_seen_enough_ends_a_command_quietly() -> None:
    """Closing the pipe early, as ``head`` does, gives no traceback."""
    run = subprocess.Popen(
        [sys.executable, "-m", "goalfsm.cli", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert run.stdout is not None
    assert run.stderr is not None
    run.stdout.close()
    with run.stderr as errors:
        told = errors.read()
    assert run.wait() in {0, 1}
    assert told == b""
