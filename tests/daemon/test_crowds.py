"""A crowd at the socket: who asks nothing, half of something, or never to its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from goalfsm.daemon.engine import Engine
from goalfsm.daemon.remote.client import request, serving
from goalfsm.session import events as e
from goalfsm.store.sqlite import SqliteStore
from tests.daemon.scenes import OBJECTIVE, THREAD


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runtime = tmp_path / "r"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    monkeypatch.setattr("goalfsm.daemon.remote.direct._RECORDED_S", 0.1)
    return tmp_path / "goals.db"


def test_a_crowd_that_asks_nothing_keeps_nobody_out(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Idle connections and half a request: who has kept a place for longest loses it."""
    monkeypatch.setattr("goalfsm.daemon.remote.listener.MAX_CONNECTIONS", 8)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        owner = serving(db)
        assert owner is not None
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(20)]
        for link in crowd:
            link.connect(owner.socket)
            link.sendall(b'{"op": "sub')
        reply = request(db, THREAD, e.SteeringReceived(message_id="m", text="on"), "two")
        assert reply.message == "the next turn takes it into account"
        for link in crowd:
            link.close()

    beside(db, ask)


def test_requests_that_are_not_whole_have_a_budget(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.listener.MAX_HELD", 400_000)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        owner = serving(db)
        assert owner is not None
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        ended = 0
        for link in crowd:
            link.settimeout(30)
            link.connect(owner.socket)
            try:
                link.sendall(b"x" * 300_000)
            except OSError:
                ended += 1
        assert request(db, THREAD, e.PauseRequested(), "two").ok
        for link in crowd:
            link.settimeout(0)
            try:
                ended += link.recv(1) == b""
            except BlockingIOError:
                continue
            except OSError:
                ended += 1
        assert ended >= 2
        for link in crowd:
            link.close()

    beside(db, ask)


def test_a_request_that_is_never_whole_is_given_up(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("goalfsm.daemon.remote.listener.IDLE_S", 0.05)
    request(db, THREAD, OBJECTIVE, "one")

    def ask() -> None:
        owner = serving(db)
        assert owner is not None
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(owner.socket)
            link.sendall(b"{")
            with contextlib.suppress(ConnectionResetError):
                assert link.recv(1) == b""

    beside(db, ask)


def beside(db: Path, ask: Any) -> None:
    async def main() -> None:
        store = SqliteStore.open(db)
        try:
            async with Engine(store, workers={}, grace_s=0.0):
                await asyncio.to_thread(ask)
        finally:
            store.close()

    asyncio.run(main())
