"""The process that all child processes live under, so that none outlives its daemon.

It holds one end of a socket pair whose other end is the daemon's. When that end closes, by
whatever death, it ends every run's processes and exits. On Linux it also adopts what a run
detaches from itself. When this process itself dies, its keeper ends what is left.

This module and those that it imports need the standard library only: it starts fast and stays
small.

A packet is four bytes of length and one JSON object, in both directions:

    spawn  {run, argv, cwd, env, mark} + 3 descriptors  ->  spawned {run, pid, start}
                                                        or  failed {run, stage, errno}
    signal {run, signal}
    end    {run, grace, keep}                           ->  gone {run, left}
    ping   {}                                           ->  pong {}
    until  {at}
                                                            exit {run, status}   (at any time)

A run whose first process has ended, and that left nothing, is gone without being asked to end.

``until`` is a dead-man's switch: a time of the system's monotonic clock at which the supervisor
takes its daemon for dead, unless it is told a later one before. A daemon that is stopped cannot.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import math
import os
import select
import signal
import socket
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from goalfsm.workers.supervisor.identity import LINUX
from goalfsm.workers.supervisor.process_tree import (
    ProcessTree,
    Run,
    limit_for_good,
    mark_children,
    unmark,
)

GIVE_UP_AFTER_S: Final = 10.0
"""How long after SIGKILL a process may take to go before it is reported as left."""

_RECHECK_S: Final = 0.02
PR_SET_CHILD_SUBREAPER: Final = 36
IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
"""What supervisor and keeper do not listen to: they end with their daemon, and only then."""
_DEFAULT_AGAIN: Final = (*IGNORED, signal.SIGCHLD, signal.SIGUSR2, signal.SIGXFSZ)
_FDS: Final = 3


class Supervisor:
    """Spawn, watch and end processes for the daemon at the other end of ``channel``."""

    def __init__(
        self,
        channel: socket.socket,
        grace: float,
        daemon: int,
        mark: int,
        fork_keeper: Callable[[], int],
    ) -> None:
        """Serve ``channel``; give runs ``grace`` seconds after SIGTERM when the daemon dies.

        ``daemon`` is a pidfd of it, -1 where there is none: the closed channel says the same,
        unless somebody else inherited the other end. ``mark`` is our part of the marks.
        """
        self.channel = channel
        self.channel.setblocking(False)  # noqa: FBT003
        self.grace = grace
        self.tree = ProcessTree()
        self.runs = self.tree.runs
        self.received = bytearray()
        self.fds: list[int] = []
        self.unsent = bytearray()
        self.orphaned = False
        self.give_up_at: float | None = None
        self.until: float | None = None
        # In a run of another's, our own mark would be that run's, and so would our keeper's.
        unmark()
        limit_for_good()
        self.mark = mark
        self.fork_keeper = fork_keeper
        self.tree.keep(fork_keeper())
        if LINUX:
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.poller = select.poll()
        self.woken, waker = socket.socketpair()
        for end in (self.woken, waker):
            end.setblocking(False)  # noqa: FBT003
        self.waker = waker
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # A successor of our daemon asks a supervisor that it cannot reach to finish up.
        signal.signal(signal.SIGUSR2, self._told_to_finish)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self.daemon = daemon
        if daemon >= 0:
            self.poller.register(daemon, select.POLLIN)

    def _told_to_finish(self, *_: object) -> None:
        self.orphaned = True

    def serve(self) -> None:
        """Work until the daemon is gone and nothing of its runs is left."""
        self.poller.register(self.channel, select.POLLIN)
        self.poller.register(self.woken, select.POLLIN)
        while True:
            ready = dict(self.poller.poll(self._patience()))
            if self._is_orphaned(ready):
                # Before anything is read: a daemon that died has no more wishes.
                self.orphaned = True
            if self.woken.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self.woken.recv(4096)
            if self.channel.fileno() in ready and not self.orphaned:
                self._receive()
            self._reap()
            if self.orphaned:
                self._end_all()
            for run in [r for r in self.runs.values() if r.deadline is not None]:
                self._advance(run)
            if not self.orphaned:
                self._send()
            elif self._nothing_left():
                if self.tree.keeper:
                    # What was let go is none of its business.
                    os.kill(self.tree.keeper, signal.SIGKILL)
                    os.waitpid(self.tree.keeper, 0)
                return

    def _is_orphaned(self, ready: Mapping[int, int]) -> bool:
        """Tell whether the daemon has died, or has to be taken for dead."""
        if self.until is not None and time.monotonic() >= self.until:
            return True
        return self.daemon in ready or bool(ready.get(self.channel.fileno(), 0) & select.POLLHUP)

    def _patience(self) -> int | None:
        """Return how many milliseconds may pass unless something happens."""
        if self.orphaned or any(r.deadline is not None for r in self.runs.values()):
            return int(_RECHECK_S * 1000)
        if self.until is None:
            return None
        return max(0, math.ceil((self.until - time.monotonic()) * 1000))

    # Talking to the daemon.

    def _receive(self) -> None:
        try:
            data, ancillary, flags, _ = self.channel.recvmsg(
                65536, socket.CMSG_SPACE(_FDS * 4), getattr(socket, "MSG_CMSG_CLOEXEC", 0)
            )
        except BlockingIOError:
            return
        except OSError:
            data, ancillary, flags = b"", [], 0
        if flags & socket.MSG_CTRUNC:
            # No room for all three: whoever sent them hears so.
            self.fds.extend([-1] * _FDS)
            ancillary = _closed(ancillary)
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
        what = packet["do"]
        if what == "ping":
            self._tell(tell="pong")
            return
        if what == "until":
            self.until = packet["at"]
            return
        run = self.runs.get(packet["run"])
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
        stage, number = "run", errno.EEXIST
        try:
            if packet["run"] not in self.runs:
                stage = "cwd"
                os.chdir(packet["cwd"])
                stage = "exec"
                self._start(packet, fds)
                return
        except OSError as error:
            number = error.errno or errno.EINVAL
        except ValueError:
            number = errno.EINVAL
        finally:
            unmark()
            os.chdir("/")
            for fd in fds:
                if fd >= 0:
                    os.close(fd)
        self._tell(tell="failed", run=packet["run"], stage=stage, errno=number)

    def _start(self, packet: dict[str, Any], fds: list[int]) -> None:
        """Start the program here, as cheaply as the system can; OSError when it cannot be."""
        if min(fds) < 0:
            raise OSError(errno.EMFILE, "")
        mark = mark_children(self.mark, packet["mark"])
        argv, env = packet["argv"], packet["env"]
        refused: OSError = FileNotFoundError(errno.ENOENT, "")
        for program in _candidates(argv[0], env):
            try:
                pid = os.posix_spawn(
                    program,
                    argv,
                    env,
                    # Every descriptor of ours is above 2 or one of these, and closes on exec.
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, fd, target) for target, fd in enumerate(fds)
                    ],
                    setsid=True,
                    setsigmask=(),
                    setsigdef=_DEFAULT_AGAIN,
                )
            except (FileNotFoundError, NotADirectoryError) as error:
                if not isinstance(refused, PermissionError):
                    refused = error
            except PermissionError as error:
                refused = error
            else:
                run = self.runs[packet["run"]] = Run(packet["run"], pid, mark)
                self._tell(tell="spawned", run=run.run, pid=pid, start=run.start)
                return
        raise refused

    # Ending.

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.tree.keeper:
                self.tree.keep(0 if self.orphaned else self.fork_keeper())
            run = self.tree.reaped(pid)
            if run is None:
                continue
            self._tell(tell="exit", run=run.run, status=status)
            self._end_strays()
            if not self.tree.members(run):
                self._forget(run, [])

    def _end(self, run: Run, grace: float, keep: list[int]) -> None:
        """Begin to end a run, or hasten an end that has begun."""
        if keep and LINUX:
            self.tree.release(run, keep)
        deadline = time.monotonic() + grace
        if run.deadline is None:
            run.deadline = deadline
            if grace > 0:
                self.tree.signal(run, signal.SIGTERM)
                # A stopped process cannot leave before it goes on.
                self.tree.signal(run, signal.SIGCONT)
        else:
            run.deadline = min(run.deadline, deadline)

    def _advance(self, run: Run) -> None:
        """Kill what is late; report the run as gone when nothing of it is left."""
        left = self.tree.members(run)
        now = time.monotonic()
        if run.reaped and not left:
            self._forget(run, [])
        elif run.deadline is not None and now >= run.deadline:
            if run.killed_at is None:
                run.killed_at = now
            if now - run.killed_at > GIVE_UP_AFTER_S:
                self._forget(run, sorted(left) or [run.pid])
            else:
                self.tree.signal(run, signal.SIGKILL)

    def _end_strays(self) -> int:
        """Kill what hides where it comes from; return how many there were."""
        strays = self.tree.strays()
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return len(strays)

    def _forget(self, run: Run, left: list[int]) -> None:
        del self.runs[run.run]
        self._tell(tell="gone", run=run.run, left=left)

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
        return not self._end_strays()


def _closed(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """Close the descriptors that arrived without their siblings; return what is left: nothing."""
    passed = array("i")
    for _, _, payload in ancillary:
        passed.frombytes(payload[: len(payload) // 4 * 4])
    for fd in passed:
        os.close(fd)
    return []


def _candidates(program: str, env: Mapping[str, str]) -> Iterator[str]:
    """Yield where a program may be, in the order of the PATH that it will have itself."""
    if "/" in program:
        yield program
        return
    for place in env.get("PATH", os.defpath).split(os.pathsep):
        path = f"{place}/{program}" if place else f"./{program}"
        if os.path.lexists(path):
            yield path
