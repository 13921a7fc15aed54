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
    chance = random.Random(f"{seed} {found[0].module}" if found else seed)
    return [found[index] for index in sorted(chance.sample(range(len(found)), most))]


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
    parser.add_argument("only", nargs="*", help="all mutants of these names: goalfsm.text*")
    parser.add_argument("--all", action="store_true", help="judge every mutant, not a sample")
    parser.add_argument("--sample", type=int, default=SAMPLE, help="how many of each module")
    parser.add_argument("--seed", type=int, default=SEED, help="which ones")
    parser.add_argument(
        "--control",
        action="store_true",
        help="put one function of each module in its own place instead: no test may notice",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    return parser.parse_args()


def chosen(given: argparse.Namespace, made: Counter[str]) -> list[Site]:
    """Return where the mutants are made that were asked for; ``made`` counts all, by module."""
    asked: list[Site] = []
    for module, path in pure_modules().items():
        found = sites(module, path)
        made[module] = len(found)
        if given.only:
            asked += [s for s in found if any(fnmatch.fnmatch(s.name, n) for n in given.only)]
        elif given.all:
            asked += found
        else:
            most = 1 if given.control else given.sample
            asked += sampled(found, min(most, len(found)), given.seed)
    return asked


def judged(given: argparse.Namespace, asked: list[Site]) -> list[Verdict]:
    """Judge the mutants, write down which ones no test noticed, and tell how far it is."""
    count = 0
    MISSED.parent.mkdir(exist_ok=True)
    with MISSED.open("w", encoding="utf-8") as missed:

        def told(verdict: Verdict) -> None:
            nonlocal count
            count += 1
            if count % 100 == 0:
                sys.stderr.write(f"{count:,} of {len(asked):,} are judged\n")
            if verdict.outcome not in CAUGHT:
                missed.write(f"{verdict.mutant.name}: {verdict.outcome}\n{verdict.mutant.diff}\n")
                missed.flush()

        mutants = (site.unchanged() if given.control else site.mutant() for site in asked)
        return judge(mutants, jobs=given.jobs, told=told)


def main() -> int:
    """Judge the mutants and print the score."""
    given = arguments()
    start = time.monotonic()
    made: Counter[str] = Counter()
    asked = chosen(given, made)
    if not asked:
        sys.exit("no mutant of a pure module has such a name; try goalfsm.text*")
    sys.stdout.write(f"{made.total():,} mutants of {len(made)} modules\n")
    sys.stdout.flush()
    verdicts = judged(given, asked)
    caught = sum(verdict.outcome in CAUGHT for verdict in verdicts)
    if given.control:
        sys.stdout.write(f"{caught} of {len(verdicts)} unchanged functions were noticed\n")
        return 1 if caught else 0
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
