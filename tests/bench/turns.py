"""A whole turn: beside one raw commit, and beside a shell loop that starts the same script."""

from __future__ import annotations

import asyncio
import resource
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.engine import Engine
from goalfsm.session.events import ObjectiveGiven
from goalfsm.session.policy import Policy
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import TurnEvent, UsageReported, Work
from tests.bench.durable import Raw, payload
from tests.bench.engines import ENDLESS
from tests.bench.harness import Section, figure, times

WARM = 50
"""Turns before the clock starts: what is done once is no part of a turn."""


def in_process(*, quick: bool) -> Section:
    """Measure the processor time of a turn of one usage report beside that of one raw commit."""
    count, repeat = (100, 3) if quick else (600, 7)
    rows = payload()
    raws, ours, journal = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        raw = Raw(scratch)
        raw.run(count, rows, 1)
        for number in range(repeat):
            begun = time.process_time()
            raw.run(count, rows, 1)
            raws.append((time.process_time() - begun) / count * 1e6)
            spent, written = asyncio.run(played(Path(scratch) / f"{number}.db", count))
            ours.append(spent / count * 1e6)
            journal.append(written / count)
    section = Section("A whole turn, in process")
    one = figure("one raw commit, processor time", raws, "µs", note="the same tables, by hand")
    turn = figure("a turn of one usage report, processor time", ours, "µs")
    section.figures += [
        one,
        figure(turn.name, ours, "µs", f"{times(turn, one):.3g} x", f"{count:,} turns a round"),
        figure("a turn of one usage report, journal rows", journal, "rows"),
    ]
    section.lines.append(
        "One commit makes such a turn durable, with the next one's beginning: its worker says all "
        "at one go. Where it waits after its usage, that is another one. "
        "`python -m tests.bench --only profile` shows where its processor time goes."
    )
    return section


async def played(path: Path, count: int) -> tuple[float, int]:
    """Return the seconds of processor time and the journal rows of so many turns."""
    store, enough = SqliteStore.open(path), asyncio.Event()
    marks: list[tuple[float, int]] = []

    async def turn(work: Work) -> AsyncIterator[TurnEvent | str]:
        if work.turn in {WARM, WARM + count}:
            newest = store.journal.read("t", limit=1, newest=True)[0]
            marks.append((time.process_time(), newest.revision))
        if work.turn == WARM + count:
            enough.set()
        yield UsageReported(input_tokens=1)
        yield "did it"

    engine = Engine(store, workers=CallableWorker(turn), policy=ENDLESS, serve=False)
    async with engine:
        await engine.submit("t", ObjectiveGiven(objective="go on"))
        await enough.wait()
        await engine.stop(0)
    store.close()
    (begun, before), (ended, after) = marks
    return ended - begun, after - before


def script(*, quick: bool) -> Section:
    """Measure a turn of an sh worker beside a shell loop that starts the same script."""
    count, repeat = (40, 3) if quick else (200, 7)
    walls: dict[str, list[float]] = {"loop": [], "ours": []}
    spent: dict[str, list[float]] = {"loop": [], "ours": []}
    with tempfile.TemporaryDirectory() as scratch:
        worker = Path(scratch) / "worker.sh"
        worker.write_text("echo did it\n", encoding="utf-8")
        for number in range(repeat):
            for name, (wall, cpu) in {
                "loop": _loop(worker, count),
                "ours": asyncio.run(_engine(Path(scratch) / f"{number}.db", worker, count)),
            }.items():
                walls[name].append(wall / count * 1000)
                spent[name].append(cpu / count * 1000)
    section = Section("A turn of an sh worker beside a shell loop")
    loop, ours = (figure(name, walls[name], "ms") for name in ("loop", "ours"))
    more = [mine - theirs for mine, theirs in zip(walls["ours"], walls["loop"], strict=True)]
    section.figures += [
        figure("a shell loop that starts the script", walls["loop"], "ms"),
        figure("a turn of ours", walls["ours"], "ms", f"{times(ours, loop):.3g} x"),
        figure("more than the loop", more, "ms"),
        figure("a shell loop, processor time", spent["loop"], "ms"),
        figure("a turn of ours, processor time", spent["ours"], "ms", note="supervisor included"),
    ]
    section.lines.append(f"{count:,} turns a round, each durable; the loop keeps nothing.")
    return section


def _loop(worker: Path, count: int) -> tuple[float, float]:
    again = f'n=0; while [ $n -lt {count} ]; do /bin/sh "$0" >/dev/null; n=$((n + 1)); done'
    begun, spent = time.perf_counter(), _spent()
    subprocess.run(["/bin/sh", "-c", again, str(worker)], check=True)
    return time.perf_counter() - begun, _spent() - spent


async def _engine(path: Path, worker: Path, count: int) -> tuple[float, float]:
    store = SqliteStore.open(path)
    policy = Policy(no_progress=0, max_continuations=WARM + count)
    config = WorkerConfig(argv=("/bin/sh", str(worker)), cwd=str(path.parent))
    store.workers.put("t", config.encode())
    spent = _spent()
    engine = Engine(store, policy=policy, serve=False)
    async with engine:
        begun = time.perf_counter()
        await engine.submit("t", ObjectiveGiven(objective="go on"))
        await engine.settled("t")
        wall = time.perf_counter() - begun
        await engine.stop(0)
    store.close()
    share = count / (WARM + count)
    # The supervisor's own is known once it has ended; the warm turns are taken for average ones.
    return wall * share, (_spent() - spent) * share


def _spent() -> float:
    """Return the seconds of processor time of this process and of its children that have ended."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        used = resource.getrusage(who)
        total += used.ru_utime + used.ru_stime
    return total
