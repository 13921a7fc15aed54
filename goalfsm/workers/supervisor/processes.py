"""Name a process so that its number cannot be mistaken for another's, and wait for its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import Final

import psutil

from goalfsm.workers.supervisor import proc

_POLL_S: Final = 0.5


def start_time(pid: int) -> str:
    """Return what tells this process from any other with the same pid, "" when it is gone.

    The text is opaque. It stays different across restarts of the machine.
    """
    if sys.platform == "linux":
        return proc.start_time(pid)
    try:
        process = psutil.Process(pid)
        gone = process.status() == psutil.STATUS_ZOMBIE
        return "" if gone else f"{psutil.boot_time():.0f}/{process.create_time():.6f}"
    except psutil.Error:
        return ""


def is_running(pid: int, started: str) -> bool:
    """Return whether the process that was ``started`` then is still there; a zombie is not."""
    return bool(started) and start_time(pid) == started


async def wait_gone(pid: int, started: str) -> None:
    """Return when that process has ended, at once when it already has."""
    try:
        watch = os.pidfd_open(pid)
    except (AttributeError, OSError):
        watch = -1
    try:
        # After the descriptor exists the number cannot change hands unseen.
        if not is_running(pid, started):
            return
        if watch < 0:
            while is_running(pid, started):  # noqa: ASYNC110 - nobody can tell us
                await asyncio.sleep(_POLL_S)
            return
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(watch, _settle, ended)
        try:
            await ended
        finally:
            loop.remove_reader(watch)
    finally:
        if watch >= 0:
            with contextlib.suppress(OSError):
                os.close(watch)


def _settle(ended: asyncio.Future[None]) -> None:
    if not ended.done():
        ended.set_result(None)
