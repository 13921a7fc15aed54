"""A disk that fails on request, and forgets what was not synced when the power goes.

`FaultyVfs` passes everything to the ordinary file system and counts operations by kind. A `Fault`
makes the n-th of a kind fail, with or without half of its work done. Beside that it remembers what
was written to each file since its last sync, so that `power_off` can lose any part of it.
"""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from pathlib import Path

import apsw
import msgspec

_names = itertools.count()


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """The ``at``-th operation of ``kind`` (from 1) fails with an SQLite result code.

    ``done`` is how much of a write reaches the file before it fails: 0, 0.5 or 1. ``forever``:
    everything fails from then on, as when the device is gone.
    """

    kind: str
    at: int
    code: int
    done: float = 0.0
    forever: bool = False


class _Pages:
    """One file: what is surely on the disk, and what was written since."""

    def __init__(self, content: bytes) -> None:
        self.stable = bytearray(content)
        self.pending: list[tuple[int, bytes | None]] = []

    def sync(self) -> None:
        for offset, data in self.pending:
            _apply(self.stable, offset, data)
        self.pending = []

    def after_power_loss(self, rng: random.Random, keep: float) -> bytes:
        content = bytearray(self.stable)
        for offset, data in self.pending:
            if rng.random() < keep:
                _apply(content, offset, data)
        return bytes(content)


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        if len(content) > offset:
            del content[offset:]
        else:
            content.extend(bytes(offset - len(content)))
        return
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class FaultyVfs(apsw.VFS):
    """Register it by making one; use it by its ``name``."""

    def __init__(self) -> None:
        """Register under a name of its own."""
        self.name = f"faulty-{os.getpid()}-{next(_names)}"
        self.counts: Counter[str] = Counter()
        self.fault: Fault | None = None
        self.struck = 0
        self.dead = False
        self.files: dict[str, _Pages] = {}
        super().__init__(self.name, base="")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        """Open a file; count it."""
        self.reach("open")
        path = None if name is None else (name if isinstance(name, str) else name.filename())
        file = FaultyFile(self, name, path, flags)
        if path is not None:
            self.files.setdefault(path, _Pages(Path(path).read_bytes()))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        """Delete a file; count it."""
        self.reach("delete")
        super().xDelete(filename, syncdir)
        self.files.pop(filename, None)

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        """Tell whether a file is there, or fail."""
        self.reach("access")
        return super().xAccess(pathname, flags)

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        """Make a path absolute, or fail."""
        self.reach("path")
        return super().xFullPathname(name)

    def reach(self, kind: str) -> float | None:
        """Count an operation; raise when it fails outright, return how much of it is done else."""
        if self.dead:
            raise apsw.exception_for(apsw.SQLITE_IOERR)
        self.counts[kind] += 1
        fault = self.fault
        if fault is None or fault.kind != kind or self.counts[kind] != fault.at:
            return None
        self.struck += 1
        if fault.forever:
            self.dead = True
        if fault.done == 0:
            raise apsw.exception_for(fault.code)
        return fault.done

    def heal(self) -> None:
        """Fail no more."""
        self.fault = None
        self.dead = False

    def power_off(self, rng: random.Random, *, keep: float) -> None:
        """Lose what was not synced, but for a share of it; every handle must be closed.

        Shared memory is lost with the machine's own.
        """
        for path, pages in self.files.items():
            Path(path).write_bytes(pages.after_power_loss(rng, keep))
            Path(path + "-shm").unlink(missing_ok=True)
        self.files = {}
        self.heal()


class FaultyFile(apsw.VFSFile):
    """A file of a `FaultyVfs`."""

    def __init__(
        self,
        vfs: FaultyVfs,
        name: str | apsw.URIFilename | None,
        path: str | None,
        flags: list[int],
    ) -> None:
        """Open the real file."""
        self._vfs = vfs
        self._path = path
        super().__init__("", name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        """Read, or fail."""
        self._vfs.reach("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        """Write, or fail with some of it written."""
        done = self._vfs.reach("write")
        content = bytes(data) if done is None else bytes(data)[: int(len(data) * done)]
        super().xWrite(content, offset)
        self._note(offset, content)
        if done is not None and self._vfs.fault is not None:
            raise apsw.exception_for(self._vfs.fault.code)

    def xFileSize(self) -> int:  # noqa: N802
        """Tell the size, or fail."""
        self._vfs.reach("size")
        return super().xFileSize()

    def xLock(self, level: int) -> None:  # noqa: N802
        """Lock the file, or fail."""
        self._vfs.reach("lock")
        super().xLock(level)

    def xUnlock(self, level: int) -> None:  # noqa: N802
        """Let the lock go, or fail; that the process's end lets it go nobody can keep."""
        super().xUnlock(level)
        self._vfs.reach("unlock")

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        """Tell whether somebody is about to write, or fail."""
        self._vfs.reach("reserved")
        return super().xCheckReservedLock()

    def xFileControl(self, op: int, ptr: int) -> bool:  # noqa: N802
        """Do what SQLite tells the file system beside all this, or fail."""
        self._vfs.reach("control")
        return super().xFileControl(op, ptr)

    def xClose(self) -> None:  # noqa: N802
        """Close the file, and fail all the same where that is asked for."""
        super().xClose()
        self._vfs.reach("close")

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        """Truncate, or fail."""
        self._vfs.reach("truncate")
        super().xTruncate(newsize)
        self._note(newsize, None)

    def xSync(self, flags: int) -> None:  # noqa: N802
        """Make what was written stable, or fail.

        The real sync is left out: this disk is as stable as the test says.
        """
        del flags
        self._vfs.reach("sync")
        if self._path in self._vfs.files:
            self._vfs.files[self._path].sync()

    def _note(self, offset: int, data: bytes | None) -> None:
        if self._path in self._vfs.files:
            self._vfs.files[self._path].pending.append((offset, data))
