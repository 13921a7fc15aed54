"""A signal in the first moments of a command ends it in order, whenever it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.processes import goalfsm

DELAYS = [step * 0.05 for step in range(8)]
"""Seconds from the start: from the interpreter's own beginning to the first turn."""
ENDS = {0, 130, -signal.SIGTERM}
"""Done, interrupted, or ended by the signal itself where nothing of ours ran yet."""
OURS = "goalfsm/cli/app.py"
"""From where on nothing that Ctrl-C does is left to the interpreter."""


def delays(told: list[int]) -> Iterator[float]:
    """Yield each moment to try, and later ones until a command has heeded its signal."""
    yield from DELAYS
    delay = DELAYS[-1]
    while not set(told) & {0, 130}:
        delay *= 2
        yield delay


def test_ctrl_c_in_the_first_moments_shows_no_line_of_ours() -> None:
    """Before anything of the command line was imported, the interpreter itself says what it was."""
    told: list[int] = []
    for delay in delays(told):
        started = subprocess.Popen(
            [sys.executable, "-m", "goalfsm.cli", "list", "--everywhere"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # As above: the moment is what is tried.
        time.sleep(delay / 2)
        started.send_signal(signal.SIGINT)
        said, _ = started.communicate(timeout=30)
        told.append(started.returncode)
        assert OURS not in said, said
        assert started.returncode in {0, 1, 130, -signal.SIGINT}, (delay, said)


@pytest.mark.parametrize("command", ["daemon", "run"])
def test_it_ends_in_order_whenever_it_is_told(command: str) -> None:
    worker = ("--", "sh", "-c", "cat > /dev/null; sleep 0.1; echo $GOALFSM_TURN")
    goalfsm("set", "t", "x", "--db", "g.db", "--max-continuations", "0", *worker)
    words = ("daemon", "--grace", "0.1s") if command == "daemon" else ("run", "--thread", "t")
    told: list[int] = []
    for delay in delays(told):
        started = subprocess.Popen(
            [sys.executable, "-m", "goalfsm.cli", *words, "--db", "g.db"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        # The moment is what is tried here; nothing is waited for by it.
        time.sleep(delay)
        started.send_signal(signal.SIGTERM)
        said, _ = started.communicate(timeout=30)
        told.append(started.returncode)
        assert "Traceback" not in said, said
        assert started.returncode in ENDS, (delay, said)
    assert "healthy" in goalfsm("doctor", "--db", "g.db").out
    left = [path.name for path in Path().iterdir() if path.name not in {"g.db", "g.db-reserve"}]
    assert left == [], left
