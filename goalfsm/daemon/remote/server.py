"""The engine's socket: other processes of the same user ask, and follow what happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

from goalfsm.daemon.flow.decide import FAULT_HINT
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.socket_path import remove_stale
from goalfsm.errors import GoalError, described
from goalfsm.session.state import FAULT_CODE

if TYPE_CHECKING:
    from pathlib import Path

    from goalfsm.daemon.flow.ports import Serving

MAX_CONNECTIONS: Final = 256

_LAST_WORDS_S: Final = 1.0
_CREDENTIALS: Final = struct.Struct("3i")

_log = structlog.get_logger(__name__)


class Server:
    """Listens while the engine lives; asks are answered as soon as it has taken over."""

    def __init__(self, serving: Serving, place: Path) -> None:
        """Have ``serving`` answer what comes in at ``place``."""
        self._serving = serving
        self._place = place
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._following: set[asyncio.Task[None]] = set()
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Listen; what is asked waits for `ready`."""
        remove_stale(self._place)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # Nobody may connect before the mode is right; the directory keeps others out as well.
            before = os.umask(0o177)
            try:
                listening.bind(str(self._place))
            finally:
                os.umask(before)
            self._server = await asyncio.start_unix_server(
                self._connected, sock=listening, limit=wire.MAX_LINE
            )
        except OSError as error:
            listening.close()
            raise GoalError(
                f"cannot listen at {self._place}: {error.strerror}",
                code="no_socket",
                hint="check the permissions of its directory",
            ) from error

    def ready(self) -> None:
        """Begin to answer."""
        self._ready.set()

    async def close(self) -> None:
        """Hang up and remove the socket; followers get their last notice first."""
        if self._server is not None:
            self._server.close()
            self._place.unlink(missing_ok=True)
        if self._following:
            await asyncio.wait(self._following, timeout=_LAST_WORDS_S)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            refusal = self._refusal(writer)
            if refusal is not None:
                writer.write(wire.encode(refusal))
                return
            while (line := await _line(reader)) is not None:
                await self._answer(line, writer)
        except (ConnectionError, TimeoutError):
            pass  # Whoever asked has gone; what was decided stays decided.
        finally:
            await _hang_up(writer)

    def _refusal(self, writer: asyncio.StreamWriter) -> wire.Failed | None:
        if not _same_user(writer):
            return wire.Failed(code="forbidden", message="only the same user may ask this engine")
        if len(self._connections) > MAX_CONNECTIONS:
            return wire.Failed(
                code="too_many_connections",
                message=f"{MAX_CONNECTIONS} processes talk to the engine already",
                hint="end some of those that follow a thread",
            )
        return None

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = wire.decode_request(line)
        except msgspec.MsgspecError as error:
            writer.write(wire.encode(wire.Failed(code="request_invalid", message=str(error))))
            return
        if not isinstance(request, wire.Ping):
            await self._ready.wait()
        try:
            await self._do(request, writer)
        except GoalError as error:
            failed = wire.Failed(code=error.code, message=error.message, hint=error.hint)
            writer.write(wire.encode(failed))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whoever asked must not take it for silence
            _log.debug("a request failed", error=described(error))
            message = f"it could not be decided, nothing was done: {described(error)}"
            writer.write(
                wire.encode(wire.Failed(code=FAULT_CODE, message=message, hint=FAULT_HINT))
            )
        await writer.drain()

    async def _do(self, request: wire.Request, writer: asyncio.StreamWriter) -> None:
        match request:
            case wire.Submit(thread_id=thread_id, event_id=event_id, event=event):
                reply = await self._serving.submit(thread_id, event, event_id)
                writer.write(wire.encode(wire.Replied(reply=reply)))
            case wire.AskStatus(thread_id=thread_id):
                writer.write(wire.encode(wire.Told(status=self._serving.status(thread_id))))
            case wire.Follow():
                await self._follow(request, writer)
            case wire.Ping():
                writer.write(wire.encode(wire.Pong()))

    async def _follow(self, request: wire.Follow, writer: asyncio.StreamWriter) -> None:
        telling = asyncio.ensure_future(self._tell(request, writer))
        self._following.add(telling)
        try:
            await telling
        finally:
            telling.cancel()
            self._following.discard(telling)

    async def _tell(self, request: wire.Follow, writer: asyncio.StreamWriter) -> None:
        pid = _peer_pid(writer) if request.succeeds else None
        notices = self._serving.follow(request.thread_id, successor=pid)
        async with contextlib.aclosing(notices):
            async for notice in notices:
                writer.write(wire.encode(wire.Noticed(notice=notice)))
                await writer.drain()


async def _line(reader: asyncio.StreamReader) -> bytes | None:
    """Return the next line, None at the end or where it is too long to be read."""
    try:
        line = await reader.readline()
    except ValueError:
        _log.warning("a request was too long", limit=wire.MAX_LINE)
        return None
    return line if line.endswith(b"\n") else None


def _same_user(writer: asyncio.StreamWriter) -> bool:
    """Tell whether the other side is this user; where the system cannot say, the mode decides."""
    _, uid = _credentials(writer)
    return uid in {None, os.getuid(), 0}


def _peer_pid(writer: asyncio.StreamWriter) -> int:
    """Return the pid of the other side, 0 where the system cannot say."""
    return _credentials(writer)[0]


def _credentials(writer: asyncio.StreamWriter) -> tuple[int, int | None]:
    """Return the pid and the user of the other side, 0 and None where the system cannot say."""
    credentials = getattr(socket, "SO_PEERCRED", None)
    if credentials is None:
        return 0, None
    link: socket.socket = writer.get_extra_info("socket")
    pid, uid, _ = _CREDENTIALS.unpack(
        link.getsockopt(socket.SOL_SOCKET, credentials, _CREDENTIALS.size)
    )
    return pid, uid


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
