"""Stop an engine when the process is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final, Protocol

import structlog

if TYPE_CHECKING:
    from collections.abc import Iterator

GRACE_S: Final = 10.0
"""How long running turns may go on after a request to stop, unless the caller says otherwise."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = structlog.get_logger(__name__)


class Stopping(Protocol):
    """What can be told to stop."""

    def stop_soon(self, grace_s: float = ...) -> None:
        """Begin to stop; running turns have ``grace_s`` seconds."""
        ...


@contextlib.contextmanager
def stopping_on_signals(engine: Stopping, grace_s: float = GRACE_S) -> Iterator[None]:
    """Stop the engine on SIGTERM, SIGINT or SIGHUP; a second one ends running turns at once.

    ``grace_s``: how many seconds running turns may go on. A SIGHUP that is ignored stays so: under
    nohup work outlives its terminal.
    """
    loop = asyncio.get_running_loop()
    received = 0

    def stop(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        # First of all: a log that cannot be written must not keep the process from ending.
        engine.stop_soon(grace_s if received == 1 else 0.0)
        _log.info("stopping", signal=number.name)

    hung_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    heeded = [number for number in _SIGNALS if number is not signal.SIGHUP or hung_up]
    for number in heeded:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
