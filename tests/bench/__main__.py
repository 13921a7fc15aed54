"""Run the benchmark: ``python -m tests.bench [--quick] [--long] [--write] [--only NAME]``."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

from goalfsm.daemon import logs
from tests.bench import (
    agents,
    cluster,
    crowd,
    durable,
    engines,
    page,
    parts,
    pure,
    suite,
    traces,
    turns,
    waits,
)
from tests.bench.harness import Section, machine, markdown
from tests.bench.targets import judged


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
        "deaths": lambda: [cluster.deaths(quick=quick)],
        "storm": lambda: [cluster.storm(quick=quick)],
    }


LONG = frozenset({"storm"})
"""What takes half an hour, and is measured where it is named or everything long is asked for."""


def main() -> int:
    """Measure, print, and write the page when asked to."""
    # A command that is started is measured as it is installed: with its modules compiled.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, smaller stores")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write docs/benchmarks.md: what is not measured now stays as it was",
    )
    parser.add_argument("--long", action="store_true", help="also the storm of half an hour")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure just this")
    given = parser.parse_args()
    if given.quick and given.write:
        parser.error("--quick is too coarse to be written down: leave out --quick or --write")
    logs.configure(level="error")
    known = sections(quick=given.quick)
    names = given.only or [name for name in known if given.long or name not in LONG]
    if unknown := set(names) - set(known):
        parser.error(f"no such measurement: {', '.join(sorted(unknown))}; there are {list(known)}")
    conditions = [*machine(), f"one sync of 4 KiB on this disk: {durable.sync_time():,.0f} µs"]
    print("\n".join(f"- {line}" for line in conditions))
    measured = []
    for name in names:
        found = known[name]()
        measured += found
        print("\n".join(map(markdown, found)), flush=True)
        if given.write:
            # After each: what fails late does not lose what was measured before.
            now = page.Measured(commit=page.commit(), under=conditions, sections=found)
            page.keep(name, now, order=list(known))
    print("\n".join(judged(measured)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
