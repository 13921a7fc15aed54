"""A real program that prints a gigabyte: what it says is bounded, and so is the engine's memory."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.engine import Engine
from goalfsm.goal.model import Limits
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.session.state import Session
from goalfsm.store.sqlite import SqliteStore
from tests.containment.scenario import OBJECTIVE, SCENARIOS, THREAD, Row, Scenario, where

GIGABYTE: Final = 1 << 30
MOST_MEMORY: Final = 64 << 20
"""How much an engine may grow by, in bytes, whatever a program prints."""

_PROGRAM: Final = """
import os, sys
chunk, written = b"x" * 65535 + b"\\n", 0
while written < int(sys.argv[1]):
    written += os.write(1, chunk)
with open(sys.argv[2], "w") as file:
    file.write(str(written))
"""
_SAMPLE_S: Final = 0.02
_PAGE: Final = resource.getpagesize()


def resident() -> int:
    """Return how much memory this process uses now, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


async def _watch(before: int) -> int:
    """Return how much the process has grown by at most, until cancelled."""
    grown = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            grown = max(grown, resident() - before)
            await asyncio.sleep(_SAMPLE_S)
    return grown


async def _run(db: Path) -> tuple[Session, int]:
    """Return the session after one turn that prints a gigabyte, and the growth in memory."""
    program = (sys.executable, "-c", _PROGRAM, str(GIGABYTE), str(db.parent / "written"))
    store = SqliteStore.open(db)
    try:
        store.workers.put(THREAD, WorkerConfig(argv=program).encode())
        async with Engine(store) as engine:
            watching = asyncio.ensure_future(_watch(resident()))
            given = e.ObjectiveGiven(objective=OBJECTIVE, limits=Limits(continuations=1))
            await engine.submit(THREAD, given)
            session = await engine.settled(THREAD)
            watching.cancel()
            return session, await watching
    finally:
        store.close()


def output() -> Iterator[Row]:
    """Print a gigabyte as the answer of one turn."""
    with tempfile.TemporaryDirectory() as directory:
        db = Path(directory) / "goals.db"
        session, grown = asyncio.run(_run(db))
        assert grown <= MOST_MEMORY, f"the engine grew by {grown >> 20} MB"
        assert sum(path.stat().st_size for path in db.parent.iterdir()) < MOST_MEMORY
        assert int((db.parent / "written").read_text()) >= GIGABYTE
        store = SqliteStore.open(db, read_only=True)
        rows = store.journal.read(THREAD, limit=100)
        store.close()
    events = [codec.decode_event(row.event) for row in rows]
    (finished,) = (event for event in events if isinstance(event, e.RunFinished))
    assert finished.outcome == "finished"
    assert finished.answer_length < MOST_MEMORY
    runs = sum(isinstance(event, e.RunDispatched) for event in events)
    turns = session.goal.continuations if session.goal else 0
    yield Row("1 GiB", turns, runs, 0, where(session), 1, 1, 0, "limited by continuations")


SCENARIOS.append(
    Scenario(
        "One turn prints 1 GiB",
        "The daemon is killed for its memory, and the disk is full of output.",
        output,
        __name__,
    )
)
