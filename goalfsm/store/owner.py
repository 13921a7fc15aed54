"""Which process is which, and whether it lives: the facts that ownership is decided from.

What is read of a process is read by ``workers.supervisor.identity``.
"""

from __future__ import annotations

import os
import signal
import time

import psutil

from goalfsm.store.port import EXPIRY_MS, Held, Identity
from goalfsm.workers.supervisor.identity import boot_id, pid_namespace, started_at


def uptime_ms() -> int:
    """Return milliseconds of a clock that every process of this boot shares and nobody sets.

    It stands still while the machine sleeps, so that an owner is not silent for having slept.
    """
    return time.monotonic_ns() // 1_000_000


def identity_of(pid: int) -> Identity | None:
    """Return the identity of a living process, None when it is gone or a zombie."""
    started = started_at(pid)
    if started is None:
        return None
    return Identity(pid=pid, start_time=started, boot_id=boot_id(), namespace=pid_namespace())


def own_identity() -> Identity:
    """Return the identity of this process."""
    identity = identity_of(os.getpid())
    if identity is None:  # pragma: no cover - only where /proc is hidden from its own process
        msg = "this process cannot read its own start time"
        raise OSError(msg)
    return identity


def is_alive(identity: Identity) -> bool:
    """Return False only when the process is certainly dead.

    Dead: another boot, no such pid, a zombie, or a pid that another process has now. A process of
    another pid namespace cannot be seen from here; it counts as alive, so only silence ends it.
    """
    if identity.boot_id != boot_id():
        return False
    if identity.namespace != pid_namespace():
        return True
    return started_at(identity.pid) == identity.start_time


def end_stalled(held: Held) -> bool:
    """Kill an owner that holds the write lock and was silent beyond expiry; True when killed.

    Only for a process that is certainly the one named and may be signalled by this user. Anything
    else is left alone: its lock ends when somebody lets it run or ends it.
    """
    if held.owner is None or not held.locked or held.silent_for_ms < EXPIRY_MS:
        return False
    identity = held.owner.identity
    if identity.boot_id != boot_id() or identity.namespace != pid_namespace():
        return False
    if identity.pid == os.getpid():
        return False
    try:
        process = psutil.Process(identity.pid)
        if process.uids().real != os.getuid() or not is_alive(identity):
            return False
        os.kill(identity.pid, signal.SIGKILL)
    except (psutil.Error, OSError):
        return False
    return True
