"""The daemon that is killed: serves one database until its goal has stopped."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from goalfsm.daemon import logs
from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.engine import Engine
from goalfsm.goal.model import Limits
from goalfsm.session.events import ObjectiveGiven
from goalfsm.store.sqlite import SqliteStore

THREAD = "crash"
OBJECTIVE = ObjectiveGiven(objective="survive", limits=Limits(continuations=1_000_000))


async def serve(place: Path) -> None:
    """Serve until the goal is complete."""
    store = SqliteStore.open(place / "goals.db")
    worker = WorkerConfig(
        argv=(sys.executable, "-I", "-S", str(Path(__file__).with_name("worker.py")), str(place)),
        cwd=str(place),
        prompt_arg=True,
    )
    async with Engine(store, wait_s=15.0) as engine:
        store.workers.put(THREAD, worker.encode())
        # The id makes the second start harmless: the goal is given once.
        await engine.submit(THREAD, OBJECTIVE, "the-objective")
        await engine.settled(THREAD)
        await engine.stop()
    store.close()


if __name__ == "__main__":
    sys.stdout.write("imported\n")
    sys.stdout.flush()
    logs.configure(json=True, level="info")
    asyncio.run(serve(Path(sys.argv[1])))
