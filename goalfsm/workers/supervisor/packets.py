"""What a daemon and its supervisor say to each other: JSON with its length, and descriptors."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LENGTH: Final = 4
_CHUNK: Final = 65_536


class _Parcel(NamedTuple):
    data: bytes
    fds: tuple[int, ...]


class Packets:
    """The daemon's side: nothing that is sent blocks, what comes is handed on."""

    def __init__(
        self,
        link: socket.socket,
        heard: Callable[[Mapping[str, Any]], None],
        lost: Callable[[], None],
    ) -> None:
        """Give each packet that comes on ``link`` to ``heard``; its end is ``lost``."""
        link.setblocking(False)  # noqa: FBT003
        self._link: socket.socket | None = link
        self._heard = heard
        self._lost = lost
        self._received = bytearray()
        self._outgoing: deque[_Parcel] = deque()
        asyncio.get_running_loop().add_reader(link, self._readable)

    def send(self, packet: Mapping[str, Any], fds: tuple[int, ...] = ()) -> None:
        """Send now, or as soon as there is room; never block, never fail half-way.

        Raises OSError where there is no room for copies of the descriptors.
        """
        # Lone surrogates stand for bytes that are not UTF-8; JSON carries them escaped.
        data = json.dumps(packet).encode()
        # The caller may close its descriptors before these leave.
        copies = _copies(fds)
        self._outgoing.append(_Parcel(len(data).to_bytes(_LENGTH, "big") + data, copies))
        self._writable()

    def close(self) -> None:
        """Hang up; what was not sent never is."""
        if self._link is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._link)
            loop.remove_writer(self._link)
            self._link.close()
            self._link = None
        for _, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._outgoing.clear()

    def _writable(self) -> None:
        if self._link is None:
            return
        loop = asyncio.get_running_loop()
        while self._outgoing:
            data, fds = self._outgoing[0]
            try:
                if fds:
                    sent = socket.send_fds(self._link, [data], list(fds))
                else:
                    sent = self._link.send(data)
            except BlockingIOError:
                loop.add_writer(self._link, self._writable)
                return
            except OSError:
                # Its end is noticed by the reader.
                break
            for fd in fds:
                os.close(fd)
            if sent == len(data):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = _Parcel(data[sent:], ())
        loop.remove_writer(self._link)

    def _readable(self) -> None:
        if self._link is None:
            return
        try:
            data = self._link.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        self._received += data
        while len(self._received) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH], "big")
            if len(self._received) < end:
                break
            packet = json.loads(self._received[_LENGTH:end])
            del self._received[:end]
            self._heard(packet)


def _copies(fds: tuple[int, ...]) -> tuple[int, ...]:
    """Return duplicates of all descriptors, or raise OSError and leave none."""
    made: list[int] = []
    try:
        for fd in fds:
            made.append(os.dup(fd))  # noqa: PERF401 - what was made is needed when one fails
    except OSError:
        for fd in made:
            os.close(fd)
        raise
    return tuple(made)
