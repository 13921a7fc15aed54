"""The supervisor's process, as its client starts it and sees it end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

from goalfsm.errors import GoalError
from goalfsm.workers.supervisor import identity
from goalfsm.workers.supervisor.process_tree import PART_BITS, SUPERVISOR_OF

ROOT: Final = str(Path(__file__).parents[3])
"""Where goalfsm is found by an interpreter without site-packages."""
_PROGRAM: Final = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from goalfsm.workers.supervisor.keeper import main; sys.exit(main(sys.argv))"
)
"""The supervisor, by an interpreter that finds the standard library and, behind it, goalfsm."""
_LATE_S: Final = 5.0
_launched: Final[set[int]] = set()


def launched() -> frozenset[int]:
    """Return the supervisors of this process that were not seen to end."""
    return frozenset(_launched)


def launch(db: str, grace_s: float) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a supervisor of ``db``; return its process and the socket to talk to it."""
    ours, theirs = socket.socketpair()
    with theirs:
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program
                [
                    *(sys.executable, "-I", "-S", "-c", _PROGRAM, ROOT),
                    *(str(theirs.fileno()), str(grace_s)),
                    str(secrets.randbits(PART_BITS)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, SUPERVISOR_OF: db},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise GoalError(
                f"cannot start the supervisor of worker processes: {error.strerror}",
                code="supervisor_unavailable",
                hint="check the limits on processes and memory (ulimit -a)",
            ) from error
    _launched.add(process.pid)
    return process, ours


async def ended(process: subprocess.Popen[bytes], patience_s: float) -> bool:
    """Return when the supervisor is gone; False when it had to be killed after so many seconds.

    One that was stopped is let go on first: else it could not end.
    """
    started = identity.begun(process.pid) or identity.start_time(process.pid)
    try:
        if patience_s:
            process.send_signal(signal.SIGCONT)
            if await _is_gone(process, started, patience_s):
                return process.returncode == 0
        process.kill()
        await _is_gone(process, started, _LATE_S)
        return False
    finally:
        _launched.discard(process.pid)


async def _is_gone(process: subprocess.Popen[bytes], started: str, patience_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience_s):
            await identity.wait_gone(process.pid, started)
            process.wait(_LATE_S)
            return True
    return False
