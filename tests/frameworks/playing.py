"""Goals that a framework's agent works on, in a real engine on a file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import psutil

from goalfsm import Engine
from goalfsm.session import events as e
from goalfsm.session.state import Session
from goalfsm.store.memory import MemoryStore
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.protocol import Work
from goalfsm.workers.turn import TurnWorker
from tests.work import make_work

THREAD = "thread-1"
PAGE = (Path(__file__).parents[2] / "docs" / "frameworks.md").read_text("utf-8")
EVIDENCE = {"status": "complete", "evidence": ["report.md holds the figures"]}


def achieve(folder: Path | None, worker: TurnWorker, *, serve: bool = False) -> Session:
    """Give the worker a goal, in memory without a folder; return its thread when it has settled."""

    async def main() -> Session:
        store = MemoryStore() if folder is None else SqliteStore.open(folder / "goals.db")
        try:
            async with Engine(store, workers=worker, serve=serve) as engine:
                await engine.submit(THREAD, e.ObjectiveGiven(objective="Write the report"))
                return await engine.settled(THREAD)
        finally:
            store.close()

    return asyncio.run(main())


def left_open(folder: Path) -> list[str]:
    """Return the files of the folder that this process has open."""
    paths = (file.path for file in psutil.Process().open_files())
    return [path for path in paths if path.startswith(str(folder))]


def status(session: Session) -> str:
    assert session.goal is not None
    return session.goal.status


def charged(session: Session) -> int:
    assert session.goal is not None
    return session.goal.tokens_used


def work_with(folder: Path, session: bytes | None) -> Work:
    db = str(folder / "goals.db")
    given = {"run_id": "r", "turn": 2, "prompt": "Go on."}
    return make_work(db=db, thread_id=THREAD, session=session, **given)
