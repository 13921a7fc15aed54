"""Any number of clients over WebSocket on a Unix socket, at ``/rpc``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from goalfsm.appserver.protocol import encode
from goalfsm.errors import GoalError
from goalfsm.workers.supervisor import identity, peers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from websockets.http11 import Request, Response

    from goalfsm.appserver.outgoing import Outgoing
    from goalfsm.appserver.server import Server

PATH: Final = "/rpc"
MAX_MESSAGE: Final = 16 * 1024 * 1024
"""Longest message in bytes."""


@contextlib.asynccontextmanager
async def listening(server: Server, place: Path, db: str) -> AsyncIterator[None]:
    """Answer whoever connects to the socket ``place``, which is this user's only.

    A process that a turn of the database ``db`` has started is refused: what the model may ask it
    asks by its tools. Raises `GoalError` where the socket cannot be had.
    """
    us = (os.getpid(), identity.start_time(os.getpid()))

    def who(client: ServerConnection) -> peers.Peer:
        return peers.connected(client.transport.get_extra_info("socket"), db=db, above=(us,))

    def admitted(client: ServerConnection, request: Request) -> Response | None:
        if request.path != PATH:
            return client.respond(HTTPStatus.NOT_FOUND, f"the path is {PATH}\n")
        peer = who(client)
        if peer.of_a_run:
            return client.respond(HTTPStatus.FORBIDDEN, f"refused: {peer.why}\n")
        if peer.uid not in {-1, 0, os.getuid()}:
            return client.respond(HTTPStatus.FORBIDDEN, "only the same user may ask\n")
        return None

    async def answer(client: ServerConnection) -> None:
        connection = server.connect(who(client))
        connection.out.end_slow(client.transport.abort)
        sending = asyncio.create_task(_send(connection.out, client), name="answers to a client")
        try:
            async for message in client:
                await connection.take(message)
        finally:
            connection.close()
            await sending

    with _bound(place) as own:
        try:
            async with serve(
                answer,
                sock=own,
                unix=True,
                process_request=admitted,
                max_size=MAX_MESSAGE,
                compression=None,
            ):
                yield
        finally:
            _remove(place)


async def _send(out: Outgoing, client: ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while (message := await out.next()) is not None:
            await client.send(encode(message))
    await client.close()


def _bound(place: Path) -> socket.socket:
    """Return a socket at ``place``; one that nobody listens to any more makes room."""
    own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        if _is_left_over(place):
            place.unlink()
        own.bind(os.fspath(place))
    except OSError as error:
        own.close()
        raise GoalError(
            f"cannot listen at {place}: {error.strerror or error}",
            code="no_socket",
            hint="name a path of less than 100 bytes that nothing uses, in a directory of yours",
        ) from error
    finally:
        os.umask(before)
    return own


def _remove(place: Path) -> None:
    place.unlink(missing_ok=True)


def _is_left_over(place: Path) -> bool:
    try:
        if not stat.S_ISSOCK(place.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(os.fspath(place))
    except ConnectionRefusedError:
        return True
    except FileNotFoundError:
        return False
    return False
