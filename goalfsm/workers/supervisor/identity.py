"""Which process is which, and whether it lives: what is read of one process, here and nowhere else.

A pid alone says nothing: it is used again. A process is named by its pid, the moment it started
(in clock ticks since boot on Linux, so that setting the wall clock changes nothing) and the boot.
As one text, ``BOOT/START``, the last two tell a process from every other that had or will have its
pid.

The supervisor is started with this module, so it imports no more than the standard library, and of
that nothing large.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import asyncio

LINUX: Final = sys.platform == "linux"
_POLL_S: Final = 0.5


class Stat(NamedTuple):
    """What the kernel says of a process; ``start`` counts ticks since boot."""

    state: str
    parent: int
    group: int
    session: int
    terminal: int
    start: int

    @property
    def zombie(self) -> bool:
        """Return whether nothing of the process is left but its exit status."""
        return self.state in "ZX"

    @property
    def stopped(self) -> bool:
        """Return whether the process has been stopped, by a signal or a debugger."""
        return self.state in "Tt"


def stat(pid: int) -> Stat | None:
    """Return what Linux says of a process, None when it is gone or on another system."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            # The command's name may hold spaces and parentheses; numbers follow its last one.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    parent, group, session, terminal = map(int, fields[1:5])
    return Stat(fields[0].decode(), parent, group, session, terminal, int(fields[19]))


@functools.cache
def boot_id() -> str:
    """Return what tells this boot of the machine from every other."""
    if LINUX:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
            return file.read().strip()
    import psutil  # noqa: PLC0415 - not for the supervisor

    return f"boot-{psutil.boot_time():.0f}"


@functools.cache
def pid_namespace() -> str:
    """Return the namespace that this process's pids belong to, "" where there is none."""
    return os.readlink("/proc/self/ns/pid") if LINUX else ""  # noqa: PTH115


def started_at(pid: int) -> int | None:
    """Return when a living process started, None when it is gone or a zombie.

    In ticks since boot on Linux, elsewhere in milliseconds since 1970; 0 where it may not be known.
    """
    if LINUX:
        found = stat(pid)
        return None if found is None or found.zombie else found.start
    import psutil  # noqa: PLC0415 - not for the supervisor

    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return None if gone else int(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0


def parent(pid: int) -> int | None:
    """Return the parent of a process, 0 of one that has none here, None of one that is gone."""
    if LINUX:
        found = stat(pid)
        return None if found is None else found.parent
    import psutil  # noqa: PLC0415 - not for the supervisor

    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def text_of(boot: str, start: int) -> str:
    """Return the text that names a process besides its pid."""
    return f"{boot}/{start}"


def parts_of(text: str) -> tuple[str, int]:
    """Return boot and start of what `text_of` made; a start of 0 where the text is another."""
    boot, _, start = text.rpartition("/")
    return boot, int(start) if start.isdigit() else 0


def start_time(pid: int) -> str:
    """Return what tells a living process from any other with its pid, "" when it is gone.

    A zombie is gone.
    """
    started = started_at(pid)
    return "" if started is None else text_of(boot_id(), started)


def begun(pid: int) -> str:
    """Return the `start_time` of a process that may be a zombie already; "" off Linux."""
    found = stat(pid)
    return "" if found is None else text_of(boot_id(), found.start)


def is_running(pid: int, started: str) -> bool:
    """Return whether the process that was ``started`` then is still there; a zombie is not."""
    return bool(started) and start_time(pid) == started


async def wait_gone(pid: int, started: str) -> None:
    """Return when that process has ended, at once when it already has."""
    import asyncio  # noqa: PLC0415 - the supervisor has no loop

    watch = open_pidfd(pid)
    try:
        # After the descriptor exists the number cannot change hands unseen.
        if not is_running(pid, started):
            return
        if watch < 0:
            while is_running(pid, started):  # noqa: ASYNC110 - nobody can tell us
                await asyncio.sleep(_POLL_S)
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(watch, _settle, ended)
        try:
            await ended
        finally:
            loop.remove_reader(watch)
    finally:
        if watch >= 0:
            os.close(watch)


def open_pidfd(pid: int) -> int:
    """Return a descriptor that is readable when the process has ended, -1 where there is none."""
    with contextlib.suppress(AttributeError, OSError):
        return os.pidfd_open(pid)
    return -1


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
