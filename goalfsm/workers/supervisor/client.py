"""The daemon's side of the supervisor: spawn, signal and end processes that die with us."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from goalfsm.errors import GoalError
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.launching import ended, launch, launched
from goalfsm.workers.supervisor.orphans import (
    RecordedRun,
    end_adopted,
    end_orphans,
)
from goalfsm.workers.supervisor.packets import Packets
from goalfsm.workers.supervisor.process import GIVE_UP_AFTER_S
from goalfsm.workers.supervisor.process_tree import (
    DATABASE,
    RUN_ID,
    mark_of,
    same_database,
)
from goalfsm.workers.supervisor.spawning import spawn_error

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

_T = TypeVar("_T")

PING_EVERY_S: Final = 1.0
"""How often a supervisor that looks after runs is asked whether it is there."""
SILENT_PINGS: Final = 10
"""So many questions without an answer, and a supervisor counts as dead."""
STOPPED_PINGS: Final = 2
"""The same for one that somebody has stopped: it will not answer."""


class Child:
    """A run's first process; it leads the process group ``pgid`` and a session."""

    __slots__ = ("exited", "pgid", "pid", "run_id", "start_time")

    def __init__(self, run_id: str, pid: int, start_time: str) -> None:
        """Remember the process; its end is not known yet."""
        self.run_id = run_id
        self.pid = pid
        self.pgid = pid
        self.start_time = start_time
        self.exited: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        """The wait status (`os.waitstatus_to_exitcode`); None when the supervisor died."""


class _SpawnFailed(Exception):
    def __init__(self, stage: str, errno: int) -> None:
        super().__init__(stage, errno)
        self.stage = stage
        self.errno = errno


class Supervisor:
    """The supervisor process as the daemon sees it.

    When it dies, its runs are ended (`Child.exited` says None), and the next `spawn` starts
    another one, after what the first left behind is gone. One that was stopped, or does not
    answer any more, counts as dead and is killed. Start it before other threads, and
    after the daemon has detached itself from its terminal: it watches this very process.
    """

    def __init__(self, *, db: str = "", grace_s: float = 0.0) -> None:
        """Look after runs of ``db``; when the daemon dies they have ``grace_s`` to leave."""
        self._db = same_database(db)
        self._grace = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._packets: Packets | None = None
        self._starting: dict[str, asyncio.Future[Child]] = {}
        self._children: dict[str, Child] = {}
        self._ending: dict[str, asyncio.Future[tuple[int, ...]]] = {}
        self._left: dict[str, tuple[int, ...]] = {}
        self._cleaning: asyncio.Task[None] | None = None
        self._closed = False
        self._pulse: asyncio.TimerHandle | None = None
        self._unanswered = 0
        self._until: float | None = None

    @classmethod
    async def start(cls, *, db: str = "", grace_s: float = 0.0) -> Self:
        """Return a running supervisor for the runs of ``db``."""
        self = cls(db=db, grace_s=grace_s)
        self._launch()
        return self

    @property
    def pid(self) -> int | None:
        """Return the supervisor's process id, None while there is none."""
        return None if self._process is None else self._process.pid

    @property
    def runs(self) -> frozenset[str]:
        """Return the runs that are not known to be gone."""
        return frozenset(self._children) | frozenset(self._starting)

    def first_process(self, run_id: str) -> tuple[int, str] | None:
        """Return pid and start of the process that a run was started with, None of no live run."""
        child = self._children.get(run_id)
        return None if child is None else (child.pid, child.start_time)

    def run_above(self, chain: Iterable[tuple[int, str]]) -> str:
        """Return the live run of the first process in ``chain`` that one was started with, or "".

        Processes are named by pid and start.
        """
        runs = {(child.pid, child.start_time): child.run_id for child in self._children.values()}
        return next((runs[each] for each in chain if each in runs), "")

    async def spawn(  # noqa: PLR0913 - what a process is made of
        self,
        run_id: str,
        argv: Sequence[str],
        *,
        cwd: str | None,
        env: Mapping[str, str],
        stdin: int,
        stdout: int,
        stderr: int,
    ) -> Child:
        """Start a program in a process group of its own, on copies of these descriptors.

        Raises SpawnError when it cannot be started, GoalError when there is no supervisor.
        ``run_id`` goes into its environment, by which it can be found again.
        The caller ends every child with `end`, also one that has exited.
        """
        if self._closed:
            raise GoalError("the supervisor of worker processes is closed", code="closed")
        if run_id in self._children or run_id in self._starting:
            raise GoalError(f"run {run_id} is already under way", code="run_exists")
        if self._cleaning is not None:
            await asyncio.shield(self._cleaning)
        if self._packets is None:
            self._launch()
        answer: asyncio.Future[Child] = asyncio.get_running_loop().create_future()
        self._starting[run_id] = answer
        # What finds a process again when everything that knew of it is dead.
        marked = {DATABASE: self._db, **env, RUN_ID: run_id}
        place = os.path.abspath(cwd or os.curdir)  # noqa: ASYNC240, PTH100 - no link is followed
        packet = {
            "do": "spawn",
            "run": run_id,
            "argv": list(argv),
            "cwd": place,
            "env": marked,
            "mark": mark_of(self._db, run_id),
        }
        self._beat()
        try:
            self._send(packet, (stdin, stdout, stderr))
        except OSError as error:
            del self._starting[run_id]
            raise spawn_error("fork", error.errno or 0, argv, cwd) from None
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            # Nobody will know of it, so it must not run.
            answer.add_done_callback(lambda done: done.cancelled() or done.exception())
            self.end_soon(run_id)
            raise
        except _SpawnFailed as refused:
            raise spawn_error(refused.stage, refused.errno, argv, cwd) from None

    def until(self, at: float) -> None:
        """Have every process ended at a time of `time.monotonic`, unless told a later one before.

        So a daemon that is stopped, and cannot say so, leaves no process beyond that time.
        """
        self._until = at
        self._send({"do": "until", "at": at})

    def signal(self, run_id: str, number: int) -> None:
        """Send a signal to a run's process group, if its first process is still there."""
        self._send({"do": "signal", "run": run_id, "signal": int(number)})

    def end_soon(
        self, run_id: str, *, grace_s: float = 0.0, keep: Collection[int] = ()
    ) -> asyncio.Future[tuple[int, ...]]:
        """Ask for the end of a run without waiting; see `end`."""
        known = self._ending.get(run_id)
        if run_id not in self._children and run_id not in self._starting:
            if known is None:
                known = asyncio.get_running_loop().create_future()
                known.set_result(self._left.pop(run_id, ()))
            return known
        if known is None:
            known = self._ending[run_id] = asyncio.get_running_loop().create_future()
        packet = {"do": "end", "run": run_id, "grace": grace_s, "keep": sorted(keep)}
        self._send(packet)
        return known

    async def end(
        self, run_id: str, *, grace_s: float = 0.0, keep: Collection[int] = ()
    ) -> tuple[int, ...]:
        """End all processes of a run and return when they are gone, with those that are not.

        They get SIGTERM and ``grace_s`` seconds, then SIGKILL. The processes in ``keep``,
        with their descendants, are let go instead. Calling again can only shorten the grace.
        """
        return await asyncio.shield(self.end_soon(run_id, grace_s=grace_s, keep=keep))

    async def close(self) -> None:
        """End every run and the supervisor; return when they are gone."""
        self._closed = True
        if self._cleaning is not None:
            await asyncio.shield(self._cleaning)
        process, self._process = self._process, None
        self._disconnect()
        if process is not None and not await ended(process, self._grace + 2 * GIVE_UP_AFTER_S):
            await self._clean()
        self._settle()

    def _launch(self) -> None:
        self._process, ours = launch(self._db, self._grace)
        self._packets = Packets(ours, self._heard, self._lost)
        self._unanswered = 0
        if self._until is not None:
            self._send({"do": "until", "at": self._until})

    # Packets.

    def _send(self, packet: Mapping[str, Any], fds: tuple[int, ...] = ()) -> None:
        if self._packets is not None:
            self._packets.send(packet, fds)

    def _heard(self, packet: Mapping[str, Any]) -> None:
        self._unanswered = 0
        run_id = packet.get("run", "")
        match packet["tell"]:
            case "spawned":
                started = packet["start"] or identity.start_time(packet["pid"])
                child = self._children[run_id] = Child(run_id, packet["pid"], started)
                _resolve(self._starting.pop(run_id), child)
            case "failed":
                answer = self._starting.pop(run_id)
                if not answer.done():
                    answer.set_exception(_SpawnFailed(packet["stage"], packet["errno"]))
                if (ending := self._ending.pop(run_id, None)) is not None:
                    _resolve(ending, ())
            case "exit":
                if (child_ := self._children.get(run_id)) is not None:
                    _resolve(child_.exited, packet["status"])
            case "gone":
                self._gone(run_id, tuple(packet["left"]))

    def _gone(self, run_id: str, left: tuple[int, ...]) -> None:
        if left:
            # Whoever asks again must hear it again.
            self._left[run_id] = left
        if (answer := self._starting.pop(run_id, None)) is not None and not answer.done():
            answer.set_exception(_SpawnFailed("exec", errno.ETIMEDOUT))
        child = self._children.pop(run_id, None)
        if child is not None:
            _resolve(child.exited, None)
        if (ending := self._ending.pop(run_id, None)) is not None:
            _resolve(ending, left)

    # The supervisor's pulse: while it has runs it is asked whether it is there.

    def _beat(self) -> None:
        if self._pulse is None:
            self._pulse = asyncio.get_running_loop().call_later(PING_EVERY_S, self._ping)

    def _ping(self) -> None:
        """Ask again, or give a silent one up; what it says at all counts as an answer."""
        self._pulse = None
        if self._packets is None or not self.runs:
            return
        if self._unanswered >= SILENT_PINGS or (
            self._unanswered >= STOPPED_PINGS and self._is_stopped()
        ):
            self._lost()
            return
        self._unanswered += 1
        self._send({"do": "ping"})
        self._beat()

    def _is_stopped(self) -> bool:
        found = None if (pid := self.pid) is None else identity.stat(pid)
        return found is not None and found.stopped

    # The supervisor's death.

    def _disconnect(self) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            self._pulse = None
        if self._packets is not None:
            self._packets.close()
            self._packets = None

    def _lost(self) -> None:
        self._disconnect()
        process, self._process = self._process, None
        self._cleaning = asyncio.get_running_loop().create_task(self._bury(process))

    async def _bury(self, process: subprocess.Popen[bytes] | None) -> None:
        """End a supervisor that is dead or counts as dead, and all that it looked after."""
        try:
            if process is not None:
                await ended(process, 0.0)
            await self._clean()
        finally:
            self._cleaning = None
            self._settle()

    async def _clean(self) -> None:
        """End what neither the supervisor nor its keeper could end."""
        await asyncio.to_thread(end_adopted, launched())
        recorded = [
            RecordedRun(run_id=c.run_id, pid=c.pid, pgid=c.pgid, start_time=c.start_time)
            for c in self._children.values()
        ]
        # One after the other, so that what is left is known run by run.
        for run_id in self.runs:
            own = [run for run in recorded if run.run_id == run_id]
            found = await asyncio.to_thread(end_orphans, self._db, {run_id}, recorded=own)
            if found.left:
                self._left[run_id] = found.left

    def _settle(self) -> None:
        """Answer everybody who waits for a run that no supervisor looks after any more."""
        for answer in self._starting.values():
            if not answer.done():
                answer.set_exception(_SpawnFailed("lost", errno.EPIPE))
        self._starting.clear()
        for run_id in [*self._children, *self._ending]:
            self._gone(run_id, self._left.get(run_id, ()))


def _resolve(future: asyncio.Future[_T], value: _T) -> None:
    if not future.done():
        future.set_result(value)
