"""The program of a supervisor, and the keeper that it has: when the one dies, the other ends all.

The program is for an interpreter without site-packages (``python -I -S``). The supervisor forks its
keeper first. When the supervisor is killed, or hangs after its daemon's death, the keeper finds
by their mark all processes that were below it, however they detached themselves, and ends them.

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
from goalfsm.workers.supervisor.process import GIVE_UP_AFTER_S, IGNORED, Supervisor
from goalfsm.workers.supervisor.process_tree import descendants, of_supervisor

_RECHECK_S: Final = 0.02
_LATE_S: Final = 5.0


def main(argv: list[str]) -> int:
    """Be the supervisor of the socket whose descriptor is the first argument.

    The second is how many seconds a run gets after SIGTERM when the daemon dies, the third the
    supervisor's part of its runs' marks.
    """
    fd, grace, mark = int(argv[1]), float(argv[2]), int(argv[3])
    # It had to be inherited once; a worker that held it would pass for the daemon.
    os.set_inheritable(fd, False)  # noqa: FBT003
    with contextlib.suppress(PermissionError):
        os.setsid()
    # Signals are ours before there is anybody who could send one.
    for number in (*IGNORED, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    parent = os.getppid()
    daemon = identity.open_pidfd(parent)
    late = grace + 2 * GIVE_UP_AFTER_S + _LATE_S
    serving = Supervisor(
        socket.socket(fileno=fd), grace, daemon, mark, lambda: _keeper(fd, daemon, mark, late)
    )
    serving.orphaned = os.getppid() != parent
    serving.serve()
    return 0


def _keeper(channel: int, daemon: int, mark: int, patience: float) -> int:
    """Fork a keeper of this process; return its pid, 0 where the system has no marks."""
    supervisor = os.getpid()
    watch = identity.open_pidfd(supervisor)
    if not identity.LINUX or watch < 0:
        return 0
    try:
        pid = os.fork()
    except OSError:
        # Without it nobody would end what outlives this process: the daemon starts another one.
        os._exit(1)
    if pid == 0:
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGUSR2):
                signal.signal(number, signal.SIG_IGN)
            # A copy of it would keep the channel open, and the daemon waiting.
            os.close(channel)
            _keep(supervisor, watch, daemon, mark, patience)
        finally:
            os._exit(0)
    os.close(watch)
    return pid


def _keep(supervisor: int, watch: int, daemon: int, mark: int, patience: float) -> None:
    """Return when the supervisor has died and nothing is left of what it looked after.

    One that comes to its own end takes its keeper along: what it let go may live on.
    """
    poller = select.poll()
    poller.register(watch, select.POLLIN)
    if daemon >= 0:
        poller.register(daemon, select.POLLIN)
    deadline: float | None = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = dict(poller.poll(None if left is None else int(left * 1000) + 1))
        if watch in ready:
            break
        if daemon in ready:
            poller.unregister(daemon)
            deadline = time.monotonic() + patience
            # A stopped one could not do what is now its work.
            signal.pidfd_send_signal(watch, signal.SIGCONT)
        elif deadline is not None and time.monotonic() >= deadline:
            signal.pidfd_send_signal(watch, signal.SIGKILL)
    _end_all(mark, supervisor)


def _end_all(mark: int, supervisor: int) -> None:
    """Kill what carries the mark and all below, as often as something does; give up in the end."""
    give_up = time.monotonic() + GIVE_UP_AFTER_S
    while time.monotonic() < give_up:
        found = of_supervisor(mark) - {supervisor, os.getpid()}
        for pid in found.union(*map(descendants, found)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not found:
            return
        time.sleep(_RECHECK_S)
