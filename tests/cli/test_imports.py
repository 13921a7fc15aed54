"""What a person waits for: a command loads what it needs and nothing else."""

from __future__ import annotations

import subprocess
import sys

import apsw
import pytest

from goalfsm.session import codec
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


OPENS = {"apsw", "goalfsm.store.sqlite", "psycopg"}
"""What no database is opened without."""
DECODES = {"goalfsm.session.codec", "goalfsm.session.state"}
"""What no session is decoded without."""
MOST = 180
"""Most modules of a command that an engine answers, those of Python and the libraries included."""
MOST_OF_OURS = 41


@pytest.mark.parametrize(
    "words",
    [
        "status books",
        "status books --json",
        "chip books",
        "steer books hello",
        "pause books",
        "tool get_goal --thread books",
    ],
)
def test_an_engine_answers_without_the_database_and_the_session(words: str, cli: Cli) -> None:
    """The command opens no file of goals, decodes no session, and loads little more than click."""
    cli("set", "books", "balance the ledger", "--db", "goals.db")
    with daemon("--db", "goals.db"):
        modules = loaded(*words.split(), "--db", "goals.db")
    assert modules & (HEAVY | OPENS | DECODES) == set()
    assert len({name for name in modules if name.startswith(("goalfsm", "recovery"))}) <= (
        MOST_OF_OURS
    )
    assert len(modules) <= MOST


@pytest.mark.parametrize("words", ["status books", "chip books"])
def test_without_an_engine_it_opens_and_decodes_once(
    words: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("set", "books", "balance the ledger")
    opened: list[object] = []
    decoded: list[object] = []
    decoding = codec.decode
    monkeypatch.setattr(apsw, "connection_hooks", [*apsw.connection_hooks, opened.append])
    monkeypatch.setattr(codec, "decode", lambda data: decoded.append(1) or decoding(data))
    assert cli(*words.split()).status == 0
    assert (len(opened), len(decoded)) == (1, 1)


FRONTS = {"goalfsm.appserver", "goalfsm.mcp", "goalfsm.ui", "mcp", "textual", "websockets"}
"""Front ends, and the libraries that only they need."""


@pytest.mark.parametrize("words", ["status books", "run books", "set books x --replace", "--help"])
def test_a_command_that_is_no_front_end_loads_none(words: str, cli: Cli) -> None:
    cli("set", "books", "balance the ledger", "--max-continuations", "1", "--", "true")
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words.split()], capture_output=True, text=True, check=False
    )
    assert set(ran.stderr.rpartition("\n")[2].split()) & FRONTS == set()


def test_an_engine_without_a_terminal_loads_nothing_to_draw_with() -> None:
    """Only what is used: no rich for tracebacks that are not drawn, no HTTP without a target."""
    words = ("run", "balance the ledger", "--max-continuations", "1", "--", "true")
    ran = subprocess.run(
        [sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=False
    )
    modules = set(ran.stderr.rpartition("\n")[2].split())
    assert "structlog" in modules
    assert modules & {"pygments", "rich", "urllib.request"} == set()


def test_the_library_loads_no_front_end() -> None:
    script = "import sys, goalfsm; goalfsm.Engine; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) & FRONTS == set()
