"""A thousand goals at once: what a turn costs then, how long it waits, and who waits longest."""

from __future__ import annotations

import asyncio
import gc
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import apsw

from goalfsm.cli.hosting import collect_rarely
from goalfsm.daemon import logs
from goalfsm.daemon.engine import Engine
from goalfsm.session.events import ObjectiveGiven
from goalfsm.store.port import Commit, Done, Outcome
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.inprocess import CallableWorker
from tests.bench.engines import ENDLESS, Stopwatch
from tests.bench.harness import Section, figure, percentile

CROWD_TURN_S = 2.0
"""How long a simulated worker is busy with a turn."""


def crowd(*, quick: bool, folder: str | None = None) -> Section:
    """Many active goals with simulated workers: cost of a turn, latency, fairness."""
    goals, seconds = (100, 5.0) if quick else (1_000, 60.0)
    section = Section(
        f"{goals:,} active goals for {seconds:.0f} seconds, turns of {CROWD_TURN_S:.0f} s"
    )
    # A process of its own: what earlier measurements left would be taken for free memory.
    alone = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
    with alone, tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "crowd.db"
        crowded = alone.submit(_crowd_alone, path, goals, seconds).result()
    gaps = [gap for of_one in crowded.gaps for gap in of_one]
    waits = sorted(statistics.median(of_one) for of_one in crowded.gaps)
    slowest = waits[-1] / statistics.median(waits)
    turns = [len(of_one) + 1 for of_one in crowded.gaps]
    fewest = min(turns) / statistics.median(turns)
    section.figures += [
        figure("turns", [crowded.turns], "turns"),
        figure("processor time per turn", [crowded.cpu_s / crowded.turns * 1000], "ms"),
        figure("memory per goal at the end", [crowded.grown_bytes / goals / 1024], "KiB"),
        figure("of that, SQLite's pages", [crowded.sqlite_bytes / goals / 1024], "KiB"),
        figure("turn end to next dispatch, p50", [statistics.median(gaps)], "ms"),
        figure("turn end to next dispatch, p99", [percentile(gaps, 0.99)], "ms"),
        figure("a commit with its sync, p50", [statistics.median(crowded.commits)], "ms"),
        figure("a commit with its sync, p99", [percentile(crowded.commits, 0.99)], "ms"),
        figure("turns a commit", [crowded.turns / len(crowded.commits)], "turns"),
        figure("longest pause of the collector", [max(crowded.pauses)], "ms"),
        figure("slowest goal's wait over the median goal's", [slowest], "x"),
        figure("fewest turns of a goal over the median goal's", [fewest], "x"),
    ]
    return section


class Crowded(NamedTuple):
    """What a crowd did: turns, milliseconds between them by goal, and what that took."""

    turns: int
    gaps: list[list[float]]
    cpu_s: float
    grown_bytes: int
    sqlite_bytes: int
    commits: list[float]
    """How many milliseconds each took."""
    pauses: list[float]
    """How many milliseconds the collector of garbage took, each time."""


def _crowd_alone(path: Path, goals: int, seconds: float) -> Crowded:
    logs.configure(level="error")
    # As the command line does with a process that is an engine.
    collect_rarely()
    return asyncio.run(_crowd(path, goals, seconds))


async def _crowd(path: Path, goals: int, seconds: float) -> Crowded:
    watch = Stopwatch(1 << 60, pause_s=CROWD_TURN_S)
    store = SqliteStore.open(path)
    commits, pauses = _timed(store), _collected()
    try:
        async with Engine(
            store,
            workers=CallableWorker(watch.turn),
            policy=ENDLESS,
            max_runs=goals,
            serve=False,
        ) as engine:
            # What the first goal needs is needed once.
            await engine.submit("first", ObjectiveGiven(objective="go on"))
            await asyncio.sleep(CROWD_TURN_S * 1.5)
            empty, pages = _resident(), apsw.memory_used()
            before = resource.getrusage(resource.RUSAGE_SELF)
            # Spread over one turn, as goals are that people gave at different times.
            for number in range(goals):
                await engine.submit(f"t{number}", ObjectiveGiven(objective="go on"))
                await asyncio.sleep(CROWD_TURN_S / goals)
            await asyncio.sleep(seconds)
            after = resource.getrusage(resource.RUSAGE_SELF)
            resident, pages = _resident(), apsw.memory_used() - pages
            await engine.stop(0)
    finally:
        store.close()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    grown = resident - empty
    return Crowded(watch.count, list(watch.gaps.values()), cpu, grown, pages, commits, pauses)


def _timed(store: SqliteStore) -> list[float]:
    """Return the times that commits of ``store`` take from now on, in milliseconds."""
    took: list[float] = []
    commit = store.commit

    def timed(batch: Sequence[Commit], *, done: Sequence[Done] = ()) -> list[Outcome]:
        begun = time.perf_counter()
        outcomes = commit(batch, done=done)
        took.append((time.perf_counter() - begun) * 1000)
        return outcomes

    store.commit = timed  # type: ignore[method-assign]
    return took


def _collected() -> list[float]:
    """Return the times that the collector of garbage takes from now on, in milliseconds."""
    took, begun = [0.0], [0.0]

    def note(phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            begun[0] = time.perf_counter()
        else:
            took.append((time.perf_counter() - begun[0]) * 1000)

    gc.callbacks.append(note)
    return took


def _resident() -> int:
    """Return the bytes of memory that this process has in use."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()
