from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from goalfsm.daemon import engine as entered
from goalfsm.daemon.aftermath import EngineAftermath
from goalfsm.daemon.config import Processes
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.guards.drain import Drain
from goalfsm.daemon.guards.ownership import Heartbeat
from goalfsm.daemon.guards.takeover import Takeover
from goalfsm.daemon.host.platform import Tasks
from goalfsm.daemon.remote.listener import Listener
from goalfsm.daemon.remote.socket_path import listening
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite import SqliteStore
from tests.daemon.breaking import Breaks, BrokenError, after, before

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.asyncio

BOUND_S = 60.0

STEPS: dict[str, Breaks] = {
    "its address": before(entered, "socket_for"),
    "its claim": before(entered, "acquire"),
    "its parts": before(EngineAftermath, "follow_by"),
    "its heartbeat": before(Heartbeat, "start"),
    "its supervisor": after(Processes, "supervisor"),
    "its socket": before(Listener, "start"),
    "its takeover": before(Takeover, "reconcile"),
    "all of it": after(Takeover, "reconcile"),
}


ENDS: dict[str, Breaks] = {
    "its turns": before(Drain, "finish"),
    "its tasks": after(Tasks, "cancel"),
    "its log": after(Pump, "close"),
    "its supervisor": after(Processes, "close"),
    "its socket": after(Listener, "close"),
}


@pytest.mark.parametrize("error", [BrokenError, asyncio.CancelledError])
@pytest.mark.parametrize("step", STEPS)
async def test_an_engine_that_cannot_begin_leaves_nothing_open(
    tmp_path: Path, step: str, error: type[BaseException]
) -> None:
    before = _open_here(tmp_path)
    store = SqliteStore.open(tmp_path / "a.db")
    with STEPS[step](error()), pytest.raises(error):
        await asyncio.wait_for(Engine(store).__aenter__(), BOUND_S)
    assert store.owner.current() is None
    store.close()
    assert _open_here(tmp_path) == before


@pytest.mark.parametrize("step", ENDS)
async def test_an_engine_closes_all_whatever_a_part_of_it_meets_at_the_end(
    tmp_path: Path, step: str
) -> None:
    before = _open_here(tmp_path)
    store = SqliteStore.open(tmp_path / "a.db")
    engine = Engine(store)
    with ENDS[step](BrokenError()), pytest.raises(BrokenError):
        async with engine:
            pass
    await asyncio.wait_for(engine.wait(), BOUND_S)
    assert store.owner.current() is None
    store.close()
    assert _open_here(tmp_path) == before


def _open_here(place: Path) -> tuple[set[Any], set[int], list[Any], list[str]]:
    """Return the tasks, the child processes, the sockets and the files of this process."""
    tasks, this = asyncio.all_tasks() - {asyncio.current_task()}, psutil.Process()
    children = {child.pid for child in this.children()}
    files = [each.path for each in this.open_files() if each.path.startswith(str(place))]
    return tasks, children, listening(str(place / "a.db")), files
