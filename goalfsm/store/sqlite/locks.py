"""Who has a file: a lock of ours on the database itself, and who holds SQLite's write lock.

SQLite names its log after the path, so two engines that know one file by two names do not see each
other in it. A lock on the file is on the file, whatever its name.

Closing any descriptor of a file drops the POSIX locks that the whole process holds on it, SQLite's
among them. So the descriptor with our lock stays open until the last connection of this process to
that file is closed, and SQLite's own descriptors are borrowed, never closed, to ask about its lock.

Where the system has no such locks nothing is locked and nobody is named.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
import threading
from pathlib import Path
from typing import Final

Key = tuple[int, int]
"""Device and inode."""

_OFD_SETLK: Final = getattr(fcntl, "F_OFD_SETLK", None)
_FLOCK: Final = "hhqqi4x"
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""
_LINUX: Final = sys.platform.startswith("linux") and sys.maxsize > 2**32
_OURS_AT: Final = 0x7000_0000_0000_0000
"""Beyond the end of every file, and beyond the bytes that SQLite locks."""
_WRITE_LOCK_AT: Final = 120
"""Where in the shared memory of a log SQLite locks for writing."""


class _Use:
    """What this process has open of one file."""

    def __init__(self) -> None:
        self.connections = 0
        self.descriptor: int | None = None
        self.locked = False


_guard = threading.Lock()
_uses: dict[Key, _Use] = {}


def key_of(path: Path) -> Key | None:
    """Return what tells the file from every other, None when it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def opened(key: Key | None) -> None:
    """Count a connection of this process to the file of ``key``."""
    if key is not None:
        with _guard:
            _uses.setdefault(key, _Use()).connections += 1


def closed(key: Key | None) -> None:
    """Take a connection to the file of ``key``, which is closed by now, out of the count."""
    with _guard:
        use = None if key is None else _uses.get(key)
        if key is None or use is None:
            return
        use.connections -= 1
        if use.connections == 0:
            del _uses[key]
            if use.descriptor is not None:
                os.close(use.descriptor)


def lock(path: Path, key: Key | None) -> bool:
    """Lock the file for this process; False when another process has it locked."""
    if not _LINUX or _OFD_SETLK is None:
        return True
    with _guard:
        use = None if key is None else _uses.get(key)
        if use is None or use.locked:
            return True
        if use.descriptor is None:
            use.descriptor = _open(path, key)
            if use.descriptor is None:
                return True
        use.locked = _set(use.descriptor, fcntl.F_WRLCK)
        return use.locked


def unlock(key: Key | None) -> None:
    """Give the lock on the file back."""
    with _guard:
        use = None if key is None else _uses.get(key)
        if use is not None and use.locked and use.descriptor is not None:
            _set(use.descriptor, fcntl.F_UNLCK)
            use.locked = False


def _open(path: Path, key: Key | None) -> int | None:
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    found = os.fstat(descriptor)
    if (found.st_dev, found.st_ino) == key:
        return descriptor
    # Somebody put another file there meanwhile; nobody of this process has that one open.
    os.close(descriptor)
    return None


def _set(descriptor: int, kind: int) -> bool:
    """Set or take away our lock; False where another process has it."""
    wanted = struct.pack(_FLOCK, kind, os.SEEK_SET, _OURS_AT, 1, 0)
    try:
        fcntl.fcntl(descriptor, _OFD_SETLK or 0, wanted)
    except BlockingIOError:
        return False
    except PermissionError:
        return False
    except OSError:
        # A file system without locks: the owner row alone decides.
        return True
    return True


def holder_of_write_lock(database: Path) -> int | None:
    """Return the process that may write the database now, None where nobody can tell.

    This process itself is never named.
    """
    descriptor = _borrowed(database.with_name(database.name + "-shm"))
    if descriptor is None:
        return None
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _WRITE_LOCK_AT, 1, 0)
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
    except OSError:
        return None
    kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
    return pid if kind != fcntl.F_UNLCK and pid > 0 else None


def _borrowed(path: Path) -> int | None:
    """Return the descriptor by which SQLite has a file open in this process."""
    key = key_of(path)
    if not _LINUX or key is None:
        return None
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - no paths are wanted
        try:
            found = os.fstat(int(name))
        except OSError:
            continue
        if stat.S_ISREG(found.st_mode) and (found.st_dev, found.st_ino) == key:
            return int(name)
    return None
