"""Workers of a few lines of sh, which note what they were given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMPLETE = 'goalfsm tool update_goal --status complete --evidence "done" >&2'
BLOCKED = 'goalfsm tool update_goal --status blocked --reason "no key" >&2'
ENGINE = "$(ps -o ppid= -p $PPID)"
"""The engine, from inside a worker: the parent of the supervisor that started it."""

_PERSON = """#!/bin/sh
# Has the person at the second terminal run a command, and waits for what came of it.
for word; do printf '%s\\n' "$word"; done > asked.$$ && mv asked.$$ asked-$$
until [ -e answered-$$ ]; do sleep 0.02; done
cat out-$$; cat err-$$ >&2
exit "$(cat answered-$$)"
"""


def attend() -> None:
    """Be the person at the second terminal: do what workers have asked for by ``./person``."""
    for asked in Path().glob("asked-*"):
        number = asked.name.partition("-")[2]
        words = asked.read_text("utf-8").splitlines()
        asked.unlink()
        done = subprocess.run(
            [sys.executable, "-m", "goalfsm.cli", *words],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
        Path(f"out-{number}").write_bytes(done.stdout)
        Path(f"err-{number}").write_bytes(done.stderr)
        Path(f"done-{number}").write_text(f"{done.returncode}\n", "utf-8")
        Path(f"done-{number}").rename(f"answered-{number}")


def worker(*lines: str, name: str = "worker.sh") -> str:
    """Write a worker and return how it is started; it notes every turn it was given."""
    path = Path(name)
    head = ("#!/bin/sh", "cat > prompt-$GOALFSM_TURN.txt", "echo $GOALFSM_TURN >> turns.txt")
    path.write_text("\n".join((*head, *lines, "")), "utf-8")
    path.chmod(0o755)
    Path("person").write_text(_PERSON, "utf-8")
    Path("person").chmod(0o755)
    return f"./{name}"


def turns() -> list[int]:
    """Return the turns that the worker was given."""
    return [int(row) for row in Path("turns.txt").read_text().split()]


def prompt(turn: int) -> str:
    """Return what the worker was told in a turn."""
    return Path(f"prompt-{turn}.txt").read_text("utf-8")
