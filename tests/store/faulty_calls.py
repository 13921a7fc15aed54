"""System calls of SQLite's own file system that fail on request: for the memory that is shared.

A log's index is mapped and locked by SQLite below every VFS of Python's, so what happens to it can
only be made to fail where it asks the system.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

_INDEX: Final = "-shm"
_MAP_FAILED: Final = ctypes.c_void_p(-1).value


class Call(NamedTuple):
    """A system call: its types, where it names its file, what it returns when it fails."""

    types: tuple[Any, ...]
    file: int
    failed: int | None = -1


_int, _pointer, _long = ctypes.c_int, ctypes.c_void_p, ctypes.c_long
CALLS: Final = {
    "open": Call((_int, ctypes.c_char_p, _int, _int), 0),
    "fstat": Call((_int, _int, _pointer), 0),
    "fcntl": Call((_int, _int, _int, _pointer), 0),
    "pwrite64": Call((_long, _int, _pointer, ctypes.c_size_t, _long), 0),
    "mmap": Call((_pointer, _pointer, ctypes.c_size_t, _int, _int, _int, _long), 4, _MAP_FAILED),
    "close": Call((_int, _int), 0),
    "unlink": Call((_int, ctypes.c_char_p), 0),
}
"""What SQLite asks of a system for a log's index. A call that the build does not have is absent."""


class FaultyCalls:
    """Counts calls on the index of a log; the ``at``-th (from 1) of one kind fails."""

    def __init__(self) -> None:
        """Fail nothing yet."""
        self.counts: Counter[str] = Counter()
        self.kind, self.at, self.code = "", 0, errno.EIO
        self.struck = 0

    def fails(self, kind: str, arguments: tuple[Any, ...]) -> bool:
        """Tell whether this call fails."""
        if not _named(arguments[CALLS[kind].file]).endswith((_INDEX, f"{_INDEX} (deleted)")):
            return False
        if kind == "fcntl" and _lets_go(arguments[2]):
            return False
        self.counts[kind] += 1
        struck = kind == self.kind and self.counts[kind] == self.at
        self.struck += struck
        return struck


@contextmanager
def failing_calls() -> Iterator[FaultyCalls]:
    """Have every connection of this process ask through the returned one."""
    faults, kept = FaultyCalls(), []
    vfs = apsw.VFS("system-calls", base="")
    try:
        for name, call in CALLS.items():
            pointer = vfs.xGetSystemCall(name)
            if pointer:
                kind = ctypes.CFUNCTYPE(*call.types, use_errno=True)
                asked = kind(_asked(faults, name, call, kind(pointer)))
                kept.append((asked, pointer))
                vfs.xSetSystemCall(name, ctypes.cast(asked, ctypes.c_void_p).value or 0)
        yield faults
    finally:
        vfs.xSetSystemCall(None, 0)
        vfs.unregister()


def _asked(
    faults: FaultyCalls, name: str, call: Call, real: Callable[..., Any]
) -> Callable[..., Any]:
    def asked(*arguments: Any) -> Any:
        if faults.fails(name, arguments):
            if name == "close":
                real(*arguments)
            ctypes.set_errno(faults.code)
            return call.failed
        return real(*arguments)

    return asked


def _lets_go(lock: int) -> bool:
    """Tell whether a lock is let go, which a system does not fail to do."""
    return ctypes.c_short.from_address(lock).value == fcntl.F_UNLCK  # the first word of a flock


def _named(file: int | bytes) -> str:
    if isinstance(file, bytes):
        return os.fsdecode(file)
    with suppress(OSError):
        return str(Path(f"/proc/self/fd/{file}").readlink())
    return ""
