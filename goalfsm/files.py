"""Small files of ours, and those that a person names: read with a bound, written whole or not."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

MOST: Final = 1024 * 1024
"""How many bytes a file may have that is read whole."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file to read it; raise OSError for anything else.

    A FIFO or a device is not waited for.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")  # noqa: PTH123  a descriptor, and the caller closes it
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a regular file", str(path))


def read_bytes(path: Path, *, most: int = MOST) -> bytes:
    """Return what a regular file holds; raise OSError for anything else, and for a larger one.

    No file is read without an end.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return data


def write_bytes(path: Path, data: bytes) -> None:
    """Put a file in its place as a whole, readable by its owner alone.

    It is made under a name that nobody can have guessed and prepared, in a folder that is made
    where it is missing. Raises OSError; what was there is there then.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(fresh, flags, 0o600), "wb") as file:  # noqa: PTH123  a descriptor
            file.write(data)
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise


def write_whole(path: Path, data: bytes) -> None:
    """Replace what is in ``path`` by ``data``, at once and with the rights that it had.

    A link stays one: the file that it leads to is replaced. What is no file (a terminal, a pipe)
    is written to. Raises ``OSError``, with the name of ``path``; nothing is changed then.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if target.is_symlink():
        # Links in a circle lead to one of them.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    beside = target.with_name(f".{target.name[:100]}.{os.urandom(6).hex()}")
    try:
        with beside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            beside.chmod(target.stat().st_mode & 0o7777)
        beside.replace(target)
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
