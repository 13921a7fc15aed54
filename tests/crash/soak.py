"""Many turns of one engine that runs a real program: what it holds does not grow with them.

``python -m tests.crash.soak --turns 20000`` has `goalfsm run` do so many turns; every hundredth one
writes down what engine and supervisor hold at that moment: memory, open files, children.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

EVERY: Final = 100
MORE_KB: Final = 4_096
"""How much memory may come on top of what the first quarter of the turns took, in KiB."""
MORE_FILES: Final = 2
"""How many descriptors may be open for a moment."""

WORKER: Final = """#!/bin/sh
cat > /dev/null
case $GOALFSM_TURN in *00)
    read -r _ _ _ engine _ < /proc/$PPID/stat
    kb() {
        while read -r name value _; do
            [ "$name" != VmRSS: ] || echo "$value"
        done < "/proc/$1/status"
    }
    set -- /proc/$engine/fd/*
    files=$#
    set -- /proc/$PPID/fd/*
    echo "$GOALFSM_TURN $(kb "$engine") $files $(kb $PPID) $#" >> samples
esac
echo "turn $GOALFSM_TURN"
"""


class Sample(NamedTuple):
    """What the processes held in one turn; memory in KiB."""

    turn: int
    engine_kb: int
    engine_files: int
    supervisor_kb: int
    supervisor_files: int


def soak(place: Path, turns: int) -> list[Sample]:
    """Have so many turns done in an empty directory; return what was held, turn by turn."""
    worker = place / "worker.sh"
    worker.write_text(WORKER)
    worker.chmod(0o755)
    given = ("--thread", "t", "--max-continuations", str(turns), "--policy", "no_progress=0")
    subprocess.run(
        [
            *(sys.executable, "-m", "goalfsm.cli", "run", "go on", "--db", "goals.db"),
            *(*given, "--", "./worker.sh"),
        ],
        cwd=place,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    rows = (place / "samples").read_text().splitlines()
    return [Sample(*map(int, row.split())) for row in rows]


def grown(samples: Sequence[Sample]) -> list[str]:
    """Return what is more at the end than after the first quarter, in words."""
    early = samples[: max(1, len(samples) // 4)]
    late = samples[-max(1, len(samples) // 4) :]
    found = []
    for name, most in (
        ("engine_kb", MORE_KB),
        ("supervisor_kb", MORE_KB),
        ("engine_files", MORE_FILES),
        ("supervisor_files", MORE_FILES),
    ):
        before = max(getattr(sample, name) for sample in early)
        after = max(getattr(sample, name) for sample in late)
        if after > before + most:
            found.append(f"{name}: {before} became {after}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.soak", description=__doc__)
    parser.add_argument("--turns", type=int, default=20_000, metavar="N")
    asked = parser.parse_args(arguments)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        samples = soak(Path(place), asked.turns)
        size = Path(place, "goals.db").stat().st_size
    seconds = time.monotonic() - begun
    shown = samples[:: max(1, len(samples) // 10)]
    if samples and shown[-1] is not samples[-1]:
        shown.append(samples[-1])
    _say("| turn | engine, KiB | files | supervisor, KiB | files |")
    _say("|--:|--:|--:|--:|--:|")
    for sample in shown:
        _say("| " + " | ".join(f"{value:,}" for value in sample) + " |")
    found = grown(samples) if samples else ["no turn was done"]
    done = samples[-1].turn if samples else 0
    _say(f"{done:,} turns in {seconds:.0f} s, a database of {size:,} bytes; {found or 'flat'}")
    return 1 if found or done < asked.turns // EVERY * EVERY else 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
