"""The process that all child processes live under, so that none outlives its daemon.

It holds one end of a socket pair whose other end is the daemon's. When that end closes, by
whatever death, it ends every run's processes and exits. On Linux it also adopts what a run
detaches from itself, and its direct children die with it.

`main` is a program of its own, for an interpreter without site-packages (``python -I -S``): this
module and those that it imports need the standard library only, so that it starts fast and stays
small.

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
import json
import os
import select
import signal
import socket
import time
from array import array
from typing import Any, Final

from goalfsm.workers.supervisor.lineage import LINUX, Lineage, Run

GIVE_UP_AFTER_S: Final = 10.0
"""How long after SIGKILL a process may take to go before it is reported as left."""

_RECHECK_S: Final = 0.02
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE)
_FDS: Final = 3


class Supervisor:
    """Spawn, watch and end processes for the daemon at the other end of ``channel``."""

    def __init__(self, channel: socket.socket, grace: float) -> None:
        """Serve ``channel``; give runs ``grace`` seconds after SIGTERM when the daemon dies."""
        self.channel = channel
        self.channel.setblocking(False)  # noqa: FBT003
        self.grace = grace
        self.lineage = Lineage()
        self.runs = self.lineage.runs
        self.received = bytearray()
        self.fds: list[int] = []
        self.unsent = bytearray()
        self.orphaned = False
        self.give_up_at: float | None = None
        self.libc = ctypes.CDLL(None, use_errno=True) if LINUX else None
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
        self.runs[packet["run"]] = Run(packet["run"], pid, reader)
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

    def _started(self, run: Run) -> None:
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
            run = self.lineage.reaped(pid)
            if run is None:
                continue
            if run.errors >= 0:
                self._started(run)
            if run.run in self.runs:
                self._tell(tell="exit", run=run.run, status=status)

    def _end(self, run: Run, grace: float, keep: list[int]) -> None:
        """Begin to end a run, or hasten an end that has begun."""
        if keep and LINUX:
            self.lineage.release(run, keep)
        deadline = time.monotonic() + grace
        if run.deadline is None:
            run.deadline = deadline
            if grace > 0:
                self.lineage.signal(run, signal.SIGTERM)
                # A stopped process cannot leave before it goes on.
                self.lineage.signal(run, signal.SIGCONT)
        else:
            run.deadline = min(run.deadline, deadline)

    def _advance(self, run: Run) -> None:
        """Kill what is late; report the run as gone when nothing of it is left."""
        left = self.lineage.members(run)
        now = time.monotonic()
        if run.reaped and not left:
            self._forget(run, [])
        elif run.deadline is not None and now >= run.deadline:
            if run.killed_at is None:
                run.killed_at = now
            if now - run.killed_at > GIVE_UP_AFTER_S:
                self._forget(run, sorted(left) or [run.pid])
            else:
                self.lineage.signal(run, signal.SIGKILL)

    def _forget(self, run: Run, left: list[int]) -> None:
        if run.errors >= 0:
            self.poller.unregister(run.errors)
            os.close(run.errors)
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
        strays = self.lineage.strays()
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
