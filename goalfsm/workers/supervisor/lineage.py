"""Which live processes belong to which run: a run's first process and all that come from it.

The supervisor is started with this module, so it imports the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from typing import Final

from goalfsm.workers.supervisor import proc

RUN_ID: Final = "GOALFSM_RUN_ID"
"""Names, in the environment of a run's processes, the run."""
LINUX: Final = sys.platform == "linux"


class Run:
    """One run: its first process leads a session and a process group of its own."""

    __slots__ = ("deadline", "errors", "killed_at", "pid", "reaped", "run", "spread", "start")

    def __init__(self, run: str, pid: int, errors: int) -> None:
        """Look after ``run``, whose first process has been forked as ``pid``."""
        self.run = run
        self.pid = pid
        self.errors = errors  # Closes when the program starts, says why when it does not.
        # Not reaped yet, so it is there, though it may be a zombie already.
        self.start = proc.begun(pid)
        self.reaped = False
        self.spread = False  # The group outlived its leader (where that is all we can know).
        self.deadline: float | None = None  # When to kill; None = nobody asked for its end.
        self.killed_at: float | None = None


class Lineage:
    """The runs of this process, with what descends from them."""

    def __init__(self) -> None:
        """Begin without runs."""
        self.runs: dict[str, Run] = {}
        self._released: dict[int, str] = {}

    def release(self, run: Run, pids: Iterable[int]) -> None:
        """Let go of these processes of a run: they are nobody's, and nothing ends them."""
        members = self.members(run)
        self._released.update({pid: proc.start_time(pid) for pid in pids if pid in members})

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
        for child in proc.children(os.getpid()):
            if self._owner(child) is run:
                self._collect(child, found)
        return found

    def strays(self) -> dict[int, int]:
        """Return all that lives under this process, with their groups."""
        found: dict[int, int] = {}
        if LINUX:
            for child in proc.children(os.getpid()):
                self._collect(child, found)
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
        stat = proc.stat(child)
        if stat is None or self._is_released(child):
            return None
        for run in self.runs.values():
            if run.pid in (stat.group, stat.session):
                return run
        # It left its session and was adopted by us: its environment says where it comes from.
        named = proc.variable(child, RUN_ID)
        if named is not None:
            return self.runs.get(named)
        # It also cleaned its environment. With a single run there is no doubt.
        return next(iter(self.runs.values())) if len(self.runs) == 1 else None

    def _is_released(self, pid: int) -> bool:
        return pid in self._released and self._released[pid] == proc.start_time(pid)

    def _collect(self, pid: int, found: dict[int, int]) -> None:
        """Add a process and its descendants, without zombies and what was released."""
        pending = [pid]
        while pending:
            each = pending.pop()
            stat = proc.stat(each)
            if stat is None or each in found or self._is_released(each):
                continue
            if not stat.zombie:
                found[each] = stat.group
            pending += proc.children(each)


def _group(pid: int) -> int:
    stat = proc.stat(pid)
    return -1 if stat is None else stat.group


def _group_exists(pgid: int) -> bool:
    try:
        os.killpg(pgid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
