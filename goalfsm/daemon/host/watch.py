"""Being told that files have changed, so that an idle engine need not look for it all the time.

On Linux the kernel tells it: by inotify for the database and what is left beside it, by a timer
for a wall clock that somebody sets. The loop waits for both descriptors with all its others, so
that nothing wakes an engine around which nothing happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol


class Place(NamedTuple):
    """A directory to watch, and which names in it; with none of them every name."""

    directory: Path
    names: frozenset[str] = frozenset()


class Watch(Protocol):
    """Tells of changes while it is started. It may miss some: whoever needs them looks as well."""

    def start(self, changed: Callable[[], None]) -> bool:
        """Call ``changed`` on the running loop for each change from now on; False: it cannot.

        Started already, it follows directories that have come since.
        """
        ...

    def stop(self) -> None:
        """Tell of nothing more; no error when it was not started."""
        ...


_MODIFY: Final = 0x002
_ATTRIB: Final = 0x004
_MOVED: Final = 0x040 | 0x080
_CREATE: Final = 0x100
_DELETE: Final = 0x200
_SELF: Final = 0x400 | 0x800
_ONLY_DIRECTORIES: Final = 0x0100_0000
_ADDED: Final = 0x2000_0000
"""To what is watched there already: two places may have one directory."""

_CONTENTS: Final = _MODIFY | _ATTRIB | _MOVED | _CREATE | _DELETE | _SELF | _ONLY_DIRECTORIES
_COMING: Final = _MOVED | _CREATE | _SELF | _ONLY_DIRECTORIES

_EVENT: Final = struct.Struct("iIII")
_BUFFER: Final = 64 * 1024
_NEVER_S: Final = 2**33
"""A moment that does not come: a timer is set to it only to hear that the clock was set."""

_REALTIME: Final = 0
_ABSOLUTE_AND_TOLD: Final = 1 | 2
"""TFD_TIMER_ABSTIME and TFD_TIMER_CANCEL_ON_SET."""


def watch_files(places: Callable[[], Sequence[Place]]) -> Watch | None:
    """Return a watch of ``places``, which is asked at each start; None where the system has none.

    Of a place that is not there, the nearest directory above is watched until it is, as far as
    that is this user's own.
    """
    return _Inotify(places) if sys.platform == "linux" else None


class _Inotify:
    """`Watch` on Linux."""

    def __init__(self, places: Callable[[], Sequence[Place]]) -> None:
        self._places = places
        self._libc: Final = ctypes.CDLL(None, use_errno=True)
        self._fd: int | None = None
        self._clock: int | None = None
        self._names: dict[int, frozenset[str]] = {}
        self._changed: Callable[[], None] = _nothing

    def start(self, changed: Callable[[], None]) -> bool:
        self._changed = changed
        try:
            if self._fd is None:
                self._open()
            self._follow()
        except OSError:
            self.stop()
            return False
        return True

    def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._fd = self._call("inotify_init1", os.O_NONBLOCK | os.O_CLOEXEC)
        loop.add_reader(self._fd, self._heard)
        self._clock = self._call("timerfd_create", _REALTIME, os.O_NONBLOCK | os.O_CLOEXEC)
        self._set_clock()
        loop.add_reader(self._clock, self._clock_was_set)

    def _call(self, function: str, *arguments: object) -> int:
        try:
            result: int = getattr(self._libc, function)(*arguments)
        except AttributeError as error:
            raise OSError(errno.ENOSYS, f"this libc has no {function}") from error
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    def _set_clock(self) -> None:
        # Interval and first moment, each in seconds and nanoseconds.
        moment = (ctypes.c_long * 4)(0, 0, _NEVER_S, 0)
        self._call("timerfd_settime", self._clock, _ABSOLUTE_AND_TOLD, moment, None)

    def _follow(self) -> None:
        before, self._names = self._names, {}
        for place in self._places():
            directory, names = place
            while not directory.is_dir() and directory != directory.parent:
                directory, names = directory.parent, frozenset({directory.name})
            if directory == place.directory:
                self._add(directory, names, _CONTENTS)
            elif _is_private(directory):
                self._add(directory, names, _COMING)
        for old in before.keys() - self._names.keys():
            with contextlib.suppress(OSError):
                self._call("inotify_rm_watch", self._fd, old)

    def _add(self, directory: Path, names: frozenset[str], mask: int) -> None:
        path = ctypes.c_char_p(os.fsencode(directory))
        watch = self._call("inotify_add_watch", self._fd, path, ctypes.c_uint32(mask | _ADDED))
        known = self._names.get(watch, names)
        self._names[watch] = known | names if known and names else frozenset()

    def _heard(self) -> None:
        if any(self._concerns(watch, name) for watch, name in self._read()):
            self._changed()

    def _read(self) -> Iterator[tuple[int, str]]:
        if self._fd is None:
            return
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, _mask, _cookie, length = _EVENT.unpack_from(data, at)
            at += _EVENT.size
            yield watch, os.fsdecode(data[at : at + length].rstrip(b"\0"))
            at += length

    def _concerns(self, watch: int, name: str) -> bool:
        """Tell whether an event is about what is watched: also one that is about no name."""
        if watch not in self._names:
            return watch < 0  # some were lost
        names = self._names[watch]
        return not name or not names or name in names

    def _clock_was_set(self) -> None:
        if self._clock is None:
            return
        # A read fails with ECANCELED when the clock was set; until the next it is told again.
        with contextlib.suppress(OSError):
            os.read(self._clock, 8)
        with contextlib.suppress(OSError):
            self._set_clock()
        self._changed()

    def stop(self) -> None:
        self._changed = _nothing
        self._names = {}
        for fd in (self._fd, self._clock):
            if fd is not None:
                asyncio.get_running_loop().remove_reader(fd)
                os.close(fd)
        self._fd = self._clock = None


def _is_private(directory: Path) -> bool:
    """Tell whether nobody else makes files there: what others do is not to wake an engine."""
    facts = directory.stat()
    return facts.st_uid == os.getuid() and not facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _nothing() -> None:
    """Have nobody to tell."""
