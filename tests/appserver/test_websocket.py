"""Clients on the socket that read slowly, or say what is no message."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed

from goalfsm.appserver import outgoing, websocket
from goalfsm.appserver.server import Connection, Server
from goalfsm.appserver.upstream import Upstream
from goalfsm.appserver.websocket import listening
from goalfsm.cli.app_serving import _fronting
from goalfsm.daemon.engine import Engine
from goalfsm.errors import GoalError
from goalfsm.workers.supervisor import peers
from goalfsm.workers.supervisor.client import Supervisor

HELLO = {"id": 1, "method": "initialize", "params": {"clientInfo": {"name": "t", "version": "1"}}}
_LIMIT_S = 60.0


class Threads:
    """No thread is known."""

    def new(self, cwd: str | None) -> str:
        raise GoalError(f"no program for {cwd}")

    def ephemeral(self) -> str:
        return "t"

    def known(self, thread_id: str) -> bool:
        return thread_id == "books"

    def cwd(self, thread_id: str) -> str:
        return f"/{thread_id}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    def person(*_: Any, **__: Any) -> peers.Peer:
        return peers.Peer(pid=os.getpid(), of_a_run=False, uid=os.getuid())

    # The client is this very process, which is the engine's own.
    monkeypatch.setattr(peers, "connected", person)
    return Server(None, Threads(), home="/", version="0")  # type: ignore[arg-type]


async def all_of(client: ClientConnection) -> None:
    """Read until the connection is closed, and raise how that was."""
    while True:
        await client.recv()


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_is_hung_up_on(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outgoing, "BACKLOG", 50)
    made: list[Connection] = []
    connect = server.connect
    monkeypatch.setattr(server, "connect", lambda peer: made.append(connect(peer)) or made[0])
    place = tmp_path / "s"
    async with (
        asyncio.timeout(_LIMIT_S),
        listening(server, place, "g.db"),
        unix_connect(str(place), uri="ws://localhost/rpc", max_queue=1) as client,
    ):
        await client.send(json.dumps(HELLO))
        await client.recv()
        large = {"method": "warning", "params": {"message": "x" * 100_000}}
        while not made[0].out.is_over:
            made[0].out.send(large)
            await asyncio.sleep(0)
        await server.deserted()
        with pytest.raises(ConnectionClosed):
            await all_of(client)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "said", ["{", "[]", "7", '"x"', '{"id":{}}', "\x00", b"{\xff", "[" * 50_000]
)
async def test_what_is_no_message_gets_no_answer_and_harms_nobody(
    server: Server, tmp_path: Path, said: str | bytes
) -> None:
    place = tmp_path / "s"
    async with (
        asyncio.timeout(_LIMIT_S),
        listening(server, place, "g.db"),
        unix_connect(str(place), uri="ws://localhost/rpc") as client,
    ):
        await client.send(said)
        await client.send(json.dumps(HELLO))
        answer = json.loads(await client.recv())
        assert answer["id"] == 1
        assert "result" in answer


@pytest.mark.asyncio
async def test_a_frame_that_is_no_text_ends_only_its_own_connection(
    server: Server, tmp_path: Path
) -> None:
    place = tmp_path / "s"
    async with (
        asyncio.timeout(_LIMIT_S),
        listening(server, place, "g.db"),
        unix_connect(str(place), uri="ws://localhost/rpc") as other,
    ):
        async with unix_connect(str(place), uri="ws://localhost/rpc") as client:
            # A text frame, masked with nothing, of one byte that UTF-8 does not have.
            client.transport.write(b"\x81\x81\x00\x00\x00\x00\xff")
            with pytest.raises(ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1007
        await other.send(json.dumps(HELLO))
        assert json.loads(await other.recv())["id"] == 1


def test_where_a_file_or_a_long_path_is_no_socket_can_be(server: Server, tmp_path: Path) -> None:
    async def listen(place: Path) -> None:
        async with listening(server, place, "g.db"):
            pass

    taken = tmp_path / "notes"
    taken.write_text("mine")
    for place in (taken, tmp_path / ("x" * 120), tmp_path / "nowhere" / "s"):
        with pytest.raises(GoalError, match="cannot listen at") as refused:
            asyncio.run(listen(place))
        assert "less than 100 bytes" in refused.value.hint
    assert taken.read_text() == "mine"


@pytest.mark.asyncio
async def test_a_socket_that_is_not_served_is_closed(server: Server, tmp_path: Path) -> None:
    place = tmp_path / "s"
    broken = mock.patch.object(websocket, "serve", side_effect=OSError("no"))
    with broken, pytest.raises(OSError, match="no"):
        async with listening(server, place, "g.db"):
            pass
    assert not place.exists()
    # Nothing is left to the collector, which would warn of it.
    assert str(place) not in {each.laddr for each in psutil.Process().net_connections("unix")}


@pytest.mark.asyncio
async def test_a_front_that_cannot_begin_leaves_nothing_open(tmp_path: Path) -> None:
    db, this = tmp_path / "a.db", psutil.Process()
    for part in ((Supervisor, "start"), (Upstream, "__init__"), (Engine, "__aenter__")):
        broken = mock.patch.object(*part, side_effect=GoalError("no"))
        with broken, pytest.raises(GoalError, match="no"):
            async with _fronting(db, None, 0.0):
                pass
        assert [each for each in this.open_files() if each.path == str(db)] == []
        assert this.children() == []
