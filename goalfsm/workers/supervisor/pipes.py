"""Pipes to and from a child process, without a thread and without ever blocking the loop."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 64 * 1024
MAX_WAITING: Final = 4 * 1024 * 1024
"""Most bytes that wait for a child that does not read."""
MAX_DRAIN: Final = 2 * 1024 * 1024
"""More than a pipe holds: what a drain reads at most from one that is still written to."""


class InputPipe:
    """The writing end of a child's stdin."""

    def __init__(self, fd: int) -> None:
        """Own ``fd`` from here on."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._waiting = bytearray()
        self._closing = False

    @property
    def is_open(self) -> bool:
        """Return whether more can be written."""
        return self._fd >= 0 and not self._closing

    def write(self, data: bytes) -> bool:
        """Take the bytes all together; False when the child cannot get them any more.

        The first bytes may be as many as they are; later ones wait up to `MAX_WAITING`.
        """
        if not self.is_open or (self._waiting and len(self._waiting) + len(data) > MAX_WAITING):
            return False
        self._waiting += data
        self._flush()
        return self._fd >= 0

    def end(self) -> None:
        """Let the child see the end of its input, after what it was already given."""
        self._closing = True
        self._flush()

    def close(self) -> None:
        """Close at once; what waits is lost."""
        if self._fd >= 0:
            asyncio.get_running_loop().remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1
            self._waiting.clear()

    def _flush(self) -> None:
        while self._waiting and self._fd >= 0:
            try:
                del self._waiting[: os.write(self._fd, self._waiting[:CHUNK])]
            except BlockingIOError:
                asyncio.get_running_loop().add_writer(self._fd, self._flush)
                return
            except OSError:
                # Nobody reads: that is the child's choice, not an error.
                self.close()
                return
        if self._closing:
            self.close()
        elif self._fd >= 0:
            asyncio.get_running_loop().remove_writer(self._fd)


class OutputPipe:
    """The reading end of a child's output; hands over what comes as it comes."""

    def __init__(self, fd: int, take: Callable[[bytes], None]) -> None:
        """Own ``fd`` from here on, and call ``take`` with what is read from it."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._take = take
        self._paused = True
        self.resume()

    def pause(self) -> None:
        """Read nothing more for now, so that the child waits when its pipe is full."""
        if not self._paused and self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
        self._paused = True

    def resume(self) -> None:
        """Go on reading."""
        if self._paused and self._fd >= 0:
            asyncio.get_running_loop().add_reader(self._fd, self._read)
            self._paused = False

    def drain(self) -> None:
        """Read what is there now, without waiting for an end that may never come."""
        taken = 0
        while self._fd >= 0 and taken < MAX_DRAIN and (size := self._read()):
            taken += size

    def close(self) -> None:
        """Stop reading for good, and close the pipe."""
        self.pause()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> int:
        """Read once and return how many bytes came; close at the end."""
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return 0
        except OSError:
            data = b""
        if not data:
            self.close()
            return 0
        self._take(data)
        return len(data)
