"""Shell completion: what fits, asked as a shell asks, and how little is loaded for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from goalfsm.cli import exits
from goalfsm.cli.app import SECTIONS
from tests.cli.terminal import Cli

_COUNTED = """
import atexit, sys
before = set(sys.modules)
from goalfsm.cli import main
atexit.register(lambda: sys.stderr.write(" ".join(set(sys.modules) - before)))
sys.exit(main())
"""
MOST = 60
"""How many modules beside click's a completion of a command's name may load."""


def asked(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask as bash asks: the words of the line, the last one not finished."""
    asks = {
        "_GOALFSM_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(("goalfsm", *words)),
        "COMP_CWORD": str(len(words)),
    }
    return subprocess.run(
        [sys.executable, "-c", _COUNTED],
        env=os.environ | asks,
        capture_output=True,
        text=True,
        check=True,
    )


def fits(*words: str) -> list[str]:
    """Return what may stand for the last word."""
    done = asked(*words)
    return [row.partition(",")[2] for row in done.stdout.split()]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["st"], ["steer", "status"]),
        (["queue", "m"], ["move"]),
        (["import", "c"], ["codex", "claude"]),
        (["run", "-t", "fix"], ["fix-issue"]),
        (["templates", "show", "make"], ["make-green"]),
        (["run", "--adv"], ["--advance"]),
        (["hunt", "--adv"], ["--advance"]),
        (["run", "x", "--", ""], []),
        (["no-such-command", "x"], []),
        (["hun"], []),
    ],
)
def test_what_fits(words: list[str], expected: list[str]) -> None:
    assert fits(*words) == expected


def test_every_command_is_offered() -> None:
    names = [entry.name for section in SECTIONS for entry in section.entries]
    assert fits("") == names


def test_the_names_of_commands_are_completed_without_importing_one() -> None:
    loaded = set(asked("s").stderr.split())
    ours = {name for name in loaded if name.startswith(("goalfsm", "recovery"))}
    assert ours <= {"goalfsm", "goalfsm.errors", "recovery", "recovery.lazy"} | {
        f"goalfsm.cli{part}" for part in ("", ".app", ".exits", ".scarcity", ".signals", ".streams")
    }
    assert not loaded & {"asyncio", "msgspec", "apsw", "rich", "structlog", "transitions"}
    others = {name for name in loaded - ours if not name.startswith("click")}
    assert len(others) <= MOST, sorted(others)


@pytest.mark.parametrize("words", [["run", "--to"], ["status", "--j"]])
def test_options_are_completed_without_the_engine_and_the_database(words: list[str]) -> None:
    loaded = set(asked(*words).stderr.split())
    assert not loaded & {"asyncio", "apsw", "goalfsm.daemon.engine", "structlog", "transitions"}


@pytest.mark.parametrize(
    ("shell", "says"), [("bash", "complete -"), ("zsh", "compdef"), ("fish", "complete ")]
)
def test_each_shell_has_its_lines(cli: Cli, shell: str, says: str) -> None:
    printed = cli("completion", shell)
    assert printed.status == exits.OK
    assert says in printed.out
    assert "_GOALFSM_COMPLETE" in printed.out
    assert cli("completion", "tcsh").status == exits.USAGE


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_takes_them(cli: Cli, shell: str, tmp_path: Path) -> None:
    """What is printed is a script of that shell; bash is asked to complete by it, too."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "completion"
    script.write_text(cli("completion", shell).out)
    subprocess.run([program, "-n", str(script)], check=True, capture_output=True)
    if shell != "bash":
        return
    line = (
        f"source {script}; COMP_WORDS=(goalfsm stat); COMP_CWORD=1; "
        '_goalfsm_completion goalfsm stat goalfsm; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        [program, "-c", line], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.split() == ["status"]


def test_hunt_is_run_and_no_help_shows_it(cli: Cli) -> None:
    assert "hunt" not in cli("--help").out
    assert cli("hunt", "--help").out == cli("run", "--help").out.replace(" run ", " hunt ", 1)
    refused = cli("hunt")
    assert (refused.status, refused.err) == (exits.USAGE, cli("run").err)
