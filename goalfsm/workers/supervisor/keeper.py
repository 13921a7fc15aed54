"""The parent of the supervisor: when that dies, everything below it dies too.

It is a program of its own, for an interpreter without site-packages (``python -I -S``), and
the supervisor is forked from it. Of a supervisor that was killed, or that hangs after its daemon's
death, the keeper adopts all that is left, however it detached itself, and ends it.

It is started with this module, so that imports the standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from typing import Final

from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.process import GIVE_UP_AFTER_S, IGNORED, Supervisor, adopt
from goalfsm.workers.supervisor.process_tree import descendants

_RECHECK_S: Final = 0.02
_LATE_S: Final = 5.0


def main(argv: list[str]) -> int:
    """Keep a supervisor of the socket whose descriptor is the first argument.

    The second is how many seconds a run gets after SIGTERM when the daemon dies.
    """
    fd, grace = int(argv[1]), float(argv[2])
    # It had to be inherited once; a worker that held it would pass for the daemon.
    os.set_inheritable(fd, False)  # noqa: FBT003
    with contextlib.suppress(PermissionError):
        os.setsid()
    parent = os.getppid()
    daemon = identity.open_pidfd(parent)
    # Signals are ours before there is anybody who could send one.
    for number in (*IGNORED, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    adopt()
    keeper = os.getpid()
    supervisor = os.fork() if identity.LINUX else 0
    if supervisor == 0:
        serving = Supervisor(socket.socket(fileno=fd), grace, daemon)
        serving.orphaned = os.getppid() != (keeper if identity.LINUX else parent)
        serving.serve()
        return 0
    os.close(fd)
    _keep(supervisor, daemon, grace + 2 * GIVE_UP_AFTER_S + _LATE_S)
    return 0


def _keep(supervisor: int, daemon: int, patience: float) -> None:
    """Return when the supervisor has ended and nothing is left of what it looked after."""
    woken, waker = socket.socketpair()
    for end in (woken, waker):
        end.setblocking(False)  # noqa: FBT003
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    poller = select.poll()
    poller.register(woken, select.POLLIN)
    if daemon >= 0:
        poller.register(daemon, select.POLLIN)
    deadline: float | None = None
    while (status := _ended(supervisor)) is None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = dict(poller.poll(None if left is None else int(left * 1000) + 1))
        with contextlib.suppress(BlockingIOError):
            woken.recv(4096)
        if daemon in ready:
            poller.unregister(daemon)
            deadline = time.monotonic() + patience
            # A stopped one could not do what is now its work.
            os.kill(supervisor, signal.SIGCONT)
        elif deadline is not None and time.monotonic() >= deadline:
            os.kill(supervisor, signal.SIGKILL)
    if status != 0:
        _end_all()


def _ended(supervisor: int) -> int | None:
    """Collect children that have ended; return the supervisor's wait status if it is among them.

    One that came to its own end has ended everything but what it let go.
    """
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid in {0, supervisor}:
            return status if pid else None


def _end_all() -> None:
    """Kill all that is below, as often as something is; give up after a while."""
    give_up = time.monotonic() + GIVE_UP_AFTER_S
    while (found := descendants(os.getpid())) and time.monotonic() < give_up:
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_RECHECK_S)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
