"""The process that all child processes live under, so that none outlives its daemon.

It holds one end of a socket pair whose other end is the daemon's. When that end closes, by
whatever death, it ends every run's processes and exits. On Linux it also adopts what a run
detaches from itself, and its direct children die with it.

This file is a program of its own: it imports the standard library only, so that it starts fast
and stays small, and so that it can be run by path (``python -I -S supervisor.py FD GRACE``).

A packet is four bytes of length and one JSON object, in both directions:

    spawn  {run, argv, cwd, env} + 3 descriptors   ->  spawned {run, pid, start}
                                                    or  failed {run, stage, errno}
    signal {run, signal}
    end    {run, grace, keep}                       ->  gone {run, left}
                                                        exit {run, status}   (at any time)
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import functools
import json
import os
import select
import signal
import socket
import sys
import time
from array import array
from typing import Any, Final

MAX_PACKET: Final = 16 * 1024 * 1024
GIVE_UP_AFTER_S: Final = 10.0
"""How long after SIGKILL a process may take to go before it is reported as left."""
RUN_ID: Final = "GOALFSM_RUN_ID"

_RECHECK_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_LINUX: Final = sys.platform == "linux"
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
_FDS: Final = 3


def start_time(pid: int) -> str:
    """Return what tells this process from any other with the same pid, "" when it is gone.

    Also "" where the system has no /proc. A zombie is gone.
    """
    stat = _stat(pid)
    return "" if stat is None or stat[0] in "ZX" else f"{_boot_id()}/{stat[4]}"


@functools.cache
def _boot_id() -> str:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        return file.read().strip()


def _stat(pid: int) -> tuple[str, int, int, int, int] | None:
    """Return state, parent, group, session and start (in ticks since boot) of a process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - pathlib is slow to import
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[2]), int(fields[3]), int(fields[19])


def _children(pid: int) -> list[int]:
    """Return the direct children of a process, those of all its threads."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    return found


def _environment_run(pid: int) -> str | None:
    """Return the run that a process's environment names, None when it names none."""
    prefix = RUN_ID.encode() + b"="
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
        for item in file.read().split(b"\0"):
            if item.startswith(prefix):
                return os.fsdecode(item[len(prefix) :])
    return None


class _Run:
    """One run: its first process leads a session and a process group of its own."""

    __slots__ = ("deadline", "errors", "killed_at", "pid", "reaped", "run", "spread", "start")

    def __init__(self, run: str, pid: int, errors: int) -> None:
        self.run = run
        self.pid = pid
        self.errors = errors  # Closes when the program starts, says why when it does not.
        # Not reaped yet, so it is there, though it may be a zombie already.
        stat = _stat(pid)
        self.start = "" if stat is None else f"{_boot_id()}/{stat[4]}"
        self.reaped = False
        self.spread = False  # The group outlived its leader (where that is all we can know).
        self.deadline: float | None = None  # When to kill; None = nobody asked for its end.
        self.killed_at: float | None = None


class Supervisor:
    """Spawn, watch and end processes for the daemon at the other end of ``channel``."""

    def __init__(self, channel: socket.socket, grace: float) -> None:
        """Serve ``channel``; give runs ``grace`` seconds after SIGTERM when the daemon dies."""
        self.channel = channel
        self.channel.setblocking(False)  # noqa: FBT003
        self.grace = grace
        self.runs: dict[str, _Run] = {}
        self.released: dict[int, str] = {}
        self.received = bytearray()
        self.fds: list[int] = []
        self.unsent = bytearray()
        self.orphaned = False
        self.give_up_at: float | None = None
        self.libc = ctypes.CDLL(None, use_errno=True) if _LINUX else None
        if self.libc is not None:
            self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.poller = select.poll()
        self.woken, waker = socket.socketpair()
        for end in (self.woken, waker):
            end.setblocking(False)  # noqa: FBT003
        self.waker = waker
        for number in _IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A successor of our daemon asks a supervisor that it cannot reach to finish up.
        signal.signal(signal.SIGUSR2, self._told_to_finish)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self.daemon = self._watch_daemon()

    def _told_to_finish(self, *_: object) -> None:
        self.orphaned = True

    def _watch_daemon(self) -> int:
        """Return a descriptor that reports the daemon's death, -1 where there is none.

        The closed channel says the same, unless somebody else inherited the other end.
        """
        parent = os.getppid()
        try:
            watch = os.pidfd_open(parent)
        except (AttributeError, OSError):
            return -1
        if os.getppid() != parent:
            self.orphaned = True
        self.poller.register(watch, select.POLLIN)
        return watch

    def serve(self) -> None:
        """Work until the daemon is gone and nothing of its runs is left."""
        self.poller.register(self.channel, select.POLLIN)
        self.poller.register(self.woken, select.POLLIN)
        while True:
            ready = dict(self.poller.poll(self._patience()))
            if self.daemon in ready or ready.get(self.channel.fileno(), 0) & select.POLLHUP:
                # Before anything is read: a daemon that died has no more wishes.
                self.orphaned = True
            if self.woken.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self.woken.recv(4096)
            if self.channel.fileno() in ready and not self.orphaned:
                self._receive()
            for run in [r for r in self.runs.values() if r.errors in ready]:
                self._started(run)
            self._reap()
            if self.orphaned:
                self._end_all()
            for run in [r for r in self.runs.values() if r.deadline is not None]:
                self._advance(run)
            if not self.orphaned:
                self._send()
            elif self._nothing_left():
                return

    def _patience(self) -> int | None:
        """Return how many milliseconds may pass unless something happens."""
        ending = self.orphaned or any(r.deadline is not None for r in self.runs.values())
        return int(_RECHECK_S * 1000) if ending else None

    # Talking to the daemon.

    def _receive(self) -> None:
        try:
            data, ancillary, _, _ = self.channel.recvmsg(
                65536, socket.CMSG_SPACE(_FDS * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                passed = array("i")
                passed.frombytes(payload[: len(payload) // 4 * 4])
                self.fds.extend(passed)
        if not data:
            self.orphaned = True
            return
        self.received += data
        while len(self.received) >= 4:  # noqa: PLR2004 - the length of a length
            size = int.from_bytes(self.received[:4], "big")
            if len(self.received) < 4 + size:
                break
            packet = json.loads(self.received[4 : 4 + size])
            del self.received[: 4 + size]
            self._obey(packet)

    def _obey(self, packet: dict[str, Any]) -> None:
        run = self.runs.get(packet["run"])
        what = packet["do"]
        if what == "spawn":
            self._spawn(packet)
        elif what == "signal" and run is not None and not run.reaped:
            with contextlib.suppress(OSError):
                os.killpg(run.pid, packet["signal"])
        elif what == "end":
            if run is None:
                self._tell(tell="gone", run=packet["run"], left=[])
            else:
                self._end(run, packet["grace"], packet["keep"])

    def _tell(self, **packet: object) -> None:
        data = json.dumps(packet).encode()
        self.unsent += len(data).to_bytes(4, "big") + data

    def _send(self) -> None:
        while self.unsent:
            try:
                del self.unsent[: self.channel.send(self.unsent)]
            except BlockingIOError:
                break
            except OSError:
                self.orphaned = True
                return
        wanted = select.POLLIN | (select.POLLOUT if self.unsent else 0)
        self.poller.modify(self.channel, wanted)

    # Starting.

    def _spawn(self, packet: dict[str, Any]) -> None:
        fds, self.fds = self.fds[:_FDS], self.fds[_FDS:]
        if packet["run"] in self.runs:
            self._tell(tell="failed", run=packet["run"], stage="run", errno=errno.EEXIST)
        else:
            try:
                self._fork(packet, fds)
            except OSError as error:
                self._tell(tell="failed", run=packet["run"], stage="fork", errno=error.errno)
        for fd in fds:
            os.close(fd)

    def _fork(self, packet: dict[str, Any], fds: list[int]) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        supervisor = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            os.close(reader)
            os.close(writer)
            raise
        if pid == 0:
            self._become(packet, fds, writer, supervisor)
        os.close(writer)
        self.runs[packet["run"]] = _Run(packet["run"], pid, reader)
        self.poller.register(reader, select.POLLIN)

    def _become(self, packet: dict[str, Any], fds: list[int], errors: int, supervisor: int) -> None:
        """Be the child: never return, report why the program did not start."""
        stage = "setup"
        try:
            signal.set_wakeup_fd(-1)
            for number in (*_IGNORED, signal.SIGCHLD, signal.SIGUSR2, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            os.setsid()
            if self.libc is not None:
                self.libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
                if os.getppid() != supervisor:
                    os._exit(127)
            # Every descriptor of ours is above 2 or one of these, and closes on exec.
            for target, fd in enumerate(fds):
                os.dup2(fd, target)
            stage = "cwd"
            if packet["cwd"] is not None:
                os.chdir(packet["cwd"])
            stage = "exec"
            os.execvpe(packet["argv"][0], packet["argv"], packet["env"])  # noqa: S606
        except OSError as error:
            os.write(errors, f"{stage} {error.errno}".encode())
        except Exception:  # noqa: BLE001 - whatever it is, the child must not go on
            os.write(errors, f"{stage} {errno.EINVAL}".encode())
        finally:
            os._exit(127)

    def _started(self, run: _Run) -> None:
        """Read whether the program runs: the pipe closes on exec, or says why not."""
        try:
            said = os.read(run.errors, 100)
        except BlockingIOError:
            return
        self.poller.unregister(run.errors)
        os.close(run.errors)
        run.errors = -1
        if not said:
            self._tell(tell="spawned", run=run.run, pid=run.pid, start=run.start)
            return
        stage, _, number = said.decode().partition(" ")
        self._tell(tell="failed", run=run.run, stage=stage, errno=int(number))
        if not run.reaped:
            os.waitpid(run.pid, 0)
        del self.runs[run.run]

    # Ending.

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.released.pop(pid, None)
            run = next((r for r in self.runs.values() if r.pid == pid and not r.reaped), None)
            if run is None:
                continue
            run.reaped = True
            run.spread = not _LINUX and self._group_exists(pid)
            if run.errors >= 0:
                self._started(run)
            if run.run in self.runs:
                self._tell(tell="exit", run=run.run, status=status)

    @staticmethod
    def _group_exists(pgid: int) -> bool:
        try:
            os.killpg(pgid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def _end(self, run: _Run, grace: float, keep: list[int]) -> None:
        """Begin to end a run, or hasten an end that has begun."""
        if keep and _LINUX:
            members = self._members(run)
            self.released.update({p: start_time(p) for p in keep if p in members})
        deadline = time.monotonic() + grace
        if run.deadline is None:
            run.deadline = deadline
            if grace > 0:
                self._signal_all(run, signal.SIGTERM)
                # A stopped process cannot leave before it goes on.
                self._signal_all(run, signal.SIGCONT)
        else:
            run.deadline = min(run.deadline, deadline)

    def _advance(self, run: _Run) -> None:
        """Kill what is late; report the run as gone when nothing of it is left."""
        left = self._members(run)
        now = time.monotonic()
        if run.reaped and not left:
            self._forget(run, [])
        elif run.deadline is not None and now >= run.deadline:
            if run.killed_at is None:
                run.killed_at = now
            if now - run.killed_at > GIVE_UP_AFTER_S:
                self._forget(run, sorted(left) or [run.pid])
            else:
                self._signal_all(run, signal.SIGKILL)

    def _forget(self, run: _Run, left: list[int]) -> None:
        if run.errors >= 0:
            self.poller.unregister(run.errors)
            os.close(run.errors)
        del self.runs[run.run]
        self._tell(tell="gone", run=run.run, left=left)

    def _signal_all(self, run: _Run, number: int) -> None:
        """Send a signal to the run's group at once, and to what left the group."""
        members = self._members(run)
        in_group = {pid for pid, group in members.items() if group == run.pid}
        spared = any(self._group(pid) == run.pid for pid in self.released)
        if not spared and (not run.reaped or in_group or run.spread):
            with contextlib.suppress(OSError):
                os.killpg(run.pid, number)
        else:
            in_group = set()
        for pid in members.keys() - in_group:
            with contextlib.suppress(OSError):
                os.kill(pid, number)

    @staticmethod
    def _group(pid: int) -> int:
        stat = _stat(pid)
        return -1 if stat is None else stat[2]

    def _members(self, run: _Run) -> dict[int, int]:
        """Return the live processes of a run with their groups."""
        if not _LINUX:
            if run.reaped and not (run.spread and self._group_exists(run.pid)):
                return {}
            return {run.pid: run.pid}
        found: dict[int, int] = {}
        for child in _children(os.getpid()):
            if self._owner(child) is run:
                self._collect(child, found)
        return found

    def _owner(self, child: int) -> _Run | None:
        """Return the run that a direct child of ours belongs to, None when it is nobody's."""
        for run in self.runs.values():
            if run.pid == child and not run.reaped:
                return run
        stat = _stat(child)
        if stat is None or self._is_released(child):
            return None
        for run in self.runs.values():
            if run.pid in stat[2:4]:
                return run
        # It left its session and was adopted by us: its environment says where it comes from.
        named = _environment_run(child)
        if named is not None:
            return self.runs.get(named)
        # It also cleaned its environment. With a single run there is no doubt.
        return next(iter(self.runs.values())) if len(self.runs) == 1 else None

    def _is_released(self, pid: int) -> bool:
        return pid in self.released and self.released[pid] == start_time(pid)

    def _collect(self, pid: int, found: dict[int, int]) -> None:
        """Add a process and its descendants, without zombies and what was released."""
        pending = [pid]
        while pending:
            each = pending.pop()
            stat = _stat(each)
            if stat is None or each in found or self._is_released(each):
                continue
            if stat[0] not in "ZX":
                found[each] = stat[2]
            pending += _children(each)

    def _end_all(self) -> None:
        """Begin to end every run, because the daemon is gone; later calls change nothing."""
        if self.give_up_at is None:
            self.give_up_at = time.monotonic() + self.grace + 2 * GIVE_UP_AFTER_S
            # They would report the same for ever.
            for fd in (self.channel.fileno(), self.daemon):
                if fd >= 0:
                    self.poller.unregister(fd)
        for run in self.runs.values():
            self._end(run, self.grace, [])

    def _nothing_left(self) -> bool:
        """Kill what no run claims; True when there is nothing more to do."""
        self.unsent.clear()
        if self.give_up_at is not None and time.monotonic() > self.give_up_at:
            return True
        if self.runs:
            return False
        strays: dict[int, int] = {}
        if _LINUX:
            for child in _children(os.getpid()):
                self._collect(child, strays)
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return not strays


def main(argv: list[str]) -> int:
    """Serve the socket whose descriptor is the first argument; the second is the grace."""
    fd, grace = int(argv[1]), float(argv[2])
    # It had to be inherited once; a worker that held it would pass for the daemon.
    os.set_inheritable(fd, False)  # noqa: FBT003
    with contextlib.suppress(PermissionError):
        os.setsid()
    Supervisor(socket.socket(fileno=fd), grace).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
