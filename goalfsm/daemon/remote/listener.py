"""A Unix socket of the engine's: connections, requests, bounds, whatever they are about."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import structlog

from goalfsm.daemon.flow.decide import FAULT_HINT
from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.socket_path import is_own, remove
from goalfsm.errors import GoalError, described
from goalfsm.session.state import FAULT_CODE
from goalfsm.text import MALFORMED
from goalfsm.text import line as one_line
from goalfsm.workers.supervisor.identity import start_time
from goalfsm.workers.supervisor.peers import Caller, Peer, begun, connected, look_up

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

MAX_CONNECTIONS: Final = 256
MAX_HELD: Final = 4 * wire.MAX_LINE
"""Most bytes of requests that are not whole yet, of all connections together."""
IDLE_S: Final = 60.0
"""How long a connection may take for a whole request, in seconds."""

_CHUNK: Final = 65_536
_COMING: Final = "~"
"""Follows the name of a socket that does not listen yet."""
_LAST_WORDS_S: Final = 1.0
_CREDENTIALS: Final = struct.Struct("3i")

_Inode = tuple[int, int] | None
_log = structlog.get_logger(__name__)


class Link:
    """One connection: what it has sent of a request, who it is, since when it owes something."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wait for the first request from now on."""
        self.reader = reader
        self.writer = writer
        self.received = bytearray()
        self.task: asyncio.Task[None] | None = None
        self.waiting_since: float | None
        """Since when it has owed a request or has not taken a notice; None while it is served."""
        self.waits()
        self._peer: Peer | None = None
        self._began = begun(self.connection)

    def waits(self) -> None:
        """Take note that the other side has something to do from now on: to ask, or to read."""
        self.waiting_since = asyncio.get_running_loop().time()

    def served(self) -> None:
        """Take note that something is done for the other side from now on."""
        self.waiting_since = None

    @property
    def connection(self) -> socket.socket:
        """Return the connection itself."""
        link: socket.socket = self.writer.get_extra_info("socket")
        return link

    @property
    def has_gone(self) -> bool:
        """Return whether the other side has hung up."""
        return self.reader.at_eof() or self.reader.exception() is not None

    def peer(self, db: str, runs_below: Collection[tuple[int, str]]) -> Peer:
        """Return who connected, looked up once; the engine's own process is its embedder's."""
        if self._peer is None:
            own = os.getpid()
            above = {*runs_below, (own, start_time(own))}
            peer = connected(self.connection, db=db, above=above, began=self._began)
            self._peer = look_up(own, db=db, above=runs_below) if peer.pid == own else peer
        return self._peer

    def is_below(self, first: tuple[int, str]) -> bool:
        """Tell whether who connected is ``first``, by pid and start, or descends from it."""
        with contextlib.closing(Caller(self.connection, self._began)) as caller:
            return caller.is_below(first)

    def say(self, answer: wire.Answer) -> None:
        """Write an answer."""
        self.writer.write(wire.encode(answer))


class Listener:
    """Takes requests at a socket and hands each to who answers it."""

    def __init__(
        self,
        place: Path,
        do: Callable[[wire.Request, Link], Awaitable[None]],
        admit: Callable[[Link], wire.Failed | None] | None = None,
    ) -> None:
        """Listen at ``place``; ``do`` answers a request, which may be a `GoalError`.

        ``admit`` looks at who connects, and returns what keeps it out.
        """
        self._place = place
        self._do = do
        self._admit = admit
        self._server: asyncio.Server | None = None
        self._bound: tuple[_Inode, _Inode] = None, None
        """What was bound, and in which directory."""
        self._restoring: asyncio.Task[None] | None = None
        self._links: set[Link] = set()
        """Those that have a place."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.following: set[asyncio.Future[Any]] = set()
        """What is told without being asked each time: it gets its last notice before the end."""
        self._ready = asyncio.Event()

    async def start(self) -> None:
        """Listen; what is asked waits for `ready`. Raises GoalError where that cannot be.

        What is at the place is replaced.
        """
        listening: socket.socket | asyncio.Server
        listening = bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # It listens before it has its name: whoever comes by that is not turned away.
        coming = self._place.with_name(self._place.name + _COMING)
        try:
            remove(coming)
            # Nobody may connect before the mode is right; the directory keeps others out as well.
            before = os.umask(0o177)
            try:
                bound.bind(str(coming))
            finally:
                os.umask(before)
            listening = server = await asyncio.start_unix_server(
                self._connected, sock=bound, limit=_CHUNK
            )
            if self._place.is_dir():
                remove(self._place)
            coming.replace(self._place)
        except OSError as error:
            listening.close()
            raise GoalError(
                f"cannot listen at {self._place}: {error.strerror}",
                code="no_socket",
                hint="check the permissions of its directory",
            ) from error
        self._server, self._bound = server, self._found()

    def ready(self) -> None:
        """Begin to answer."""
        self._ready.set()

    def restore(self) -> None:
        """Listen again where the socket was taken away, or something put over it.

        Who is connected stays so. A directory that has gone is made again, as one for the time of
        a login goes with its end; where another one is not this user's alone nothing is done.
        """
        (bound, home), (found, directory) = self._bound, self._found()
        if bound is None or found == bound:
            return
        if directory != home and not is_own(self._place.parent):
            return
        if self._restoring is None or self._restoring.done():
            self._restoring = asyncio.get_running_loop().create_task(self._restore())

    async def _restore(self) -> None:
        before = self._server
        try:
            await self.start()
        except GoalError as error:
            _log.warning(error.message, code=error.code)
            return
        _log.warning("the socket was taken away: it listens there again")
        if before is not None:
            for listening in before.sockets:
                asyncio.get_running_loop().remove_reader(listening.fileno())
            # Who was let in just now has a connection of their own after the loop's next turn.
            await asyncio.sleep(0)
            before.close()

    def _found(self) -> tuple[_Inode, _Inode]:
        """Return what is at the place, and in which directory."""
        return _inode(self._place), _inode(self._place.parent)

    async def close(self) -> None:
        """Hang up and remove the socket; followers get their last notice first."""
        if self._restoring is not None:
            await asyncio.wait({self._restoring})
        if self._server is not None:
            self._server.close()
            # What cannot be removed answers nobody.
            with contextlib.suppress(OSError):
                remove(self._place)
        if self.following:
            await asyncio.wait(self.following, timeout=_LAST_WORDS_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        link = Link(reader, writer)
        self._links.add(link)
        link.task = loop.create_task(self._serve(link))
        self._tasks.add(link.task)
        link.task.add_done_callback(self._tasks.discard)
        link.task.add_done_callback(lambda _: self._links.discard(link))

    async def _serve(self, link: Link) -> None:
        try:
            refusal = self._refusal(link)
            if refusal is not None:
                link.writer.write(wire.encode(refusal))
                return
            while (line := await self._line(link)) is not None:
                link.served()
                await self._answer(line, link)
                link.waits()
        except (ConnectionError, TimeoutError):
            pass  # Whoever asked has gone; what was decided stays decided.
        finally:
            await _hang_up(link.writer)

    def _refusal(self, link: Link) -> wire.Failed | None:
        if not _same_user(link.writer):
            return wire.Failed(code="forbidden", message="only the same user may ask this engine")
        if self._admit is not None and (kept_out := self._admit(link)) is not None:
            return kept_out
        if len(self._links) > MAX_CONNECTIONS and not self._make_room(link):
            return wire.Failed(
                code=wire.CROWDED,
                message=f"{MAX_CONNECTIONS} processes talk to the engine already",
                hint="end some of those that follow a thread",
            )
        return None

    def _make_room(self, link: Link) -> bool:
        """Hang up on whoever has kept a place for longest without asking or taking anything.

        Before all others on who has gone itself: nothing was told it since, so nobody noticed.
        """
        idle = [
            (-1.0 if each.has_gone else each.waiting_since, id(each), each)
            for each in self._links - {link}
            if each.waiting_since is not None or each.has_gone
        ]
        if not idle:
            return False
        self._drop(min(idle)[2])
        return True

    def _drop(self, link: Link) -> None:
        """Hang up at once; what it has asked is not heard any more."""
        self._links.discard(link)
        link.received.clear()
        link.writer.transport.abort()
        if link.task is not None:
            link.task.cancel()

    async def _line(self, link: Link) -> bytes | None:
        """Return the next request, None at the end or where it is too long.

        Raises TimeoutError where it is too slow.
        """
        async with asyncio.timeout(IDLE_S):
            while (end := link.received.find(b"\n")) < 0:
                if len(link.received) > wire.MAX_LINE:
                    _log.warning("a request was too long", limit=wire.MAX_LINE)
                    return None
                chunk = await link.reader.read(_CHUNK)
                if not chunk:
                    return None
                link.received += chunk
                if sum(len(each.received) for each in self._links) > MAX_HELD:
                    self._drop(max(self._links, key=lambda each: len(each.received)))
        line = bytes(link.received[: end + 1])
        del link.received[: end + 1]
        return line

    async def _answer(self, line: bytes, link: Link) -> None:
        writer = link.writer
        try:
            request = wire.decode_request(line)
        except MALFORMED as error:
            message = one_line(str(error))
            writer.write(wire.encode(wire.Failed(code=wire.INVALID, message=message)))
            return
        if not isinstance(request, wire.Ping | wire.Look):
            await self._ready.wait()
        try:
            await self._do(request, link)
        except GoalError as error:
            failed = wire.Failed(
                code=error.code, message=error.message, hint=error.hint, remedies=error.remedies
            )
            writer.write(wire.encode(failed))
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - whoever asked must not take it for silence
            _log.debug("a request failed", error=described(error))
            message = f"it could not be decided, nothing was done: {described(error)}"
            writer.write(
                wire.encode(wire.Failed(code=FAULT_CODE, message=message, hint=FAULT_HINT))
            )
        link.waits()  # who does not read it asks nothing
        await writer.drain()


def _inode(place: Path) -> _Inode:
    """Return which file is at a place, None where there is none."""
    try:
        facts = place.lstat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _same_user(writer: asyncio.StreamWriter) -> bool:
    """Tell whether the other side is this user; where the system cannot say, the mode decides."""
    _, uid = _credentials(writer)
    return uid in {None, os.getuid(), 0}


def peer_pid(writer: asyncio.StreamWriter) -> int:
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
    # What a peer does not take within a moment it does not want: nobody waits for it.
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_LAST_WORDS_S):
            await writer.wait_closed()
    writer.transport.abort()
