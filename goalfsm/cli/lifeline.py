"""What ties a server to the command that has started it: stdin, and the program in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from goalfsm.cli.output import say
from goalfsm.workers.supervisor import identity

STILL_USED: Final = "others still use it"
"""The line that says that the writer need not wait for the end."""
_LEAVE_S: Final = 1.0
"""How long the program in the terminal may take to hang up when it has ended."""

if TYPE_CHECKING:
    from goalfsm.appserver.server import Server


async def wanted(server: Server) -> None:
    """Return when stdin has ended, and after that the last client has gone.

    Each line of stdin is the number of the program that its writer has in the terminal: where the
    writer is gone and the program is not, it is told to end, for nobody else would.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)
    program = (0, "")
    while line := await reader.readline():
        with contextlib.suppress(ValueError):
            program = (int(line), identity.start_time(int(line)))
    pid, started = program
    if pid > 1 and identity.is_running(pid, started):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_LEAVE_S):
            await server.deserted()
    except TimeoutError:
        say(STILL_USED, err=True)
        await server.deserted()
