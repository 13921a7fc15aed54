from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from unittest import mock

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

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

pytestmark = pytest.mark.asyncio

BOUND_S = 60.0
Breaks = "Callable[[BaseException], AbstractContextManager[object]]"


class _BrokenError(Exception):
    pass


def _before(owner: object, name: str) -> Breaks:
    """Have a step raise in place of being taken."""
    return lambda error: mock.patch.object(owner, name, side_effect=error)


def _after(owner: type, name: str) -> Breaks:
    """Have a step raise when it has been taken."""
    step = getattr(owner, name)

    def broken(error: BaseException) -> AbstractContextManager[object]:
        async def taken(*given: Any) -> None:
            await step(*given)
            raise error

        return mock.patch.object(owner, name, taken)

    return broken


STEPS: dict[str, Breaks] = {
    "its address": _before(entered, "socket_for"),
    "its claim": _before(entered, "acquire"),
    "its parts": _before(EngineAftermath, "follow_by"),
    "its heartbeat": _before(Heartbeat, "start"),
    "its supervisor": _after(Processes, "supervisor"),
    "its socket": _before(Listener, "start"),
    "its takeover": _before(Takeover, "reconcile"),
    "all of it": _after(Takeover, "reconcile"),
}


ENDS: dict[str, Breaks] = {
    "its turns": _before(Drain, "finish"),
    "its tasks": _after(Tasks, "cancel"),
    "its log": _after(Pump, "close"),
    "its supervisor": _after(Processes, "close"),
    "its socket": _after(Listener, "close"),
}


@pytest.mark.parametrize("error", [_BrokenError, asyncio.CancelledError])
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
    with ENDS[step](_BrokenError()), pytest.raises(_BrokenError):
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
