"""A signal in the first moments of a command ends it in order, whenever it comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import goalfsm

ENDS = {0, 130, -signal.SIGTERM}
"""Done, interrupted, or ended by the signal itself where nothing of ours ran yet."""
# The process sends itself the signal when it looks for its n-th module, from the first of ours that
# is loaded inside of what heeds Ctrl-C.
SIGNALS = """
import os, sys, threading
at, number = int(os.environ.pop("SIGNAL_AT")), int(os.environ.pop("SIGNAL"))
class Finder:
    looked = 0
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread(): return
        if self.looked or name == "goalfsm.cli.app": self.looked += 1
        if self.looked == at:
            open("signalled", "w").close()
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
"""
COMMANDS = {
    "status": ("status", "t", "--db", "g.db"),
    "list": ("list", "--everywhere"),
    "run": ("run", "--thread", "t", "--db", "g.db"),
    "daemon": ("daemon", "--grace", "0.1s", "--db", "g.db"),
    "node": ("node", "postgresql://nobody@127.0.0.1:1/nothing"),
}
LAST = {"status": 110, "list": 110, "run": 360, "daemon": 360, "node": 500}
"""How many modules each loads at least."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["INT", "TERM"])
@pytest.mark.parametrize("command", COMMANDS)
def test_it_ends_in_order_whatever_it_is_loading(command: str, number: signal.Signals) -> None:
    """Also while an engine that has begun loads something for the first time."""
    worker = ("--", "sh", "-c", "cat > /dev/null; sleep 0.1; echo $GOALFSM_TURN")
    goalfsm("set", "t", "x", "--db", "g.db", "--max-continuations", "0", *worker)
    hooks = Path("hooks")
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(SIGNALS)
    last = LAST[command]
    told: set[int] = set()
    for at in (1, 2, *range(last // 7, last + 1, last // 7)):
        done = subprocess.run(
            [sys.executable, "-m", "goalfsm", *COMMANDS[command]],
            env={**os.environ, "PYTHONPATH": "hooks", "SIGNAL_AT": f"{at}", "SIGNAL": f"{number}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        Path("signalled").unlink()
        told.add(done.returncode)
        wrong = [word for word in ("Traceback", "Exception", "Warning") if word in done.stdout]
        assert wrong == [], (at, done.stdout)
        assert done.returncode in ENDS, (at, done.stdout)
    assert told & {0, 130}
    if number is signal.SIGINT:
        assert -signal.SIGTERM not in told
    assert "healthy" in goalfsm("doctor", "--db", "g.db").out
    kept = {"g.db", "g.db-reserve", "hooks"}
    left = [path.name for path in Path().iterdir() if path.name not in kept]
    assert left == [], left
