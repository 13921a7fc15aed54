"""A node in a process of its own, to be killed and stopped."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
STOPPED_S: Final = 5.0


class NodeProcess:
    """One node, started again as often as it is killed."""

    def __init__(self, name: str, dsn: str, place: Path) -> None:
        self.name, self.dsn, self.place = name, dsn, place
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it may still be loading when this returns."""
        with (self.place / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "goalfsm.cli", "node", self.dsn),
                    *(
                        "--name",
                        self.name,
                        "--max-runs",
                        "64",
                        "--log-level",
                        "warning",
                        "--grace",
                        "1s",
                    ),
                ],
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )

    def kill(self, *, with_supervisor: bool) -> None:
        """Kill it, as nothing else can end a process."""
        assert self.process is not None
        others: list[psutil.Process] = []
        if with_supervisor:
            with contextlib.suppress(psutil.Error):
                others = psutil.Process(self.process.pid).children()
        for other in others:
            with contextlib.suppress(psutil.Error):
                other.send_signal(signal.SIGSTOP)
        self.process.kill()
        for other in others:
            with contextlib.suppress(psutil.Error):
                other.send_signal(signal.SIGKILL)
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self) -> None:
        """End it in order, or else for good."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
