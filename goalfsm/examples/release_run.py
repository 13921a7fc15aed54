"""Drive this project's own release check as a goal, and kill the engine in the middle of it.

``goalfsm run`` drives `goalfsm.examples.release` turn after turn. When half of the steps are done
it is killed with SIGKILL; a second ``goalfsm run`` finds the goal where the journal left it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from goalfsm.cli.exits import INTERRUPTED
from goalfsm.examples.release_steps import STEPS, Workspace
from goalfsm.workers.supervisor.identity import start_time

OBJECTIVE: Final = "Check that this checkout could be released: build it, install it, look it over."
THREAD: Final = "release-check"
KILLED_IN: Final = "check"
"""The step in whose middle the engine is killed: those before it are done by then."""
_PATIENCE_S: Final = 30.0
_LOOK_S: Final = 0.02


class Problem(Exception):
    """The release check did not go as it must."""


class Stopped(Exception):
    """Somebody stopped the release check."""


class Drive(NamedTuple):
    """Where things are, and the words that start the command line."""

    space: Workspace
    db: Path
    cli: tuple[str, ...]

    @property
    def place(self) -> tuple[str, ...]:
        """Return the options that name the goal."""
        return "--db", os.fspath(self.db), "--thread", THREAD

    @property
    def stamp(self) -> Path:
        """Return where it stands of which source the artefacts are."""
        return self.space.work / "source.sha256"

    def fingerprint(self) -> str:
        """Return the SHA-256 over all that goes into the wheel."""
        digest = hashlib.sha256()
        source = self.space.source
        for path in sorted([source / "pyproject.toml", *self._packaged()]):
            digest.update(f"{path.relative_to(source)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _packaged(self) -> Iterator[Path]:
        for package in ("goalfsm", "recovery"):
            for path in (self.space.source / package).rglob("*"):
                if path.is_file() and path.suffix != ".pyc":
                    yield path

    def ask(self, *words: str) -> tuple[int, str]:
        """Run a command of goalfsm's and return its exit status and what it printed."""
        done = subprocess.run(  # noqa: S603  our own command line
            (*self.cli, *words), check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        return done.returncode, done.stdout.decode()

    def status(self) -> dict[str, Any] | None:
        """Return the goal's status, None when there is no goal yet."""
        code, text = self.ask("status", *self.place, "--json")
        found: dict[str, Any] | None = json.loads(text) if code == 0 else None
        return found

    def program(self) -> tuple[str, ...]:
        """Return the worker."""
        return (sys.executable, "-m", "goalfsm.examples.release", *self._folders())

    def start(self) -> tuple[str, ...]:
        """Return the command that gives the thread its goal and drives it."""
        verifier = (sys.executable, "-m", "goalfsm.examples.release_verify", *self._folders())
        words: list[str] = [*self.cli, "run", OBJECTIVE, *self.place]
        for step in STEPS:
            words += ["--criterion", step.criterion]
        words += ["--verify", shlex.join(verifier), "--time", "30m", "--max-continuations", "20"]
        return (*words, "--", *self.program())

    def again(self) -> tuple[str, ...]:
        """Return the command that takes the goal up again: the database knows the rest."""
        return (*self.cli, "run", *self.place)

    def _folders(self) -> tuple[str, ...]:
        return "--source", os.fspath(self.space.source), "--work", os.fspath(self.space.work)


def main() -> int:
    """Run the release check to its end and sum it up; exit with 0 when all of it held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path.cwd(), help="the checkout")
    parser.add_argument("--work", type=Path, help="default: build/release-check in the checkout")
    given = parser.parse_args()
    source = given.source.resolve()
    if not (source / "pyproject.toml").exists():
        parser.error(f"{source} is not a checkout of goalfsm: it has no pyproject.toml")
    work = (given.work or source / "build" / "release-check").resolve()
    drive = Drive(Workspace(source, work), work / "goal.db", (sys.executable, "-m", "goalfsm.cli"))
    # Ctrl-C reaches goalfsm run as well, which stops in order: wait for it.
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        begun = time.monotonic()
        kills = carry_out(drive)
        sum_up(drive, kills, time.monotonic() - begun)
    except Stopped:
        say("stopped; `make run` goes on where this stopped")
        return INTERRUPTED
    except Problem as problem:
        say(f"FAILED: {problem}")
        return 1
    return 0


def carry_out(drive: Drive) -> int:
    """Drive the goal until it is complete; return how often the engine was killed."""
    taking_up = may_go_on(drive)
    if not taking_up:
        shutil.rmtree(drive.space.work, ignore_errors=True)
        drive.space.work.mkdir(parents=True)
        drive.stamp.write_text(drive.fingerprint(), "utf-8")
    say("the release check goes on where it was stopped" if taking_up else OBJECTIVE)
    kills = 0
    if drive.space.record(KILLED_IN) is None:
        kills += kill_halfway(drive, drive.again() if taking_up else drive.start())
        say("starting `goalfsm run` again, with nothing but the database:")
    code = relay(subprocess.Popen(drive.again(), stdout=subprocess.PIPE, text=True))  # noqa: S603
    if code == INTERRUPTED:
        raise Stopped
    if code:
        raise Problem(f"goalfsm run exited with {code}")
    return kills


def may_go_on(drive: Drive) -> bool:
    """Tell whether a check was stopped in the middle, of the very source that is there now.

    What was built of other source must not be checked, and a check that failed starts over.
    """
    status = drive.status()
    goal = None if status is None else status["goal"]
    if goal is None or goal["status"] != "active" or not drive.stamp.exists():
        return False
    return drive.stamp.read_text("utf-8") == drive.fingerprint()


def kill_halfway(drive: Drive, words: tuple[str, ...]) -> int:
    """Start the run, and kill it with SIGKILL in the middle of a step."""
    before = sum(1 for _ in drive.space.notes())
    run = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603
    printing = threading.Thread(target=relay, args=(run,))
    printing.start()
    worker = None
    while worker is None and run.poll() is None:
        time.sleep(_LOOK_S)
        for note in list(drive.space.notes())[before:]:
            if note["event"] == "started" and note["step"] == KILLED_IN:
                worker = int(note["pid"])
    if worker is not None:
        run.send_signal(signal.SIGKILL)
    printing.join()
    if run.wait() == INTERRUPTED:
        raise Stopped
    if run.returncode != -signal.SIGKILL or worker is None:
        raise Problem(f"the run ended with {run.returncode} before it could be killed")
    done = ", ".join(step.name for step in STEPS if drive.space.record(step.name))
    say("")
    say(f"KILLED: SIGKILL to goalfsm run (pid {run.pid}) in the middle of the step {KILLED_IN}")
    say(f"        done before: {done}")
    await_end(worker)
    say(f"        its worker (pid {worker}) ended with it")
    return 1


def await_end(pid: int) -> None:
    """Return when a process is gone, or raise: a killed engine must leave none behind."""
    until = time.monotonic() + _PATIENCE_S
    while start_time(pid):
        if time.monotonic() > until:
            raise Problem(f"the worker {pid} outlived its engine")
        time.sleep(_LOOK_S)


def relay(run: subprocess.Popen[str]) -> int:
    """Print what a run prints, until its end; return its exit status."""
    if run.stdout is not None:
        with run.stdout as lines:
            for row in lines:
                say(f"  {row.rstrip()}")
    return run.wait()


def sum_up(drive: Drive, kills: int, seconds: float) -> None:
    """Print what happened, from the journal; raise when something was done twice or left out."""
    status = drive.status()
    code, log = drive.ask("log", *drive.place, "--json", "--limit", "1000000")
    if status is None or code:
        raise Problem("the journal cannot be read")
    rows = [json.loads(row) for row in log.splitlines()]
    kinds = Counter(row["event"]["type"] for row in rows)
    decisions = Counter(
        row["decision"]["decision"]
        for row in rows
        if row["decision"] and row["decision"]["at_ms"] == row["at_ms"]
    )
    finished = Counter(note["step"] for note in drive.space.notes() if note["event"] == "finished")
    wrong = [
        f"{s.name} was finished {finished[s.name]} times" for s in STEPS if finished[s.name] != 1
    ]
    if kinds["RunInterrupted"] < kills:
        wrong.append("the journal does not know of the kill")
    if wrong:
        raise Problem("; ".join(wrong))
    files = json.loads(drive.space.manifest.read_text("utf-8"))["files"]
    say("")
    say(f"{status['goal']['status'].upper()} in {seconds:.0f} s: {OBJECTIVE}")
    say(f"  turns          {status['goal']['continuations']}")
    say(f"  interruptions  {kinds['RunInterrupted']} survived; no step done twice, none left out")
    say("  decisions      " + ", ".join(f"{n} {name}" for name, n in decisions.most_common()))
    say(f"  verified by    {kinds['VerificationFinished']} run of the verifier")
    for name, facts in files.items():
        say(f"  artefact       {name}, {facts['bytes']:,} bytes, sha256 {facts['sha256'][:16]}…")
    say(f"  manifest       {drive.space.manifest}")
    say(f"  journal        {len(rows)} events in {drive.db}")
    say(f"                 goalfsm log --db {drive.db} --thread {THREAD}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
