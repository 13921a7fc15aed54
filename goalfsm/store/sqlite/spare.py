"""What lies beside a database: space set aside for its last words, and copies made of it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from goalfsm.errors import CannotWrite, DiskFull

_PART: Final = ".goalfsm-part"
"""What the name of a copy ends with that is not finished."""
RESERVE_BYTES: Final = 1024 * 1024
LEAST_RESERVE: Final = 64 * 1024
"""What the last words take on the smallest disk."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def free_space(directory: Path) -> int:
    """Return how many bytes this user may still write in a directory."""
    disk = os.statvfs(directory)
    return disk.f_bavail * disk.f_frsize


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
