"""Mutate the pure modules and count what the tests notice."""

from __future__ import annotations

import argparse
import fnmatch
import os
import random
import sys
import time
import tomllib
from collections import Counter
from pathlib import Path
from typing import Final

from tests.mutation.judging import Verdict, judge
from tests.mutation.making import Site, sites

ROOT: Final = Path(__file__).parents[2]
MISSED: Final = ROOT / "mutants" / "missed.txt"
SAMPLE: Final = 40
SEED: Final = 1
CAUGHT: Final = {"killed", "timeout"}
OUTCOMES: Final = ("killed", "timeout", "survived", "untested")


def pure_modules() -> dict[str, Path]:
    """Return the modules whose every branch is tested: coverage's list, so that there is one."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {}
    for pattern in config["tool"]["coverage"]["report"]["include"]:
        for path in ROOT.glob(pattern.replace("*", "**/*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path.relative_to(ROOT)
    return dict(sorted(found.items()))


def sampled(found: list[Site], most: int, seed: int) -> list[Site]:
    """Return so many of a module's mutants: the same ones for the same source and seed."""
    chosen = random.Random(f"{seed} {found[0].module}").sample(range(len(found)), most)
    return [found[index] for index in sorted(chosen)]


def table(verdicts: list[Verdict], made: Counter[str]) -> str:
    """Return the outcomes by module."""
    counts: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        counts.setdefault(verdict.mutant.change.module, Counter())[verdict.outcome] += 1
    rows = [("module", "mutants", "judged", *OUTCOMES)]
    for name, count in sorted(counts.items()):
        figures = (made[name], count.total(), *(count[outcome] for outcome in OUTCOMES))
        rows.append((name, *map(str, figures)))
    return "\n".join(f"{row[0]:34}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("only", nargs="*", help="all mutants of these names: goalfsm.format*")
    parser.add_argument("--all", action="store_true", help="judge every mutant, not a sample")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="how many of each module")
    parser.add_argument("--seed", type=int, default=SEED, help="which ones")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    return parser.parse_args()


def main() -> int:
    """Judge the mutants and print the score."""
    given = arguments()
    start = time.monotonic()
    made: Counter[str] = Counter()
    chosen: list[Site] = []
    for module, path in pure_modules().items():
        found = sites(module, path)
        made[module] = len(found)
        if given.only:
            chosen += [s for s in found if any(fnmatch.fnmatch(s.name, n) for n in given.only)]
        elif given.all or len(found) <= given.sample:
            chosen += found
        else:
            chosen += sampled(found, given.sample, given.seed)
    if not chosen:
        sys.exit("no mutant of a pure module has such a name; try goalfsm.format*")
    sys.stdout.write(f"{made.total():,} mutants of {len(made)} modules\n")
    MISSED.parent.mkdir(exist_ok=True)
    judged = 0
    with MISSED.open("w", encoding="utf-8") as missed:

        def told(verdict: Verdict) -> None:
            nonlocal judged
            judged += 1
            if judged % 100 == 0:
                sys.stderr.write(f"{judged:,} of {len(chosen):,} are judged\n")
            if verdict.outcome not in CAUGHT:
                missed.write(f"{verdict.mutant.name}: {verdict.outcome}\n{verdict.mutant.diff}\n")
                missed.flush()

        verdicts = judge((site.mutant() for site in chosen), jobs=given.jobs, told=told)
    caught = sum(verdict.outcome in CAUGHT for verdict in verdicts)
    which = "every one"
    if given.only:
        which = "those named " + " ".join(given.only)
    elif not given.all:
        which = f"at most {given.sample} of a module, drawn with seed {given.seed}"
    sys.stdout.write(
        f"{table(verdicts, made)}\n\n"
        f"{len(verdicts):,} were judged: {which}\n"
        f"{caught:,} of them were noticed: {100 * caught / len(verdicts):.1f} %\n"
        f"{MISSED.relative_to(ROOT)} shows those that were not\n"
        f"it took {time.monotonic() - start:.0f} s with {given.jobs} processes\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
