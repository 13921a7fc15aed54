"""The way out has an end, whatever stands in it: a supervisor that somebody has stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import psutil
import pytest

from goalfsm.daemon import engine as engine_module
from goalfsm.daemon.config import WorkerConfig
from goalfsm.daemon.engine import Engine
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.supervisor import client, identity
from tests.daemon.scenes import inside

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere what detaches is not adopted"),
]
WAITING = WorkerConfig(argv=("sh", "-c", "cat > /dev/null; echo up > up; sleep 600"))


def _came_up(mark: Path) -> None:
    while not mark.exists():
        time.sleep(0.01)


@contextlib.asynccontextmanager
async def _running(path: Path) -> AsyncIterator[tuple[Engine, int, list[psutil.Process]]]:
    """Run an engine with a turn of a real program; yield it, its supervisor, and all below."""
    store = SqliteStore.open(path / "g.db")
    store.workers.put("t", msgspec.structs.replace(WAITING, cwd=str(path)).encode())
    engine = Engine(store)
    async with engine:
        await engine.submit("t", e.ObjectiveGiven(objective="Wait"))
        await asyncio.to_thread(_came_up, path / "up")
        supervisor = inside(engine).processes.started.pid
        below = psutil.Process(supervisor).children(recursive=True)
        try:
            yield engine, supervisor, below
        finally:
            for process in below:
                with contextlib.suppress(psutil.Error):
                    process.kill()
    store.close()


async def _gone(processes: list[psutil.Process]) -> None:
    for process in processes:
        await identity.wait_gone(process.pid, identity.start_time(process.pid))


async def test_a_supervisor_that_is_stopped_meanwhile_is_asked_and_counts_as_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the turns' grace is over, which its turns would have had."""
    monkeypatch.setattr(client, "PING_EVERY_S", 0.05)
    async with _running(tmp_path) as (engine, supervisor, below):
        stopping = asyncio.ensure_future(engine.stop(600.0))
        os.kill(supervisor, signal.SIGSTOP)
        await asyncio.wait_for(stopping, 30)
        await _gone(below)
        assert not psutil.pid_exists(supervisor)
        run = SqliteStore.open(tmp_path / "g.db", read_only=True)
        rows = [row.event for row in run.journal.read("t", limit=100)]
        run.close()
        assert any(b"RunInterrupted" in row for row in rows)


async def test_one_bound_for_all_of_it_ends_in_sigkill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody asks, and what is waited for never comes."""
    monkeypatch.setattr(client, "STOPPED_PINGS", 10**9)
    monkeypatch.setattr(client, "SILENT_PINGS", 10**9)
    monkeypatch.setattr(engine_module, "_LAST_S", 0.3)
    async with _running(tmp_path) as (engine, supervisor, below):
        os.kill(supervisor, signal.SIGSTOP)
        await asyncio.wait_for(engine.stop(0.1), 30)
        await _gone([*below])
        await identity.wait_gone(supervisor, identity.start_time(supervisor))
