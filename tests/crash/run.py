"""Kill a daemon again and again, then check that nothing was lost, done twice or left behind.

``python -m tests.crash.run --kills 200 --seed 1`` is the long form.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import apsw
import psutil

from goalfsm.store.sqlite.migrations import MIGRATIONS
from tests.crash.checks import Findings, check

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKE_BACK: Final = """
    DROP INDEX session_status;
    DROP TABLE transcript;
    ALTER TABLE owner DROP COLUMN machine;
    ALTER TABLE owner DROP COLUMN resting;
    """
"""What undoes later migrations; nothing is lost by it but what turns said."""
ROOT: Final = Path(__file__).resolve().parents[2]
START_UP_S: Final = 0.25
"""Kills within this time of the first line hit the start: migration, claim, reconciliation."""
BIRTH_S: Final = 0.03
"""Kills within this time hit the making of the database, or its migration from the first schema."""
OLDER: Final = 0.2
"""How often the database is first taken back to the schema that it began with."""
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


class Moment(NamedTuple):
    """When to kill, in seconds after the start, and what else is done to make it hard."""

    delay: float
    with_supervisor: bool
    older: bool


def moments(seed: int, kills: int) -> Iterator[Moment]:
    """Yield the kills of a seed; the first ones hit a database that is just being made."""
    rng = random.Random(seed)
    births = kills // 10
    for number in range(kills):
        older = number >= births and rng.random() < OLDER
        early = older or number < births
        longest = BIRTH_S if early else START_UP_S if rng.random() < 0.4 else RUNNING_S
        yield Moment(rng.uniform(0.0, longest), rng.random() < 0.25, older)


def take_back(path: Path) -> bool:
    """Give the database the schema of the first version again, as an older program left it."""
    if not path.exists():
        return False
    with closing(apsw.Connection(str(path))) as db:
        if int(db.pragma("user_version")) != len(MIGRATIONS):
            return False
        with db:
            db.execute(TAKE_BACK)
            db.pragma("user_version", 1)
    return True


def crash(place: Path, *, kills: int, seed: int) -> Findings:
    """Kill the daemon ``kills`` times, let it finish, and return what was found."""
    begun = time.monotonic()
    done = older = 0
    for moment in moments(seed, kills):
        older += moment.older and take_back(place / "goals.db")
        daemon = Daemon(place)
        time.sleep(moment.delay)
        done += daemon.kill(with_supervisor=moment.with_supervisor)
    (place / "finish").touch()
    status = Daemon(place).wait(FINISH_S)
    seconds = time.monotonic() - begun
    return check(place, kills=done, status=status, seconds=seconds, older=older)


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
    sys.exit(main())
