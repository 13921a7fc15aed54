"""goalfsm in processes of its own, for tests that need a second terminal."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import IO, Any

from tests.cli.terminal import Result
from tests.cli.workers import attend


def goalfsm(*words: str) -> Result:
    """Run a command to its end; meanwhile do what workers ask the person for."""
    with terminal(*words) as started:
        return started.end()


def goal() -> dict[str, Any]:
    """Return this directory's goal as its status says."""
    found: dict[str, Any] = json.loads(goalfsm("status", "--json").out)["goal"]
    return found


class Terminal:
    """A command that is going on."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "goalfsm.cli", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until(self, said: str, *, where: str = "stdout") -> str:
        """Read lines until one holds ``said``; return all that were read."""
        stream: IO[str] | None = getattr(self.process, where)
        assert stream is not None
        read = ""
        for row in stream:
            read += row
            if said in row:
                return read
        raise AssertionError(f"{said!r} was never said, but: {read}")

    def end(self) -> Result:
        """Wait for the end; return what was printed since the last `until`."""
        deadline = time.monotonic() + 60
        while True:
            attend()
            try:
                out, err = self.process.communicate(timeout=0.05)
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
            else:
                break
        return Result(self.process.returncode, out, err)


@contextlib.contextmanager
def terminal(*words: str) -> Iterator[Terminal]:
    """Start a command, and end it at last in any case."""
    started = Terminal(*words)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.communicate()


@contextlib.contextmanager
def daemon(*words: str) -> Iterator[Terminal]:
    """Start a daemon, and go on when it serves."""
    with terminal("daemon", *words) as serving:
        serving.until("serving", where="stderr")
        yield serving
