"""The command line in a process of its own, with an agent for its turns."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.providers.script import Usage, calls

_LIMIT_S: Final = 110
DONE: Final = calls("update_goal", status="complete", evidence=["the tree stands"])


class Terminal:
    """The command line in the agent's working directory."""

    def __init__(self, agent: str, place: Path, *args: str) -> None:
        self.agent = agent
        self.place = place
        self.args = args

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command; its output is one text."""
        return subprocess.Popen(
            [sys.executable, "-m", "goalfsm.cli", *words],
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def goal(self, *words: str) -> subprocess.Popen[str]:
        """Start ``goalfsm run`` with the agent."""
        args = ("--", *self.args) if self.args else ()
        return self.start("run", *words, "--agent", self.agent, *args)

    def daemon(self) -> subprocess.Popen[str]:
        """Start ``goalfsm daemon``."""
        return self.start("daemon")

    def set(self, *words: str) -> None:
        """Store a goal for the agent, which a daemon or a run then works on."""
        args = ("--", *self.args) if self.args else ()
        process = self.start("set", *words, "--agent", self.agent, *args)
        said = self.end(process)
        assert process.returncode == 0, said

    def end(self, process: subprocess.Popen[str]) -> str:
        """Return what it wrote, when it has ended."""
        said, _ = process.communicate(timeout=_LIMIT_S)
        return said

    def status(self) -> dict[str, Any]:
        """Return the thread's status."""
        process = self.start("status", "--json")
        said = self.end(process)
        found: dict[str, Any] = json.loads(said)
        return found

    def used(self) -> Usage:
        """Return what was charged."""
        found = self.status()["usage"]
        return Usage(found["input_tokens"], found["output_tokens"], found["cached_tokens"])


@contextlib.contextmanager
def ended(terminal: Terminal, process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Yield a process; at the end kill it if it still runs, and print what nobody has read."""
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        if process.stdout is not None and not process.stdout.closed:
            sys.stdout.write(terminal.end(process))


def wait_for(path: Path) -> None:
    """Return when the file is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
