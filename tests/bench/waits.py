"""What people wait for at the command line, on a large journal too; and a daemon that idles."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apsw
import psutil

from goalfsm.daemon.engine import Engine
from goalfsm.session.events import ObjectiveGiven
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import TurnEvent, UsageReported, Work
from tests.bench.engines import ENDLESS
from tests.bench.harness import Section, figure, times

_GOALFSM = [sys.executable, "-m", "goalfsm.cli"]
_PASS = "python -c 'pass'"
_LIBRARIES = "import click, msgspec, platformdirs, socket"
"""What any such command would load: what reads its words, its data and its place, and asks."""


class Ran(NamedTuple):
    """What one command took."""

    wall_ms: float
    cpu_ms: float
    peak_mb: float


_MEASURE = """
import os, sys, time
null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
begun = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=null)
_, status, used = os.wait4(pid, 0)
wall = time.perf_counter() - begun
print(wall * 1000, (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss / 1000)
sys.exit(os.waitstatus_to_exitcode(status))
"""
"""Starts a command from a small process: its peak is otherwise that of who started it."""


def _run(*argv: str) -> Ran:
    measured = [sys.executable, "-S", "-c", _MEASURE, *argv]
    done = subprocess.run(measured, check=True, stdout=subprocess.PIPE, text=True)
    return Ran(*(float(word) for word in done.stdout.split()))


@contextmanager
def _daemon(db: Path) -> Iterator[int]:
    """Serve a database, and yield the daemon's pid."""
    argv = [*_GOALFSM, "daemon", "--db", str(db)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _is_served(db):
            time.sleep(0.01)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _is_served(db: Path) -> bool:
    store = SqliteStore.open(db, read_only=True)
    try:
        owner = store.owner.current()
    finally:
        store.close()
    return owner is not None and bool(owner.socket)


def commands(*, quick: bool) -> Section:
    """Measure commands from a second terminal, while a daemon works on the goal."""
    repeat = 5 if quick else 31
    section = Section("A command from a second terminal")
    with tempfile.TemporaryDirectory() as scratch:
        db = Path(scratch) / "goals.db"
        _run(*_GOALFSM, "set", "books", "balance the ledger", "--db", str(db), "--", "sleep", "600")
        asked = ["status books", "steer books hello", "tool get_goal --thread books", "pause books"]
        ran: dict[str, list[Ran]] = {name: [] for name in (_PASS, _LIBRARIES, *asked)}
        with _daemon(db):
            for _ in range(repeat):
                ran[_PASS].append(_run(sys.executable, "-c", "pass"))
                ran[_LIBRARIES].append(_run(sys.executable, "-c", _LIBRARIES))
                for words in asked:
                    ran[words].append(_run(*_GOALFSM, *words.split(), "--db", str(db)))
    least = figure(_PASS, [each.wall_ms for each in ran[_PASS]], "ms")
    section.figures.append(least)
    for words in (_LIBRARIES, *asked):
        ours = words != _LIBRARIES
        name = f"goalfsm {words.replace(' --thread books', '')}" if ours else words
        took = figure(name, [each.wall_ms for each in ran[words]], "ms")
        cpu = sorted(each.cpu_ms for each in ran[words])[repeat // 2]
        note = f"{cpu:.0f} ms of processor time"
        section.figures.append(
            figure(name, list(took.values), "ms", f"{times(took, least):.2g} x", note)
        )
    return section


def journal(*, quick: bool) -> Section:
    """Measure commands that read a journal of 1 GB, of one thread."""
    size = 0.02 if quick else 1.0
    repeat = 3 if quick else 9
    with tempfile.TemporaryDirectory() as scratch:
        db = Path(scratch) / "large.db"
        rows = asyncio.run(_large(db, int(size * 1e9)))
        section = Section(f"A journal of {size:g} GB: {rows:,} rows of one thread")
        for words in ("status", "log -n 50", "explain", "report"):
            first, *more = words.split()
            ran = [_run(*_GOALFSM, first, "t", *more, "--db", str(db)) for _ in range(repeat)]
            peak = max(each.peak_mb for each in ran)
            took = [each.wall_ms for each in ran]
            name = f"goalfsm {words}"
            section.figures.append(figure(name, took, "ms", note=f"at most {peak:.0f} MB"))
            section.figures.append(figure(f"{name}, memory", [peak], "MB"))
    return section


_COPIED = """SELECT at_ms, rules_version, epoch, digest, event, decision FROM journal
    WHERE thread_id = 't' AND revision BETWEEN 31 AND 60 ORDER BY revision"""
_MOVED = """UPDATE journal SET revision = revision + ? WHERE revision = ?;
    UPDATE label SET revision = revision + ? WHERE revision = ?"""
_ADDED = """INSERT INTO journal (thread_id, revision, event_id, at_ms, rules_version, epoch, digest,
    event, decision) VALUES ('t', ?, ?, ?, ?, ?, ?, ?, ?)"""


async def _large(path: Path, size: int) -> int:
    """Write a thread whose journal has ``size`` bytes; its newest rows are those of real turns."""
    store, enough = SqliteStore.open(path), asyncio.Event()

    async def turn(work: Work) -> AsyncIterator[TurnEvent | str]:
        if work.turn == 40:
            enough.set()
        yield UsageReported(input_tokens=1_000)
        yield "did it"

    engine = Engine(store, workers=CallableWorker(turn), policy=ENDLESS, serve=False)
    async with engine:
        await engine.submit("t", ObjectiveGiven(objective="go on"))
        await enough.wait()
        await engine.stop(0)
    store.close()
    db = apsw.Connection(str(path))
    db.execute("PRAGMA synchronous=OFF")
    kept = db.execute(_COPIED).fetchall()
    weight = sum(len(row[3]) + len(row[4]) + len(row[5] or b"") for row in kept) / len(kept)
    count = int(size / (weight + 120))
    db.execute("BEGIN")
    # The newest first: no two rows may have one number for a moment.
    moved = db.execute("SELECT revision FROM journal WHERE revision > 60 ORDER BY revision DESC")
    for (revision,) in moved.fetchall():
        db.execute(_MOVED, (count, revision) * 2)
    db.executemany(_ADDED, ((61 + n, f"again {n}", *kept[n % len(kept)]) for n in range(count)))
    db.execute("UPDATE session SET revision = revision + ?", (count,))
    db.execute("COMMIT")
    db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    rows = int(db.execute("SELECT count(*) FROM journal").fetchall()[0][0])
    db.close()
    return rows


def idle(*, quick: bool) -> Section:
    """Measure what a daemon does while its goals are paused."""
    seconds = 10.0 if quick else 60.0
    section = Section(f"A daemon that idles, for {seconds:.0f} s")
    with tempfile.TemporaryDirectory() as scratch:
        db = Path(scratch) / "goals.db"
        _run(*_GOALFSM, "set", "books", "balance the ledger", "--db", str(db), "--", "true")
        _run(*_GOALFSM, "pause", "books", "--db", str(db))
        with _daemon(db) as pid:
            time.sleep(6)  # what a start owes is written by then
            before, began = _of(pid), time.perf_counter()
            time.sleep(seconds)
            after, took = _of(pid), time.perf_counter() - began
    written, woken, spent = (now - then for now, then in zip(after, before, strict=True))
    section.figures += [
        figure("bytes written", [written], "bytes"),
        figure("wake-ups a minute", [woken * 60 / took], ""),
        figure("processor time a minute", [spent * 60 / took], "ms"),
    ]
    return section


def _of(pid: int) -> tuple[float, float, float]:
    """Return what a daemon and its children wrote (bytes), how often they woke, and ran (ms).

    Of every thread: the kernel counts its time on a processor in nanoseconds.
    """
    written = woken = spent = 0.0
    daemon = psutil.Process(pid)
    for process in (daemon, *daemon.children(recursive=True)):
        of_process = Path(f"/proc/{process.pid}")
        written += float(_facts(of_process / "io")["write_bytes"])
        for thread in (of_process / "task").iterdir():
            woken += float(_facts(thread / "status")["voluntary_ctxt_switches"])
            spent += int((thread / "schedstat").read_text(encoding="ascii").split()[0]) / 1e6
    return written, woken, spent


def _facts(path: Path) -> dict[str, str]:
    rows = (line.partition(":") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: rest.strip() for name, _, rest in rows}
