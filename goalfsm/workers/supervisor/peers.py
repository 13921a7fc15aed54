"""Who asks, and who answers: a process of a run's, or anybody else, as the other side finds out.

A process is a run's when it descends from the engine or from a supervisor of the database, when
it or a process above it carries a run's mark or environment, or when nobody can tell what it is.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple

from goalfsm.text import line
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.process_tree import (
    RUN_ID,
    SUPERVISOR_OF,
    environment,
    is_limited,
    marked,
    same_database,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_PROGRAM: Final = 200
_TRIES: Final = 5
_SO_PEERPIDFD: Final = 77


class Peer(NamedTuple):
    """A process that asks for something, as its receiver sees it.

    ``of_a_run`` is what decides: it may do what the model may, and ``why`` says how that is known.
    ``run_id`` is the run that its environment names, if any. ``program`` is its command line,
    shortened; ``terminal`` what controls it, "" where nothing does. ``chain`` are its pid and start
    and those of all above it, ``mark`` is the nearest one. All that could not be read is empty, and
    ``uid`` -1.
    """

    pid: int
    of_a_run: bool
    why: str = ""
    run_id: str = ""
    uid: int = -1
    started: str = ""
    program: str = ""
    terminal: str = ""
    chain: tuple[tuple[int, str], ...] = ()
    mark: int = 0


def begun(peer: socket.socket) -> str:
    """Return when the process began that connected, "" of one that has ended.

    To be read as soon as the connection is there, where the kernel has no handle of who made it: a
    pid is given again only when its process has ended.
    """
    pid, _ = _credentials(peer)
    return identity.start_time(pid) if pid > 0 else ""


class Caller:
    """The process that connected a Unix socket, or listens at it: no other passes for it."""

    def __init__(self, peer: socket.socket, began: str | None = None) -> None:
        """Take a handle of who is behind ``peer`` and ``began`` before; `close` it."""
        self.pid, self.uid = _credentials(peer)
        self._watch = _pidfd(peer)
        self._began = begun(peer) if began is None else began

    def has_ended(self) -> bool:
        """Tell whether it has ended, or cannot be told from a process that came after it."""
        if self._watch >= 0:
            return bool(select.select([self._watch], [], [], 0)[0])
        return not identity.is_running(self.pid, self._began)

    def look_up(self, *, db: str, above: Collection[tuple[int, str]] = ()) -> Peer:
        """Return who it is; see `connected`."""
        if not self.has_ended():
            found = _described(_looked_up(self.pid, db=db, above=above))
            # While it lives, what was read was read of this very process.
            if not self.has_ended():
                return found
        return self._ended()

    def not_to_be_believed(self, *, db: str) -> str:
        """Return why no answer of it is an engine's of ``db``, "" where it may be one.

        What a run has started answers only that run, and what it has started itself.
        """
        if self.uid not in {-1, 0, os.getuid()}:
            return f"it is a process of user {self.uid}"
        if not identity.LINUX and not self.pid:
            return ""  # the system keeps quiet: the directory's mode decides
        found = self._ended() if self.has_ended() else _looked_up(self.pid, db=db)
        if found.of_a_run and not self.has_ended():
            own = _looked_up(os.getpid(), db=db)
            if found.chain and (found.mark == own.mark != 0 or found.chain[0] in own.chain):
                return ""
        return (self._ended() if self.has_ended() else found).why

    def _ended(self) -> Peer:
        return Peer(pid=self.pid, uid=self.uid, of_a_run=True, why="it has ended")

    def is_below(self, first: tuple[int, str]) -> bool:
        """Tell whether it is ``first``, by pid and start, or descends from it.

        One that has ended meanwhile is not known to be.
        """
        chain = None if self.has_ended() else _chain(self.pid)
        if chain is None or self.has_ended():
            return False
        return first in {(link.pid, link.started) for link in chain}

    def close(self) -> None:
        """Close the handle of the process."""
        watch, self._watch = self._watch, -1
        if watch >= 0:
            os.close(watch)


def connected(
    peer: socket.socket,
    *,
    db: str,
    above: Collection[tuple[int, str]] = (),
    began: str | None = None,
) -> Peer:
    """Return who is at the other end of a Unix socket: the process that connected it.

    ``above`` are the processes that runs descend from, by pid and start: the engine, and every
    supervisor that is recorded for ``db``. A process that has ended meanwhile cannot be looked
    up, and counts as a run's. ``began`` is what `begun` returned when the connection was made.
    """
    with contextlib.closing(Caller(peer, began)) as caller:
        return caller.look_up(db=db, above=above)


def look_up(pid: int, *, db: str, above: Collection[tuple[int, str]] = ()) -> Peer:
    """Return what a process is; see `connected`, which is to be used where there is a socket."""
    return _described(_looked_up(pid, db=db, above=above))


def _looked_up(pid: int, *, db: str, above: Collection[tuple[int, str]] = ()) -> Peer:
    for _ in range(_TRIES):
        chain = _chain(pid)
        if chain is not None:
            return _judged(chain, same_database(db), frozenset(above))
    return Peer(pid=pid, of_a_run=True, why="it cannot be looked up")


class _Link(NamedTuple):
    """A process on the way up."""

    pid: int
    started: str
    environment: Mapping[str, str] | None
    mark: int
    limited: bool


def _judged(chain: list[_Link], db: str, above: frozenset[tuple[int, str]]) -> Peer:
    peer = chain[0]
    run_id, why = "", ""
    if peer.environment is None:
        why = "its environment cannot be read"
    for link in chain:
        environment = link.environment or {}
        if not run_id and (run_id := line(environment.get(RUN_ID, ""))):
            why = why or f"process {link.pid} carries the environment of run {run_id}"
        if link.mark:
            why = why or f"process {link.pid} carries the mark of a run"
        elif link.limited:
            why = why or f"process {link.pid} has the limits of a run"
        if (link.pid, link.started) in above:
            why = why or f"it descends from process {link.pid}, which runs the goals of this file"
        elif db and environment.get(SUPERVISOR_OF) == db:
            why = why or f"it descends from process {link.pid}, a supervisor of this file"
    return Peer(
        pid=peer.pid,
        of_a_run=bool(why),
        why=why,
        run_id=run_id,
        started=peer.started,
        chain=tuple((link.pid, link.started) for link in chain),
        mark=next((link.mark for link in chain if link.mark), 0),
    )


def _described(peer: Peer) -> Peer:
    """Return it with what is recorded of who asks, as far as it can be read."""
    if not peer.chain:
        return peer
    import psutil  # noqa: PLC0415  it takes long to load, and who only asks does not need it

    uid, program, terminal = -1, "", ""
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process(peer.pid)
        uid = process.uids().real
        program = line(" ".join(process.cmdline()))[:MAX_PROGRAM]
        terminal = line(process.terminal() or "")
    return peer._replace(uid=uid, program=program, terminal=terminal)


def _chain(pid: int) -> list[_Link] | None:
    """Return a process and all above it; None when it is gone, or the way up changed meanwhile."""
    chain: list[_Link] = []
    while pid > 0:
        started, above = identity.start_time(pid), identity.parent(pid)
        if not started or above is None:
            return None
        chain.append(_link(pid, started))
        pid = above
    ways = zip(chain, [*(link.pid for link in chain[1:]), 0], strict=True)
    stands = chain and all(
        identity.is_running(link.pid, link.started) and identity.parent(link.pid) == above
        for link, above in ways
    )
    return chain if stands else None


def _link(pid: int, started: str) -> _Link:
    return _Link(
        pid=pid,
        started=started,
        environment=environment(pid),
        mark=marked(pid),
        limited=is_limited(pid),
    )


def _credentials(peer: socket.socket) -> tuple[int, int]:
    """Return pid and user of who is at the other end; 0 and -1 where the system keeps quiet."""
    option = getattr(socket, "SO_PEERCRED", None)
    with contextlib.suppress(OSError, struct.error):
        if option is not None:
            pid, uid, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, option, 12))
            return pid, uid
        if hasattr(socket, "LOCAL_PEERPID"):
            return int(peer.getsockopt(0, socket.LOCAL_PEERPID)), -1
    return 0, -1


def _pidfd(peer: socket.socket) -> int:
    """Return the kernel's own handle of that very process, -1 where there is none."""
    if identity.LINUX:
        with contextlib.suppress(OSError, struct.error):
            (fd,) = struct.unpack("i", peer.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4))
            return int(fd)
    return -1
