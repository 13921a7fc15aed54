"""A goal that one node began and another one ends, watched in the terminal interface."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from goalfsm.cli import exits
from tests.cli.processes import Terminal as Process
from tests.cli.processes import goalfsm
from tests.cli.processes import terminal as process
from tests.ui.test_terminal import Terminal, pytestmark, terminal

__all__ = ["pytestmark", "terminal"]

WORK = """
echo '{"type": "usage", "key": "call", "input_tokens": 100, "output_tokens": 20}'
if [ "$GOALFSM_TURN" = 1 ]; then
    printf '%s\\n' '{"type": "text", "text": "the second page is open\\n"}'
    sleep 600
fi
goalfsm tool update_goal --status complete --evidence "the ledger is balanced"
"""


@contextlib.contextmanager
def node(name: str) -> Iterator[Process]:
    """Start a node, and go on when it serves."""
    with process("node", "--name", name) as serving:
        serving.until("serving", where="stderr")
        yield serving


def test_a_goal_outlives_its_node_under_the_eyes_of_a_person(
    terminal: Terminal, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first node is killed in a turn; the second ends the goal, and each report counts once."""
    monkeypatch.setenv("GOALFSM_DB", dsn)
    given = goalfsm("set", "books", "balance the ledger", "--", "sh", "-c", WORK)
    assert given.status == exits.OK, given.err
    terminal.open("ui", "books")
    terminal.shows("balance the ledger", "nobody drives this", "no node serves the place any")
    with node("blue") as blue:
        terminal.shows("following the engine", "running a turn", "node blue on", "120")
        terminal.shows("the second page is open")
        blue.process.kill()
        blue.process.wait()
        terminal.shows("nobody drives this", "node blue on")
    with node("green"):
        terminal.shows("complete")
        found = json.loads(goalfsm("status", "books", "--json").out)
        log = goalfsm("log", "books").out
    terminal.press("q")
    assert found["activity"] == "complete"
    assert (found["goal"]["tokens_used"], found["goal"]["continuations"]) == (240, 2)
    assert "RunInterrupted" in log
    assert goalfsm("doctor").status == exits.OK
