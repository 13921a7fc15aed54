"""Find and end what is left of the runs of a daemon that died together with its supervisor.

A process belongs to a run when it carries the run's mark, when its environment says so, when it
descends from one that does, or when it is in the session that the run's recorded first process
led. All calls block.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

import msgspec
import psutil

from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.process import GIVE_UP_AFTER_S, PR_SET_CHILD_SUBREAPER
from goalfsm.workers.supervisor.process_tree import (
    DATABASE,
    RUN_ID,
    SUPERVISOR_OF,
    children,
    descendants,
    is_limited,
    mark_of,
    marked,
    run_part,
    same_database,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

VERIFY_PREFIX: Final = "verify-"
"""Begins the run ids of verifiers, which nobody records: they are orphans with their daemon."""

_SUPERVISOR_PATIENCE_S: Final = 2.0
_PATIENCE_S: Final = 15.0
"""How long processes are sent signals before what is left of them is only told."""
_LOOK_EVERY_S: Final = 0.005
_adopting: Final = threading.Event()
"""Whether `adopt_orphans` was called in this process."""


class RecordedRun(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded of a run when it was spawned; see `Spawned`."""

    run_id: str
    pid: int
    pgid: int
    start_time: str


class Orphans(msgspec.Struct, frozen=True, kw_only=True):
    """The processes that were ended, and those that are still there after the timeout."""

    ended: tuple[int, ...] = ()
    left: tuple[int, ...] = ()


def end_orphans(
    db: str,
    run_ids: Collection[str],
    *,
    recorded: Iterable[RecordedRun] = (),
    own_supervisor: int | None = None,
) -> Orphans:
    """End every process of these runs of ``db``, and confirm that they are gone.

    Only the database's owner may call this, before it dispatches anything for these runs.
    Other supervisors of the same database are ended first, so that none starts anything
    more; ``own_supervisor`` is the one to leave alone. Calling again is
    harmless.
    """
    search = _Search(db, run_ids, tuple(recorded), own_supervisor)
    begun = time.monotonic()
    ended: set[int] = set()
    _end_supervisors(search, ended, begun + _PATIENCE_S)
    while found := search.members():
        for process in found:
            ended.add(process.pid)
            _send(process, signal.SIGKILL)
        _wait(found, 1.0)
        if time.monotonic() - begun > _PATIENCE_S:
            break
    left = {process.pid for process in found}
    return Orphans(ended=tuple(sorted(ended - left)), left=tuple(sorted(left)))


def adopt_orphans() -> None:
    """Become the parent of what a supervisor of this process leaves when it is killed (Linux).

    For a program that starts nothing in a session of its own but supervisors: whatever else of
    that sort becomes its child is taken for a run's, and ended by `end_adopted`.
    """
    if identity.LINUX:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _adopting.set()


def end_adopted(supervisors: Collection[int]) -> None:
    """Kill what this process has adopted, which its ``supervisors`` are not; blocks until gone."""
    give_up = time.monotonic() + GIVE_UP_AFTER_S
    while _adopting.is_set() and time.monotonic() < give_up:
        found = {
            pid
            for pid in children(os.getpid())
            if pid not in supervisors and _session(pid) not in {-1, os.getsid(0)}
        }
        if not found:
            return
        for pid in found.union(*map(descendants, found)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_EVERY_S)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _end_supervisors(search: _Search, ended: set[int], deadline: float) -> None:
    """Let abandoned supervisors finish their work; kill one that does not."""
    stubborn = signal.SIGUSR2
    while time.monotonic() < deadline and (found := search.supervisors()):
        for process in found:
            ended.add(process.pid)
            _send(process, stubborn)
        _wait(found, _SUPERVISOR_PATIENCE_S)
        stubborn = signal.SIGKILL


def _wait(found: Collection[psutil.Process], seconds: float) -> None:
    """Return when all are gone, or zombies, whose parents may never collect them."""
    deadline = time.monotonic() + seconds
    while any(_lives(process) for process in found) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)


def _send(process: psutil.Process, number: int) -> None:
    # It has gone meanwhile, or is nobody's to end; the next look tells.
    with contextlib.suppress(psutil.Error):
        process.send_signal(number)


class _Search:
    """One look for processes by what names them."""

    def __init__(
        self,
        db: str,
        run_ids: Collection[str],
        recorded: tuple[RecordedRun, ...],
        own_supervisor: int | None,
    ) -> None:
        self.db = same_database(db)
        self.run_ids = frozenset(run_ids)
        self.recorded = recorded
        self.own = own_supervisor
        self.me = os.getpid()

    def supervisors(self) -> list[psutil.Process]:
        """Return the database's supervisors, without our own."""
        if not self.db:
            return []
        return [
            process
            for process, environment in _environments()
            if environment.get(SUPERVISOR_OF) == self.db
            and not self._is_own(process)
            and "supervisor" in " ".join(_command(process))
        ]

    def members(self) -> list[psutil.Process]:
        """Return what lives of the runs."""
        found: dict[int, psutil.Process] = {}
        spared = self._own_descendants() | {self.me}
        sessions, doubtful = self._sessions(), self._sessions(other_boot=True)
        marks = {mark_of(self.db, run_id) for run_id in self.run_ids}
        for process, environment in _environments():
            if (
                self._named(environment, process.pid in spared)
                or _session(process.pid) in sessions
                or (_session(process.pid) in doubtful and self._hides(process.pid, environment))
                or run_part(marked(process.pid)) in marks
            ):
                found[process.pid] = process
                with contextlib.suppress(psutil.Error):
                    found.update({p.pid: p for p in process.children(recursive=True)})
        return [p for pid, p in found.items() if pid != self.me and _lives(p)]

    def _named(self, environment: dict[str, str], spared: bool) -> bool:  # noqa: FBT001
        run = environment.get(RUN_ID, "")
        if same_database(environment.get(DATABASE, "")) != self.db:
            return False
        verifier = bool(self.db) and run.startswith(VERIFY_PREFIX) and not spared
        return run in self.run_ids or verifier

    @staticmethod
    def _hides(pid: int, environment: dict[str, str]) -> bool:
        """Tell whether a process comes from some run, and says of none that it is its own."""
        return is_limited(pid) and not marked(pid) and RUN_ID not in environment

    def _sessions(self, *, other_boot: bool = False) -> frozenset[int]:
        """Return the recorded sessions that can still be the recorded ones.

        While a session has members, no new process gets its number. So a process with that
        number and another start time means that the session is gone.

        Those of another boot are gone in truth, unless it was told a false one: of them a process
        must come from a run besides.
        """
        boot, found = identity.boot_id(), set()
        for run in self.recorded:
            recorded, start = identity.parts_of(run.start_time)
            if run.run_id in self.run_ids and (recorded != boot) is other_boot:
                now = identity.start_time(run.pid)
                if not now or identity.parts_of(now)[1] == start:
                    found.add(run.pid)
        return frozenset(found)

    def _is_own(self, process: psutil.Process) -> bool:
        """Tell whether it is our own supervisor, or its keeper: it may fork that one just now."""
        try:
            return self.own in {process.pid, process.ppid()}
        except psutil.Error:
            return False

    def _own_descendants(self) -> set[int]:
        if self.own is None:
            return set()
        try:
            return {p.pid for p in psutil.Process(self.own).children(recursive=True)}
        except psutil.Error:
            return set()


def _environments() -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield this user's other processes with their environments."""
    user = os.getuid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.uids().real == user and process.pid != os.getpid():
                yield process, process.environ()


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
