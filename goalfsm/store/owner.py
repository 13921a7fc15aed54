"""Whether an owner lives, and what is done about one that does not: what ownership rests on.

What is read of a process is read by ``workers.supervisor.identity``.
"""

from __future__ import annotations

import hashlib
import os
import signal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from goalfsm.store.port import EXPIRY_MS, Held, Identity, Owner
from goalfsm.workers.supervisor.identity import boot_id, pid_namespace, started_at

if TYPE_CHECKING:
    from collections.abc import Collection

    from goalfsm.store.port import Lease, Processes


_MACHINE_ID: Final = Path("/etc/machine-id")


@cache
def machine() -> str:
    """Return what tells this machine from others, whatever it has booted.

    A digest, as an id of a machine is nobody's business. Guests that share an image have one id, so
    the name counts too; a machine that was renamed is another one.
    """
    try:
        found = _MACHINE_ID.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        found = ""
    return hashlib.sha256(f"goalfsm {found} {os.uname().nodename}".encode()).hexdigest()[:16]


def is_alive(identity: Identity) -> bool:
    """Return False only when the process is certainly dead.

    Dead: another boot of this machine, no such pid, a zombie, or a pid that another process has
    now. A process of another machine or pid namespace cannot be seen from here; it counts as alive,
    so only silence ends it.
    """
    if identity.boot_id != boot_id():
        return identity.machine not in {"", machine()}
    if identity.namespace != pid_namespace():
        return True
    return started_at(identity.pid) == identity.start_time


def end_stalled(held: Held) -> bool:
    """Kill an owner that was stopped inside a transaction and so keeps everybody out; True if so.

    Only a process of this user that is certainly the owner, is itself stopped, holds the write lock
    itself, and was silent beyond expiry. An owner that is well is never ended because somebody else
    holds the lock, nor a stopped one because somebody else is in the way.
    """
    owner = held.owner
    if owner is None or not held.locked or held.silent_for_ms < EXPIRY_MS:
        return False
    identity = owner.identity
    if held.holder != identity.pid or identity.pid == os.getpid():
        return False
    if identity.boot_id != boot_id() or identity.namespace != pid_namespace():
        return False
    try:
        with _Pinned(identity.pid) as process:
            if not _is_stopped(identity):
                return False
            process.kill()
    except OSError:
        return False
    return True


def _is_stopped(identity: Identity) -> bool:
    """Return whether this very process is this user's and stopped by a signal."""
    import psutil  # noqa: PLC0415  few commands meet an owner that is stopped

    try:
        process = psutil.Process(identity.pid)
        return (
            process.uids().real == os.getuid()
            and process.status() == psutil.STATUS_STOPPED
            and started_at(identity.pid) == identity.start_time
        )
    except psutil.Error:
        return False


class _Pinned:
    """A process that is signalled even if its pid goes to another meanwhile: then nobody is."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if hasattr(os, "pidfd_open"):
            self._descriptor = os.pidfd_open(self._pid)
        return self

    def kill(self) -> None:
        if self._descriptor is None:
            os.kill(self._pid, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


class OwnerDrives(msgspec.Struct, eq=False):
    """`goalfsm.store.reading.Drivers` of a store with one owner, who started ``processes``."""

    lease: Lease
    processes: Processes

    def of(self, thread_id: str) -> Owner | None:
        """Return the owner, dead or alive: it works on every thread."""
        del thread_id
        return self.lease.current()

    def many(self, thread_ids: Collection[str]) -> dict[str, Owner | None]:
        """Return the same for each of these threads."""
        return dict.fromkeys(thread_ids, self.lease.current())

    def runs(self, thread_id: str, run_id: str) -> bool:
        """Tell whether a process of that run is there."""
        del thread_id
        return any(process.run_id == run_id for process in self.processes.open())


class Silence:
    """What one handle knows of another owner's silence; it remembers what it saw before."""

    __slots__ = ("_row", "_since_ms")

    def __init__(self) -> None:
        """Have seen no row of an owner yet."""
        self._row: tuple[int, int] | None = None
        self._since_ms = 0

    def of(
        self, owner: Owner, asking: Identity, *, uptime_ms: int, unanswered_ms: int | None
    ) -> int:
        """Return milliseconds of silence, see `goalfsm.store.port.Lease.acquire`."""
        if unanswered_ms == 0:
            return 0
        if owner.identity.boot_id != asking.boot_id:
            # Its clock is not ours, and no socket leads there: see whether its row changes.
            row = (owner.epoch, owner.uptime_ms)
            if row != self._row:
                self._row, self._since_ms = row, uptime_ms
            return max(0, uptime_ms - self._since_ms)
        silent_ms = max(0, uptime_ms - owner.uptime_ms)
        if owner.resting:
            return unanswered_ms or 0
        # Who has just said that it lives is there, though nobody may reach its socket.
        return silent_ms if unanswered_ms is None else min(silent_ms, unanswered_ms)
