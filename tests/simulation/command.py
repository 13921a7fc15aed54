"""Run worlds by their seeds, say what happened, and make small what failed."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.simulation.bugs import BUGS, Bug, switched_on
from tests.simulation.drawing import draw
from tests.simulation.endings import Violation
from tests.simulation.plan import shown
from tests.simulation.shrinking import shrink
from tests.simulation.stats import Stats
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.plan import Plan


class Played(NamedTuple):
    """What the command plays, with the bugs that it has to find, and by which module."""

    world: type[World] = World
    bugs: Mapping[str, Bug] = BUGS
    module: str = "tests.simulation"


SIMULATION: Final = Played()


def run(plan: Plan, of: type[World] = World) -> tuple[World, Violation | None]:
    """Play one world; return it, and what was wrong with it."""
    world = of(plan)
    try:
        world.play()
    except Violation as violation:
        return world, violation
    return world, None


def shows(plan: Plan, of: type[World] = World) -> bool:
    """Tell whether a world shows the bug that is switched on, by something else than its patch.

    A patch that no longer fits what it replaces raises at once, in every world.
    """
    _, violation = run(plan, of)
    misfits = ("TypeError(", "AttributeError(")
    return violation is not None and not any(error in str(violation) for error in misfits)


def main(arguments: Sequence[str] | None = None, of: Played = SIMULATION) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {of.module}", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, metavar="N", help="how many worlds")
    parser.add_argument("--start", type=int, default=0, metavar="S", help="the first seed")
    parser.add_argument("--seed", type=int, metavar="K", help="this world only")
    parser.add_argument("--trace", action="store_true", help="show all that happened in it")
    parser.add_argument("--bug", choices=sorted(of.bugs), help="switch on a bug to be found")
    parser.add_argument(
        "--bugs", type=int, metavar="N", help="count in which of N worlds each bug shows itself"
    )
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a failure")
    asked = parser.parse_args(arguments)
    if asked.bugs is not None:
        return _bite(of, range(asked.start, asked.start + asked.bugs))
    with nullcontext() if asked.bug is None else switched_on(asked.bug, of.bugs):
        if asked.seed is not None:
            return _one(of, asked.seed, trace=asked.trace)
        seeds = range(asked.start, asked.start + asked.seeds)
        return _many(of, seeds, keep_going=asked.keep_going, bug=asked.bug)


def _many(of: Played, seeds: range, *, keep_going: bool, bug: str | None) -> int:
    stats, failed, begun = Stats(), 0, time.monotonic()
    played = 0
    for seed in seeds:
        world, violation = run(draw(seed), of.world)
        stats.add(world.stats)
        played += 1
        if violation is not None:
            failed += 1
            _say(f"seed {seed}: {violation}")
            _say(f"  reproduce: {command(seed, bug, of.module)}")
            if not keep_going:
                _explain(of, world.plan, violation)
                break
    _say(summary(played, stats, time.monotonic() - begun))
    return 1 if failed else 0


def _bite(of: Played, seeds: range) -> int:
    """Print, as a table, how many of the worlds find each bug; fail where enough of them do not."""
    _say(f"| bug | must be found within | found in, of {len(seeds):,} | first by |")
    _say("|---|--:|--:|--:|")
    missed = 0
    for name, bug in of.bugs.items():
        with switched_on(name, of.bugs):
            found = [seed for seed in seeds if shows(draw(seed), of.world)]
        first = f"seed {found[0]}" if found else "none"
        missed += not found and set(bug.seeds) <= set(seeds)
        _say(f"| {bug.says} (`{name}`) | {bug.bound} | {len(found)} | {first} |")
    return 1 if missed else 0


def command(seed: int, bug: str | None = None, module: str = SIMULATION.module) -> str:
    """Return what shows one world again."""
    switched = "" if bug is None else f" --bug {bug}"
    return f"python -m {module} --seed {seed} --trace{switched}"


def summary(seeds: int, stats: Stats, seconds: float) -> str:
    """Return the figures of several worlds."""
    counted = {
        "steps": stats.steps,
        f"events in {stats.commits:,} commits": stats.events,
        f"runs ({stats.runs_interrupted:,} interrupted)": stats.runs,
        "commands": stats.commands,
        "crashes": stats.crashes,
        "stalls": stats.stalls,
        "takeovers": stats.takeovers,
        "store faults": stats.faults,
        "faults in decisions": stats.poisoned,
        "partitions": stats.partitions,
        "wiped queues": stats.wipes,
        "rows replayed": stats.replays,
    }
    # What a kind of world does not know, or nobody met, is not a figure of it.
    told = [f"{count:,} {name}" for name, count in counted.items() if count]
    hours = f"{stats.virtual_s / 3600:,.0f} virtual hours in {seconds:,.0f} s"
    return ", ".join([f"{seeds:,} seeds", *told, hours])


def _one(of: Played, seed: int, *, trace: bool) -> int:
    world, violation = run(draw(seed), of.world)
    if trace:
        for item in world.plan.items:
            _say(f"  {shown(item)}")
        for line in world.told():
            _say(line)
    _say(summary(1, world.stats, 0))
    if violation is None:
        return 0
    _say(f"seed {seed}: {violation}")
    _explain(of, world.plan, violation)
    return 1


def _explain(of: Played, plan: Plan, violation: Violation) -> None:
    """Show the smallest plan that still fails in the same way, and what happens in it."""
    small = shrink(plan, violation.rule, of.world)
    world, again = run(small, of.world)
    _say(
        f"\nThe same with {len(small.items)} of {len(plan.items)} items: "
        f"threads {', '.join(small.threads)}, max_runs {small.max_runs}, {small.policy}"
    )
    for item in small.items:
        _say(f"  {shown(item)}")
    for line in world.told():
        _say(line)
    _say(f"{again}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
