"""Which process is which, and whether it lives: the facts that ownership is decided from.

A pid alone says nothing: it is used again. A process is named by its pid, the moment it started
(in clock ticks since boot on Linux, so that setting the wall clock changes nothing) and the boot.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import cache
from pathlib import Path
from typing import Final

import psutil

from goalfsm.store.port import EXPIRY_MS, Held, Identity

_LINUX: Final = sys.platform.startswith("linux")
_STATE: Final = 0
_STARTED: Final = 19
"""Positions in /proc/PID/stat, counted from the field after the command's name."""


def uptime_ms() -> int:
    """Return milliseconds of a clock that every process of this boot shares and nobody sets.

    It stands still while the machine sleeps, so that an owner is not silent for having slept.
    """
    return time.monotonic_ns() // 1_000_000


@cache
def boot_id() -> str:
    """Return what tells this boot of the machine from every other."""
    if _LINUX:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"boot-{psutil.boot_time():.0f}"


@cache
def pid_namespace() -> str:
    """Return the namespace that this process's pids belong to, empty where there is none."""
    return str(Path("/proc/self/ns/pid").readlink()) if _LINUX else ""


def identity_of(pid: int) -> Identity | None:
    """Return the identity of a living process, None when it is gone or a zombie."""
    started = _started_at(pid)
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
    return _started_at(identity.pid) == identity.start_time


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


def _started_at(pid: int) -> int | None:
    """Return when a living process started, None when it is gone or a zombie."""
    return _started_at_linux(pid) if _LINUX else _started_at_elsewhere(pid)


def _started_at_linux(pid: int) -> int | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The command's name may hold spaces and parentheses; what follows its last one is numbers.
    fields = text[text.rindex(b")") + 2 :].split()
    return None if fields[_STATE] in {b"Z", b"X"} else int(fields[_STARTED])


def _started_at_elsewhere(pid: int) -> int | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return int(process.create_time() * 1000)
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:
        return 0
