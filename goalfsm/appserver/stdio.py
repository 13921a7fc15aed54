"""One client over stdin and stdout: a message on each line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import sys
from typing import TYPE_CHECKING, Final, Protocol

from goalfsm.appserver.protocol import encode
from goalfsm.workers.supervisor.peers import look_up

if TYPE_CHECKING:
    from goalfsm.appserver.outgoing import Outgoing
    from goalfsm.appserver.server import Connection, Server

MAX_LINE: Final = 16 * 1024 * 1024
"""Longest message in bytes; a client that sends a longer one is hung up on."""


class _Sink(Protocol):
    def write(self, data: bytes) -> object: ...
    async def drain(self) -> None: ...


async def serve_stdio(server: Server, db: str) -> None:
    """Answer what comes over stdin until it ends; everything answered has been written then.

    Whoever speaks there may do what this process may: nothing, where a turn of the database ``db``
    has started it.
    """
    reader, sink = await _stdin(), await _stdout()
    await converse(server.connect(look_up(os.getpid(), db=db)), reader, sink)


async def converse(connection: Connection, reader: asyncio.StreamReader, sink: _Sink) -> None:
    """Answer one client until it ends what it says, or cannot be written to any more."""
    sending = asyncio.create_task(_send(connection.out, sink), name="answers to a client")
    listening = asyncio.create_task(_listen(connection, reader), name="requests of a client")
    try:
        await asyncio.wait({sending, listening}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        connection.close()
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await sending


async def _listen(connection: Connection, reader: asyncio.StreamReader) -> None:
    # A line that is too long ends the conversation: where the next begins is not known.
    with contextlib.suppress(ValueError):
        while line := await reader.readline():
            await connection.take(line)


async def _send(out: Outgoing, sink: _Sink) -> None:
    with contextlib.suppress(ConnectionError):
        while (message := await out.next()) is not None:
            sink.write(encode(message).encode(errors="replace") + b"\n")
            await sink.drain()


async def _stdin() -> asyncio.StreamReader:
    """Return stdin; a file is read whole, for it cannot be waited for."""
    reader = asyncio.StreamReader(limit=MAX_LINE)
    if _waitable(sys.stdin.fileno()):
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    else:
        reader.feed_data(sys.stdin.buffer.read())
        reader.feed_eof()
    return reader


async def _stdout() -> _Sink:
    # A descriptor of its own: that it does not block must hold for nobody else who writes there.
    if not _waitable(sys.stdout.fileno()):
        return _File()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, own)
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _waitable(descriptor: int) -> bool:
    mode = os.fstat(descriptor).st_mode
    # Of the devices a terminal alone: /dev/null is one too, and no loop can wait for it.
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


class _File:
    def write(self, data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    async def drain(self) -> None:
        """Do nothing: what was written has been flushed."""
