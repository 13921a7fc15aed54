"""What a person waits for: a command loads what it needs and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Cli
from tests.cli.processes import daemon

HEAVY = {
    "asyncio",
    "goalfsm.daemon.engine",
    "goalfsm.goal.compiler",
    "goalfsm.goal.machine",
    "goalfsm.goal.transition",
    "goalfsm.session.rules.handle",
    "logging",
    "psutil",
    "recovery.failures.table",
    "rich",
    "structlog",
    "tenacity",
    "transitions",
}
"""What takes long to load, and no command needs that looks or has an engine answer it."""
LOADED = """
import sys
from goalfsm.cli import main
status = main(sys.argv[1:])
sys.stderr.write(" ".join(sys.modules))
sys.exit(status)
"""


def loaded(*words: str) -> set[str]:
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return set(ran.stderr.rpartition("\n")[2].split())


@pytest.mark.parametrize(
    "words", ["status books", "list", "log books -n 5", "explain books", "chip books"]
)
def test_a_command_that_looks_loads_no_engine(words: str, cli: Cli) -> None:
    cli("set", "books", "balance the ledger", "--", "true")
    assert loaded(*words.split()) & HEAVY == set()


@pytest.mark.parametrize(
    "words", ["steer books hello", "pause books", "tool get_goal --thread books"]
)
def test_a_command_that_an_engine_answers_loads_no_rules(words: str, cli: Cli) -> None:
    cli("set", "books", "balance the ledger", "--db", "goals.db")
    with daemon("--db", "goals.db"):
        assert loaded(*words.split(), "--db", "goals.db") & HEAVY == set()


FRONTS = {"goalfsm.appserver", "goalfsm.mcp", "goalfsm.ui", "mcp", "textual", "websockets"}
"""Front ends, and the libraries that only they need."""


@pytest.mark.parametrize("words", ["status books", "run books", "set books x --replace", "--help"])
def test_a_command_that_is_no_front_end_loads_none(words: str, cli: Cli) -> None:
    cli("set", "books", "balance the ledger", "--max-continuations", "1", "--", "true")
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words.split()], capture_output=True, text=True, check=False
    )
    assert set(ran.stderr.rpartition("\n")[2].split()) & FRONTS == set()


def test_the_library_loads_no_front_end() -> None:
    script = "import sys, goalfsm; goalfsm.Engine; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) & FRONTS == set()
