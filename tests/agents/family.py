"""The processes of an agent, itself and all that it has started, and whether they are gone."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

import psutil

LEAVE_S: Final = 1.0
"""How long after its end something of a turn may still be there."""
SLEEPS: Final = "touch begun; sleep 600"


def family(pid: int) -> list[psutil.Process]:
    """Return a process with its descendants, as soon as the one of `SLEEPS` is there."""
    parent, begun = psutil.Process(pid), time.thread_time()
    while True:
        found = [parent, *parent.children(recursive=True)]
        if any("sleep" in _words(process) for process in found):
            return found
        assert time.thread_time() - begun < LEAVE_S, found


def left(processes: Collection[psutil.Process]) -> list[psutil.Process]:
    """Return those that have not ended; whoever has one's number now is somebody else."""
    return [process for process in processes if not _has_ended(process)]


def leave(processes: Collection[psutil.Process]) -> None:
    """Look until all have ended; fail after `LEAVE_S`.

    The seconds are the processor's, which this thread never lets go of: on a busy machine it gets
    them as slowly as those who are to leave.
    """
    begun = time.thread_time()
    while still := left(processes):
        assert time.thread_time() - begun < LEAVE_S, still


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
