"""Run the benchmark: ``python -m tests.bench [--quick] [--write] [--only NAME]``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from goalfsm.daemon import logs
from tests.bench import (
    agents,
    cluster,
    crowd,
    durable,
    engines,
    parts,
    pure,
    suite,
    traces,
    turns,
    waits,
)
from tests.bench.harness import Section, machine, markdown
from tests.bench.targets import judged

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
HEAD = """# Benchmarks

Written by `make bench`; `make bench QUICK=1` takes less than a minute and is coarser. Contenders
take turns in every round, so that a machine that slows down slows all of them; a figure is the
median, beside it the least and the most. Absolute times are worth little on another machine:
compare the ratios. Peers come from the `bench` dependency group and are used as their own
documentation recommends.
"""


def sections(*, quick: bool) -> dict[str, Callable[[], list[Section]]]:
    """Return what there is to measure, by name."""
    return {
        "transition": lambda: [pure.transition(quick=quick)],
        "parts": lambda: [pure.parts(quick=quick)],
        "illegal": lambda: [pure.illegal(quick=quick)],
        "building": lambda: [pure.building(quick=quick)],
        "memory": lambda: [pure.memory()],
        "handle": lambda: [pure.events(quick=quick)],
        "reducers": lambda: [pure.reducers(quick=quick)],
        "durable": lambda: durable.throughput(quick=quick),
        "turn": lambda: [turns.in_process(quick=quick)],
        "profile": lambda: [parts.section(quick=quick)],
        "script": lambda: [turns.script(quick=quick)],
        "latency": lambda: [engines.latency(quick=quick)],
        "resume": lambda: [engines.resume(quick=quick)],
        "crowd": lambda: [crowd.crowd(quick=quick)],
        "traces": lambda: [traces.section()],
        "growth": lambda: [engines.growth(quick=quick)],
        "startup": lambda: [engines.startup(quick=quick)],
        "commands": lambda: [waits.commands(quick=quick)],
        "journal": lambda: [waits.journal(quick=quick)],
        "idle": lambda: [waits.idle(quick=quick)],
        "suite": lambda: [] if quick else [suite.section()],
        "agents": lambda: [agents.pauses(quick=quick)],
        "cluster": lambda: cluster.section(quick=quick),
    }


def write(head: list[str], measured: list[Section]) -> None:
    """Write the page of what has been measured so far."""
    targets = "\n".join(judged(measured))
    PAGE.write_text("\n".join([*head, targets, *map(markdown, measured)]), encoding="utf-8")


def main() -> int:
    """Measure, print, and write the page when asked to."""
    # A command that is started is measured as it is installed: with its modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller stores")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure just this")
    given = parser.parse_args()
    logs.configure(level="error")
    known = sections(quick=given.quick)
    names = given.only or list(known)
    if unknown := set(names) - set(known):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {list(known)}")
    page = [HEAD, "\n".join(f"- {line}" for line in machine())]
    page.append(f"- one sync of 4 KiB on this disk: {durable.sync_time():,.0f} µs\n")
    print("\n".join(page[1:]))
    measured: list[Section] = []
    for name in names:
        for section in known[name]():
            measured.append(section)
            print(markdown(section), flush=True)
            if given.write:
                # After each: what fails late does not lose what was measured before.
                write(page, measured)
    print("\n".join(judged(measured)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
