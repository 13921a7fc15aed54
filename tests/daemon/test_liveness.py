"""An owner that writes nothing is asked on its socket whether it is well."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.guards.ownership import Owned, acquire, answers
from goalfsm.daemon.host.platform import LocalPlatform, SystemClock, own_identity
from goalfsm.store.memory import MemoryDisk, MemoryStore
from goalfsm.store.port import Acquired
from goalfsm.store.sqlite import SqliteStore


def rests(disk: MemoryDisk, socket: str) -> None:
    """Own the data as an idle engine does."""
    store = MemoryStore(disk, is_alive=lambda _: True)
    owned = store.owner.acquire(own_identity(), socket=socket, uptime_ms=SystemClock().uptime_ms())
    assert isinstance(owned, Acquired)
    store.owner.rest()


async def _hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take a request and say nothing, as a stopped process does, until the other side has gone."""
    await reader.read()
    writer.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goalfsm.daemon.guards.ownership._RETRY_S", 0.0)
    monkeypatch.setattr("goalfsm.daemon.guards.ownership.answers.__defaults__", (0.02,))
    monkeypatch.setattr("goalfsm.store.memory_ports.EXPIRY_MS", 50)


@pytest.mark.usefixtures("impatient")
def test_an_idle_owner_that_does_not_answer_is_replaced_at_its_expiry(tmp_path: Path) -> None:
    async def main() -> None:
        place = str(tmp_path / "s")
        server = await asyncio.start_unix_server(_hang, place)
        disk = MemoryDisk()
        rests(disk, place)
        rival = MemoryStore(disk, is_alive=lambda _: True)
        acquired = await acquire(rival, LocalPlatform(), socket="")
        assert acquired.epoch == 2
        server.close()
        await asyncio.sleep(0.05)

    asyncio.run(main())


@pytest.mark.usefixtures("impatient")
def test_an_idle_owner_that_answers_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it has written nothing."""

    async def main() -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setattr("goalfsm.daemon.guards.ownership.answers.__defaults__", (5.0,))
        store = SqliteStore.open(tmp_path / "goals.db")
        async with Engine(store, workers={}):
            owner: Any = store.owner.current()
            assert await answers(owner.socket)
            disk = MemoryDisk()
            rests(disk, owner.socket)
            rival = MemoryStore(disk, is_alive=lambda _: True)
            with pytest.raises(Owned):
                await acquire(rival, LocalPlatform(), socket="")
        assert not await answers(owner.socket)
        store.close()

    asyncio.run(main())
