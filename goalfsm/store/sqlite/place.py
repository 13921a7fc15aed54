"""The files of a database: where they are, whose they are, whether they are still the same ones.

The database itself is never opened here once SQLite may have it open: closing any descriptor of a
file drops the POSIX locks that the whole process holds on it. Only its directory entry is read.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from goalfsm.errors import CannotWrite, DatabaseReplaced, DiskFull, NoDatabase
from goalfsm.store.sqlite.safety import refuse_unsafe

_PART: Final = ".goalfsm-part"
"""What the name of a copy ends with that is not finished."""
RESERVE_BYTES: Final = 1024 * 1024
LEAST_RESERVE: Final = 64 * 1024
"""What the last words take on the smallest disk."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_TICK_NS: Final = 50_000_000
"""Longer than the clock of any file system ticks."""

LOOK_EVERY_NS: Final = 10_000_000
"""How long what was seen will do for a commit that answers nobody: a look costs microseconds."""

_DIRECTORY: Final = os.O_DIRECTORY | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)

Stamp = tuple[int, int, int, int]


def free_space(directory: Path) -> int:
    """Return how many bytes this user may still write in a directory."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


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


def resolve(path: Path, *, create: bool) -> Path:
    """Return the absolute path of a database file, created when it may be."""
    path = path.resolve()
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
        self._database = _identity(self._paths[0])
        self._wal: tuple[int, int] | None = None
        self._quiet: int | None = None
        self._look_at = 0

    def is_same_file(self, other: Place) -> bool:
        """Return whether both saw the same database file."""
        return self._database is not None and self._database == other._database

    def check_database(self) -> None:
        """Raise `DatabaseReplaced` when the database itself was deleted or replaced."""
        if _identity(self._given) != self._database:
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
        wal = _identity(self._paths[1])
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


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a path of text: this is done at every commit
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


class Reserve:
    """Disk space set aside beside the database, given back to write the last words with."""

    def __init__(self, database: Path, size: int = RESERVE_BYTES) -> None:
        """Name the file; nothing is written yet."""
        self._path = database.with_name(database.name + "-reserve")
        self._bytes = size

    def size(self) -> int:
        """Return how many bytes are set aside."""
        try:
            return self._path.lstat().st_size
        except OSError:
            return 0

    def _wanted(self) -> int:
        """Return how much is to be set aside: a quarter of what is free on a small disk."""
        try:
            free = free_space(self._path.parent) + self.size()
        except OSError:
            return self._bytes
        return min(self._bytes, max(LEAST_RESERVE, free // 4))

    def release(self) -> bool:
        """Give the space back; True when there was some."""
        if self.size() == 0:
            return False
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW))
        except OSError as error:
            msg = f"cannot release {self._path}: {error.strerror}"
            raise CannotWrite(msg) from error
        return True

    def restore(self) -> bool:
        """Set the space aside; False when there is no room for it."""
        size = self._wanted()
        if self.size() >= size:
            return True
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(self._path, flags, 0o600)
        except OSError:
            return False
        try:
            if not _is_ours(descriptor):
                return False
            _allocate(descriptor, size)
        except OSError:
            os.ftruncate(descriptor, 0)
            return False
        finally:
            os.close(descriptor)
        return True


def _is_ours(descriptor: int) -> bool:
    """Return whether this is an ordinary file of this user's under one name."""
    found = os.fstat(descriptor)
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1


def _allocate(descriptor: int, size: int) -> None:
    """Make the file really take ``size`` bytes of the disk: a hole would reserve nothing."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
    else:
        written = 0
        while written < size:
            written += os.pwrite(descriptor, bytes(size - written), written)
    os.fsync(descriptor)


def claim_copy(target: Path) -> Path:
    """Create an empty 0600 file beside ``target`` to write a copy into; refuse to overwrite."""
    if target.exists():
        msg = f"{target} exists"
        raise CannotWrite(msg, hint="Name a file that does not exist yet.")
    _remove_left_parts(target.parent)
    part = target.with_name(f".{target.name}.{os.getpid()}{_PART}")
    try:
        os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        msg = f"cannot create {part}: {error.strerror}"
        raise CannotWrite(msg, hint="Name a file in a directory that you may write to.") from error
    return part


def _remove_left_parts(directory: Path) -> None:
    """Remove unfinished copies of processes that were killed; only ours have such names."""
    for left in directory.glob(f".*{_PART}"):
        number = left.name.removesuffix(_PART).rpartition(".")[2]
        with suppress(OSError, ValueError):
            if left.lstat().st_uid == os.getuid() and not _runs(int(number)):
                left.unlink()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it is there, and another user's
    return True


def publish_copy(part: Path, target: Path) -> None:
    """Give a finished copy its name, durably; refuse when another file took it meanwhile."""
    try:
        descriptor = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.link(part, target)
        part.unlink()
        directory = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError as error:
        msg = f"{target} exists"
        raise CannotWrite(msg, hint="Name a file that does not exist yet.") from error
    except OSError as error:
        kind = DiskFull if error.errno in _FULL else CannotWrite
        msg = f"cannot finish {target}: {error.strerror}"
        raise kind(msg) from error
