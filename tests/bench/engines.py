"""Whole engines: dispatch latency, resume, growth."""

from __future__ import annotations

import asyncio
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path

import apsw

from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.session import Policy, codec
from goalfsm.session.effects import SendWork
from goalfsm.session.events import CompletionRequested, ObjectiveGiven
from goalfsm.session.state import Session
from goalfsm.session.thread import context_of, handle
from goalfsm.store.port import Acquired, Commit
from goalfsm.store.port import Effect as OutboxRow
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import Work
from tests.bench.harness import Section, figure, percentile

ENDLESS = Policy(no_progress=0, max_continuations=0)


class Stopwatch:
    """An in-process worker that notes when its turns begin and end."""

    def __init__(self, turns: int, pause_s: float = 0.0) -> None:
        self.turns, self.pause_s = turns, pause_s
        self.ended: dict[str, float] = {}
        self.gaps: dict[str, list[float]] = defaultdict(list)
        self.count = 0
        self.enough = asyncio.Event()
        self.first: float | None = None

    async def turn(self, work: Work) -> AsyncIterator[str]:
        """Answer at once, or after the pause."""
        now = time.perf_counter()
        self.first = self.first or now
        before = self.ended.get(work.thread_id)
        if before is not None:
            self.gaps[work.thread_id].append((now - before) * 1000)
        self.count += 1
        if self.count >= self.turns:
            self.enough.set()
        if self.pause_s:
            await asyncio.sleep(self.pause_s)
        yield f"turn {work.turn}"
        self.ended[work.thread_id] = time.perf_counter()


def latency(*, quick: bool, folder: str | None = None) -> Section:
    """Time from a turn's end to the next one's start, all of it committed between."""
    section = Section("Turn end to next dispatch, committed")
    turns = 100 if quick else 1_000
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        gaps = asyncio.run(_in_process(Path(scratch) / "a.db", turns))
        _latencies(section, "in-process worker", gaps)
        children = asyncio.run(_children(Path(scratch) / "b.db", max(30, turns // 5)))
        _latencies(section, "child process, start included", children)
    return section


def _latencies(section: Section, name: str, gaps: list[float]) -> None:
    section.figures.append(figure(f"{name}, p50", [statistics.median(gaps)], "ms"))
    section.figures.append(
        figure(f"{name}, p99", [percentile(gaps, 0.99)], "ms", note=f"{len(gaps):,} turns")
    )


async def _in_process(path: Path, turns: int) -> list[float]:
    watch = Stopwatch(turns)
    store = SqliteStore.open(path)
    try:
        async with Engine(
            store, workers=CallableWorker(watch.turn), policy=ENDLESS, serve=False
        ) as engine:
            await engine.submit("one", ObjectiveGiven(objective="go on"))
            await watch.enough.wait()
            await engine.stop(0)
    finally:
        store.close()
    return watch.gaps["one"]


async def _children(path: Path, turns: int) -> list[float]:
    """Run ``true``-like programs; their own start and end are in the journal's times."""
    store = SqliteStore.open(path)
    policy = Policy(no_progress=0, max_continuations=turns)
    log = path.with_suffix(".times")
    program = f'echo "$(date +%s%N)" >> {log}; echo turn $GOALFSM_TURN; date +%s%N >> {log}'
    config = WorkerConfig(argv=("/bin/sh", "-c", program), cwd=str(path.parent))
    try:
        store.workers.put("one", config.encode())
        async with Engine(store, policy=policy, serve=False) as engine:
            await engine.submit("one", ObjectiveGiven(objective="go on"))
            await engine.settled("one")
            await engine.stop(0)
    finally:
        store.close()
    stamps = [int(line) / 1e6 for line in log.read_text(encoding="utf-8").split()]
    return [after - before for before, after in zip(stamps[1::2], stamps[2::2], strict=False)]


def prepared(path: Path, *, goals: int, active: int, rows: int) -> None:
    """Write a database with so many goals, some active, and so many journal rows."""
    store = SqliteStore.open(path)
    assert isinstance(
        store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms()),
        Acquired,
    )
    commits = []
    event = codec.encode_event(ObjectiveGiven(objective="go on"))
    for number in range(goals):
        thread = f"t{number:05}"
        ctx = context_of(thread, "e0", 1_800_000_000_000)
        session = handle(Session(policy=ENDLESS), ObjectiveGiven(objective="go on"), ctx).session
        status = "active"
        outbox: tuple[OutboxRow, ...] = ()
        if number >= active:
            session = handle(session, CompletionRequested(), ctx).session
            status = "complete"
        else:
            assert session.goal is not None
            work = SendWork(
                kind="continuation", goal_id=session.goal.goal_id, deliver_as="follow_up"
            )
            outbox = (
                OutboxRow(key=f"{thread}:1:0", kind="SendWork", payload=codec.encode_effect(work)),
            )
        state = codec.encode(session)
        commits.append(
            Commit(
                thread_id=thread,
                expected_revision=0,
                at_ms=1_800_000_000_000,
                event_id="e0",
                event=event,
                state=state,
                digest=codec.digest(state),
                status=status,
                outbox=outbox,
            )
        )
    for first in range(0, len(commits), 1000):
        store.commit(commits[first : first + 1000])
    store.owner.release()
    store.close()
    _fill(path, goals, rows)


def _fill(path: Path, goals: int, rows: int) -> None:
    """Add journal rows by hand: what resume must not read need not be decided."""
    db = apsw.Connection(str(path))
    db.execute("PRAGMA synchronous=OFF")
    db.execute("BEGIN")
    event = codec.encode_event(ObjectiveGiven(objective="go on"))
    db.executemany(
        "INSERT INTO journal (thread_id, revision, event_id, at_ms, rules_version, epoch, digest, "
        "event, decision) VALUES (?, ?, ?, 0, 1, 1, x'', ?, NULL)",
        ((f"t{n % goals:05}", -(n // goals) - 1, f"f{n // goals}", event) for n in range(rows)),
    )
    db.execute("COMMIT")
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    db.close()


def resume(*, quick: bool, folder: str | None = None) -> Section:
    """Time until the first dispatch of an engine on a large store."""
    goals, active, rows = (1_000, 50, 50_000) if quick else (10_000, 500, 1_000_000)
    section = Section(f"Resume: {goals:,} goals, {active:,} active, {rows:,} journal rows")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        path = Path(scratch) / "large.db"
        prepared(path, goals=goals, active=active, rows=rows)
        warm = [asyncio.run(_resume(path)) for _ in range(3 if quick else 7)]
        _evict(path)
        cold = asyncio.run(_resume(path))
        naive = _naive_replay(path, rows)
    section.figures.append(figure("first dispatch, warm", warm, "ms"))
    section.figures.append(figure("first dispatch, page cache dropped", [cold], "ms"))
    ratio = f"{naive / statistics.median(warm):.3g} x"
    section.figures.append(
        figure("naive replay of the journal", [naive], "ms", ratio, "reading and decoding alone")
    )
    return section


async def _resume(path: Path) -> float:
    watch = Stopwatch(1, pause_s=30.0)
    start = time.perf_counter()
    store = SqliteStore.open(path)
    try:
        engine = Engine(store, workers=CallableWorker(watch.turn), policy=ENDLESS, serve=False)
        async with engine:
            await watch.enough.wait()
            assert watch.first is not None
            took = (watch.first - start) * 1000
            await engine.stop(0)
    finally:
        store.close()
    return took


def _evict(path: Path) -> None:
    for file in path.parent.glob(path.name + "*"):
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _naive_replay(path: Path, rows: int) -> float:
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    start = time.perf_counter()
    seen = 0
    for (event,) in db.execute("SELECT event FROM journal ORDER BY seq"):
        codec.decode_event(event)
        seen += 1
    assert seen >= rows
    return (time.perf_counter() - start) * 1000


def growth(*, quick: bool, folder: str | None = None) -> Section:
    """Cost of an event as the journal and the number of goals grow; an exponent of 0 is flat."""
    section = Section("Growth: cost of one durable turn")
    journals = (1_000, 10_000) if quick else (10_000, 100_000, 1_000_000)
    counts = (10, 100) if quick else (10, 100, 1_000, 10_000)
    turns = 60 if quick else 300
    for name, sizes in (("journal rows", journals), ("goals", counts)):
        costs = []
        for size in sizes:
            goals, rows = (10, size) if name == "journal rows" else (size, size)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                path = Path(scratch) / "growth.db"
                prepared(path, goals=goals, active=1, rows=rows)
                costs.append(asyncio.run(_turn_cost(path, turns)))
            section.figures.append(figure(f"{size:,} {name}", [costs[-1]], "ms"))
        exponent = _exponent(sizes, costs)
        section.figures.append(figure(f"fitted exponent over {name}", [exponent], ""))
    return section


async def _turn_cost(path: Path, turns: int) -> float:
    watch = Stopwatch(turns)
    store = SqliteStore.open(path)
    try:
        async with Engine(
            store, workers=CallableWorker(watch.turn), policy=ENDLESS, serve=False
        ) as engine:
            await watch.enough.wait()
            await engine.stop(0)
    finally:
        store.close()
    return statistics.median(next(iter(watch.gaps.values())))


def _exponent(sizes: tuple[int, ...], costs: list[float]) -> float:
    points = [(math.log(size), math.log(cost)) for size, cost in zip(sizes, costs, strict=True)]
    mean_x = statistics.fmean(x for x, _ in points)
    mean_y = statistics.fmean(y for _, y in points)
    above = sum((x - mean_x) * (y - mean_y) for x, y in points)
    return above / sum((x - mean_x) ** 2 for x, _ in points)


def startup(*, quick: bool) -> Section:
    """Wall time of whole commands."""
    section = Section("Starting")
    repeat = 5 if quick else 15
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "goals.db"
        prepared(path, goals=3, active=1, rows=3)
        commands = {
            "python -c 'pass'": [sys.executable, "-c", "pass"],
            "import goalfsm": [sys.executable, "-c", "import goalfsm"],
            "import goalfsm, handle()": [sys.executable, "-c", "from goalfsm import handle"],
            "goalfsm --help": [sys.executable, "-m", "goalfsm.cli", "--help"],
            "goalfsm status": [
                sys.executable, "-m", "goalfsm.cli", "status", "t00000", "--db", str(path),
            ],
        }  # fmt: skip
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(repeat):
            for name, argv in commands.items():
                start = time.perf_counter()
                subprocess.run(argv, check=True, capture_output=True)
                times[name].append((time.perf_counter() - start) * 1000)
    section.figures += [figure(name, took, "ms") for name, took in times.items()]
    return section
