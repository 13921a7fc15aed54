"""Processes as Linux shows them under /proc. Elsewhere everything is answered with nothing.

The supervisor is started with this module, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import functools
import os
from typing import NamedTuple


class Stat(NamedTuple):
    """What the kernel says of a process; ``start`` counts ticks since boot."""

    state: str
    parent: int
    group: int
    session: int
    start: int

    @property
    def zombie(self) -> bool:
        """Return whether nothing of the process is left but its exit status."""
        return self.state in "ZX"


def stat(pid: int) -> Stat | None:
    """Return what the kernel says of a process, None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    parent, group, session = map(int, fields[1:4])
    return Stat(fields[0].decode(), parent, group, session, int(fields[19]))


def start_time(pid: int) -> str:
    """Return what tells this process from any other with the same pid, "" when it is gone.

    Also "" where the system has no /proc. A zombie is gone.
    """
    found = stat(pid)
    return "" if found is None or found.zombie else _identity(found)


def begun(pid: int) -> str:
    """Return the `start_time` of a process that may be a zombie already."""
    found = stat(pid)
    return "" if found is None else _identity(found)


def _identity(found: Stat) -> str:
    return f"{_boot_id()}/{found.start}"


@functools.cache
def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return file.read().strip()


def children(pid: int) -> list[int]:
    """Return the direct children of a process, those of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def variable(pid: int, name: str) -> str | None:
    """Return a variable of the environment that a process was started with, None without it."""
    prefix = name.encode() + b"="
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        for item in file.read().split(b"\0"):
            if item.startswith(prefix):
                return os.fsdecode(item[len(prefix) :])
    return None
