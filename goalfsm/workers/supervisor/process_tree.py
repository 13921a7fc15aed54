"""What descends from what: the processes of each run, wherever they went.

A run is its first process and all that comes from it. What leaves its parent is adopted by the
supervisor, and is told by its session, by a mark that children inherit, or by its environment.

The supervisor is started with this module, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable
from typing import Final

from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.identity import LINUX

DATABASE: Final = "GOALFSM_DB"
"""Names, in a run's environment, the database that it belongs to."""
RUN_ID: Final = "GOALFSM_RUN_ID"
"""Names, in the environment of a run's processes, the run."""
SUPERVISOR_OF: Final = "GOALFSM_SUPERVISOR"
"""Names, in a supervisor's environment, the database whose runs it looks after."""

# RLIMIT_LOCKS: Linux enforces it no more, but keeps it, and hands it to every child.
_UNUSED_LIMIT: Final = 10
_FIRST_PIDS: Final = 0xEFFFFFFC
"""The first pid namespace, as the kernel names it."""
PART_BITS: Final = 30
"""Bits of each part of a mark: the supervisor's, and the run's."""
CEILING: Final = 2 << 2 * PART_BITS
"""Above every mark: the most that a run's processes can set, which only root can raise again."""


def same_database(path: str) -> str:
    """Return the form of a database's path that is equal for equal files.

    An address that is no path, like that of a node, stays as it is.
    """
    return os.path.realpath(path) if path and "://" not in path else path


def children(pid: int) -> list[int]:
    """Return the direct children of a process, those of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def descendants(pid: int) -> dict[int, int]:
    """Return the live processes below a process, with their groups; zombies are not alive."""
    return _below(children(pid), {}, lambda _: False)


def _below(
    pending: list[int], found: dict[int, int], is_released: Callable[[int], bool]
) -> dict[int, int]:
    """Return ``found`` with ``pending`` and all below, without zombies and what was released."""
    while pending:
        each = pending.pop()
        stat = identity.stat(each)
        if stat is None or each in found or is_released(each):
            continue
        if not stat.zombie:
            found[each] = stat.group
        pending += children(each)
    return found


def environment(pid: int) -> dict[str, str] | None:
    """Return the environment that a process was started with, None where it may not be read."""
    if not LINUX:
        import psutil  # noqa: PLC0415 - not for the supervisor

        with contextlib.suppress(psutil.Error, OSError):
            return psutil.Process(pid).environ()
        return None
    found: dict[str, str] = {}
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            for item in file.read().split(b"\0"):
                name, _, value = item.partition(b"=")
                found.setdefault(os.fsdecode(name), os.fsdecode(value))
    except OSError:
        return None
    return found


def mark_of(db: str, run_id: str) -> int:
    """Return a run's part of the mark of its processes; every other run has another."""
    from hashlib import sha256  # noqa: PLC0415 - the supervisor is told it

    digest = sha256(f"{db}\0{run_id}".encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") % (1 << PART_BITS)


def mark_children(supervisor: int, run: int) -> int:
    """Mark what this process starts until `unmark`; return the mark that it has, 0 for none.

    The mark survives exec, a new session and an emptied environment. A process that takes it off
    on purpose is nobody's, and is ended as such.
    """
    if not LINUX:
        return 0
    import resource  # noqa: PLC0415 - not there on every system

    mark = 1 << 2 * PART_BITS | supervisor << PART_BITS | run
    with contextlib.suppress(OSError, ValueError):
        _, most = resource.getrlimit(_UNUSED_LIMIT)
        if most == resource.RLIM_INFINITY or mark <= most:
            resource.setrlimit(_UNUSED_LIMIT, (mark, most))
            return mark
    return 0


def unmark() -> None:
    """Take the mark off this process: it is no run's."""
    if LINUX:
        import resource  # noqa: PLC0415 - not there on every system

        with contextlib.suppress(OSError, ValueError):
            _, most = resource.getrlimit(_UNUSED_LIMIT)
            resource.setrlimit(_UNUSED_LIMIT, (most, most))


def limit_for_good() -> None:
    """Lower what this process, and all that it starts, may ever set: whatever mark is taken off."""
    if LINUX:
        import resource  # noqa: PLC0415 - not there on every system

        with contextlib.suppress(OSError, ValueError):
            _, most = resource.getrlimit(_UNUSED_LIMIT)
            if most == resource.RLIM_INFINITY or most > CEILING:
                resource.setrlimit(_UNUSED_LIMIT, (CEILING, CEILING))


def marked(pid: int) -> int:
    """Return the mark of a process, 0 where it has none or may not be asked."""
    mark, _ = _limits(pid)
    return mark if mark >> 2 * PART_BITS == 1 else 0


def is_limited(pid: int) -> bool:
    """Tell whether a process may set no more than a run's may: it comes from one, or from us.

    Where all processes of the machine are limited so, that tells nothing; of a namespace's own
    first process nobody can say that it stands for a machine.
    """
    _, most = _limits(pid)
    return 0 <= most <= CEILING and (not _sees_whole_machine() or _is_free_of_limits())


def _limits(pid: int) -> tuple[int, int]:
    """Return what a process has set and the most that it may set; -1 for no limit, or unknown."""
    if LINUX:
        import resource  # noqa: PLC0415 - not there on every system

        with contextlib.suppress(OSError):
            now, most = resource.prlimit(pid, _UNUSED_LIMIT)
            return now, most
    return -1, -1


def _sees_whole_machine() -> bool:
    """Return whether this process is in the first pid namespace, whose number never changes."""
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid") == f"pid:[{_FIRST_PIDS}]"  # noqa: PTH115
    return False


@functools.cache
def _is_free_of_limits() -> bool:
    """Return whether this machine leaves that limit alone, as its first process has it."""
    with contextlib.suppress(OSError), open("/proc/1/limits", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"Max file locks"):
                return line.split()[4] == b"unlimited"
    return True


def run_part(mark: int) -> int:
    """Return a run's part of a mark, -1 of none."""
    return mark % (1 << PART_BITS) if mark else -1


def of_supervisor(part: int) -> set[int]:
    """Return the live processes that carry a supervisor's part of the mark."""
    wanted = 1 << PART_BITS | part
    found = {int(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208
    return {
        pid
        for pid in found
        if marked(pid) >> PART_BITS == wanted
        and (stat := identity.stat(pid)) is not None
        and not stat.zombie
    }


class Run:
    """One run: its first process leads a session and a process group of its own."""

    __slots__ = ("deadline", "killed_at", "mark", "pid", "reaped", "run", "spread", "start")

    def __init__(self, run: str, pid: int, mark: int) -> None:
        """Look after ``run``, whose first process has been started as ``pid``."""
        self.run = run
        self.pid = pid
        self.mark = mark
        # Not reaped yet, so it is there, though it may be a zombie already.
        self.start = identity.begun(pid)
        self.reaped = False
        self.spread = False  # The group outlived its leader (where that is all we can know).
        self.deadline: float | None = None  # When to kill; None = nobody asked for its end.
        self.killed_at: float | None = None


class ProcessTree:
    """The runs of this process, with what descends from them."""

    def __init__(self) -> None:
        """Begin without runs."""
        self.runs: dict[str, Run] = {}
        self.keeper = 0
        self._released: dict[int, tuple[str, int]] = {}

    def keep(self, pid: int) -> None:
        """Take note of the keeper, a child of ours that is no run's; 0 where there is none."""
        self.keeper = pid

    def release(self, run: Run, pids: Iterable[int]) -> None:
        """Let go of these processes of a run, and of what they start: nothing ends them."""
        members = self.members(run)
        self._released.update(
            {pid: (identity.start_time(pid), run.mark) for pid in pids if pid in members}
        )

    def reaped(self, pid: int) -> Run | None:
        """Note that a child of ours was collected; return the run whose first process it was."""
        self._released.pop(pid, None)
        run = next((r for r in self.runs.values() if r.pid == pid and not r.reaped), None)
        if run is not None:
            run.reaped = True
            run.spread = not LINUX and _group_exists(pid)
        return run

    def members(self, run: Run) -> dict[int, int]:
        """Return the live processes of a run with their groups."""
        if not LINUX:
            if run.reaped and not (run.spread and _group_exists(run.pid)):
                return {}
            return {run.pid: run.pid}
        found: dict[int, int] = {}
        for child in children(os.getpid()):
            if self._owner(child) is run:
                _below([child], found, self._is_released)
        return found

    def strays(self) -> dict[int, int]:
        """Return what was adopted and is no run's: it hides where it comes from."""
        found: dict[int, int] = {}
        if LINUX:
            for child in children(os.getpid()):
                if child == self.keeper or self._is_released(child):
                    continue
                if self._owner(child) is None:
                    _below([child], found, self._is_released)
        return found

    def signal(self, run: Run, number: int) -> None:
        """Send a signal to the run's group at once, and to what left the group."""
        members = self.members(run)
        in_group = {pid for pid, group in members.items() if group == run.pid}
        spared = any(_group(pid) == run.pid for pid in self._released)
        if not spared and (not run.reaped or in_group or run.spread):
            with contextlib.suppress(OSError):
                os.killpg(run.pid, number)
        else:
            in_group = set()
        for pid in members.keys() - in_group:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    def _owner(self, child: int) -> Run | None:
        """Return the run that a direct child of ours belongs to, None when it is nobody's."""
        for run in self.runs.values():
            if run.pid == child and not run.reaped:
                return run
        stat = identity.stat(child)
        if stat is None or self._is_released(child):
            return None
        for run in self.runs.values():
            if run.pid in (stat.group, stat.session):
                return run
        # It left its session and was adopted by us: it carries its mark, or names its run.
        mark = marked(child)
        named = None if mark else (environment(child) or {}).get(RUN_ID)
        return next((r for r in self.runs.values() if r.mark == mark != 0 or r.run == named), None)

    def _is_released(self, pid: int) -> bool:
        """Return whether a process was let go, or comes from one that was and still lives."""
        known = self._released.get(pid)
        if known is not None:
            return known[0] == identity.start_time(pid)
        mark = marked(pid) if self._released else 0
        return (
            mark != 0
            and all(run.mark != mark for run in self.runs.values())
            and any(
                mark == other and identity.is_running(number, started)
                for number, (started, other) in self._released.items()
            )
        )


def _group(pid: int) -> int:
    stat = identity.stat(pid)
    return -1 if stat is None else stat.group


def _group_exists(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
