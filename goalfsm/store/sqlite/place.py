"""The files of a database: whose they are, whether they are still the same, who has them locked.

Closing any descriptor of a file drops the POSIX locks that the whole process holds on it, SQLite's
among them. So once SQLite may have the database open only its directory entry is read; the
descriptor with our lock stays open until the last connection of this process to that file is
closed; and SQLite's own descriptors are borrowed, never closed, to ask about its lock.

SQLite names its log after the path, so two engines that know one file by two names do not see each
other in it. A lock of ours on the file is on the file, whatever its name. Where the system has no
such locks nothing is locked and nobody is named.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Final, NoReturn

from goalfsm.errors import CannotWrite, DatabaseReplaced, NoDatabase
from goalfsm.store.sqlite.safety import refuse_unsafe

_TICK_NS: Final = 50_000_000
"""Longer than the clock of any file system ticks."""

LOOK_EVERY_NS: Final = 10_000_000
"""How long what was seen will do for a commit that answers nobody: a look costs microseconds."""

_DIRECTORY: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)

_OFD_SETLK: Final = getattr(fcntl, "F_OFD_SETLK", None)
_FLOCK: Final = "hhqqi4x"
"""``struct flock`` of 64-bit Linux: type, whence, start, length, pid."""
_LINUX: Final = sys.platform.startswith("linux") and sys.maxsize > 2**32
_OURS_AT: Final = 0x7000_0000_0000_0000
"""Beyond the end of every file, and beyond the bytes that SQLite locks."""
_WRITE_LOCK_AT: Final = 120
"""Where in the shared memory of a log SQLite locks for writing."""

Key = tuple[int, int]
"""Device and inode."""
Stamp = tuple[int, int, int, int]


def wal_of(path: Path) -> Path:
    """Return where the write-ahead log of a database is."""
    return path.with_name(path.name + "-wal")


def prepare(path: Path) -> None:
    """Create the database file, empty and 0600, and its directory, 0700, where they are missing."""
    try:
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # Exclusively: nobody can have had the file open, so closing it drops no lock.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():
            return
        msg = f"cannot create {path}: {error.strerror}"
        raise CannotWrite(msg, hint="Name a file in a directory that you may write to.") from error


def followed(path: Path) -> Path:
    """Return the absolute path behind every link; raise `CannotWrite` where there can be no file.

    Nor one beside it: those have longer names.
    """
    try:
        found = path.resolve()
        for name in (f"{found}-reserve", path):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.stat(name)  # noqa: PTH116 - from Python 3.14 on pathlib keeps errors to itself
    except (OSError, RuntimeError) as error:
        # Links in a circle are a RuntimeError before Python 3.13.
        number = error.errno if isinstance(error, OSError) else errno.ELOOP
        yours = number not in {errno.ELOOP, errno.ENAMETOOLONG}
        hint = "The file and its directory must be yours." if yours else "Name another path."
        msg = f"there can be no database at {path}: {os.strerror(number or 0)}"
        raise CannotWrite(msg, hint=hint) from error
    return found


def resolve(path: Path, *, create: bool) -> Path:
    """Return the absolute path of a database file, created when it may be."""
    path = followed(path)
    if create and not path.exists():
        prepare(path)
    if not path.exists():
        msg = f"there is no database at {path}"
        raise NoDatabase(msg)
    if not path.is_file():
        msg = f"{path} is not a file"
        raise CannotWrite(msg, hint="Name the database file itself.")
    refuse_unsafe(path)
    return path


def stamp(path: Path) -> Stamp | None:
    """Return what changes when the file is written to or replaced, None when it is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns)


def refuse_read_only(path: Path) -> None:
    """Raise `CannotWrite` where the file may not be written any more."""
    if os.statvfs(path).f_flag & os.ST_RDONLY or not os.access(path, os.W_OK):
        msg = f"{path} is read-only now"
        raise CannotWrite(msg, hint="Make it writable again, or stop the daemon.")


def key_of(path: Path | str) -> Key | None:
    """Return what tells the file from every other, None when it is gone."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a path of text: this is done at every commit
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


class Place:
    """Notices that a database file, or its log, is no longer the one that was opened.

    The database is looked for by the path as it was given, link by link: a link that leads
    elsewhere by now, a directory that was moved or has another mounted on it, and a file that was
    replaced are all the same to those who look for it there. The log comes, goes and is replaced by
    a change of its directory, so while that has not changed the log is not looked at: where the
    kernel keeps fine-grained times only for files that somebody asks about, each next write would
    have to note a time of its own, which costs a quarter of a commit.

    A file that goes takes along every commit that was made before; those of the few milliseconds
    until it is missed are no different. So commits in quick succession share one look, except
    those that somebody outside is answered for.
    """

    def __init__(self, path: Path, given: Path | None = None) -> None:
        """Remember which file is at ``path``; the log is remembered when it is first there."""
        self._parent = os.fspath(path.parent)
        self._directory: int | None = None
        self._given = os.fspath(path if given is None else given)
        self._paths = (os.fspath(path), os.fspath(wal_of(path)))
        self._database = key_of(self._paths[0])
        self._wal: Key | None = None
        self._quiet: int | None = None
        self._look_at = 0

    def is_same_file(self, other: Place) -> bool:
        """Return whether both saw the same database file."""
        return self._database is not None and self._database == other._database

    def check_database(self) -> None:
        """Raise `DatabaseReplaced` when the database itself was deleted or replaced."""
        if key_of(self._given) != self._database:
            self._refuse(self._given)

    def check(self, *, afresh: bool = True) -> None:
        """Raise `DatabaseReplaced` when the database or its log was deleted or replaced.

        Unless ``afresh``, what was seen within `LOOK_EVERY_NS` will do.
        """
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        if not afresh and now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_NS
        self.check_database()
        if self._directory is None:
            self._directory = self._watch()
        changed = os.fstat(self._directory).st_mtime_ns
        if changed == self._quiet:
            return
        self._check_log()
        # Two changes within one tick of the file system's clock have one time, so a directory is
        # taken for quiet only when its last change is some while ago.
        age = time.clock_gettime_ns(time.CLOCK_REALTIME) - changed
        self._quiet = changed if age > _TICK_NS else None

    def verify(self) -> None:
        """Do what `check` does, whatever the directory's time says."""
        self.check_database()
        self._check_log()

    def _check_log(self) -> None:
        wal = key_of(self._paths[1])
        if self._wal is None:
            self._wal = wal
        elif wal != self._wal:
            self._refuse(self._paths[1])

    def close(self) -> None:
        """Give the directory's descriptor back; the next `check` would take another."""
        directory, self._directory = self._directory, None
        if directory is not None:
            os.close(directory)

    def _watch(self) -> int:
        try:
            return os.open(self._parent, _DIRECTORY)
        except OSError:
            self._refuse(self._given)

    def _refuse(self, path: str) -> NoReturn:
        msg = f"{path} was deleted or replaced while it was open"
        raise DatabaseReplaced(msg)


# Who has a file.


class _Use:
    """What this process has open of one file."""

    def __init__(self) -> None:
        self.connections = 0
        self.descriptor: int | None = None
        self.locked = False


_guard = threading.Lock()
_uses: dict[Key, _Use] = {}


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
