"""Kill a daemon again and again, then check that nothing was lost, done twice or left behind.

``python -m tests.crash.run --kills 200 --seed 1`` is the long form.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from tests.crash.checks import Findings, check

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parents[2]
START_UP_S: Final = 0.25
"""Kills within this time of the first line hit the start: migration, claim, reconciliation."""
RUNNING_S: Final = 1.2
FINISH_S: Final = 90.0


class Daemon:
    """One life of the daemon, in a process of its own."""

    def __init__(self, place: Path) -> None:
        """Start it, and return when it begins to open the database."""
        self.log = (place / "daemon.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.serve", str(place)],
            stdout=subprocess.PIPE,
            stderr=self.log,
            cwd=ROOT,
        )
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def supervisors(self) -> list[psutil.Process]:
        """Return the processes that the daemon itself has started."""
        try:
            return psutil.Process(self.process.pid).children()
        except psutil.Error:
            return []

    def kill(self, *, with_supervisor: bool) -> bool:
        """Kill it, as nothing else can end a process; False when it had ended by itself."""
        lives = self.process.poll() is None
        others = self.supervisors() if with_supervisor else []
        for process in others:
            process.send_signal(signal.SIGSTOP)
        self.process.send_signal(signal.SIGKILL)
        for process in others:
            process.send_signal(signal.SIGKILL)
        self.close()
        return lives

    def wait(self, seconds: float) -> int:
        """Return its exit status; raise when it takes too long."""
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()
            self.close()

    def close(self) -> None:
        """Collect the process and close the pipes."""
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


def moments(seed: int, kills: int) -> Iterator[tuple[float, bool]]:
    """Yield when to kill, in seconds after the start, and whether the supervisor dies as well."""
    rng = random.Random(seed)
    for _ in range(kills):
        longest = START_UP_S if rng.random() < 0.4 else RUNNING_S
        yield rng.uniform(0.0, longest), rng.random() < 0.25


def crash(place: Path, *, kills: int, seed: int) -> Findings:
    """Kill the daemon ``kills`` times, let it finish, and return what was found."""
    begun = time.monotonic()
    done = 0
    for delay, with_supervisor in moments(seed, kills):
        daemon = Daemon(place)
        time.sleep(delay)
        done += daemon.kill(with_supervisor=with_supervisor)
    (place / "finish").touch()
    status = Daemon(place).wait(FINISH_S)
    return check(place, kills=done, status=status, seconds=time.monotonic() - begun)


def main() -> int:
    """Run the long form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    place = Path(tempfile.mkdtemp(prefix="goalfsm-crash-"))
    findings = crash(place, kills=options.kills, seed=seed)
    sys.stdout.write(f"{findings.summary()}\nseed {seed}, files in {place}\n")
    for fault in findings.faults:
        sys.stdout.write(f"FAULT: {fault}\n")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    os.environ.setdefault("PYTHONDONTWRITEBYTECODE", "1")
    sys.exit(main())
