"""What waits to be sent to one client."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import structlog

BACKLOG: Final = 10_000
"""Most messages that wait for one client; one that is slower is hung up on."""

_log = structlog.get_logger(__name__)


class Outgoing:
    """What waits to be sent to one client, in order."""

    def __init__(self) -> None:
        """Have no message to send yet."""
        self._hang_up: Callable[[], None] = lambda: None
        self._muted: frozenset[str] = frozenset()
        self._messages: deque[Mapping[str, Any]] = deque()
        self._wake = asyncio.Event()
        self._over = False

    def end_slow(self, hang_up: Callable[[], None]) -> None:
        """End a client that is too slow with ``hang_up``: what is being sent may never arrive."""
        self._hang_up = hang_up

    def mute(self, methods: frozenset[str]) -> None:
        """Leave out the notifications that the client does not want to get."""
        self._muted = methods

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message after all that were sent before."""
        if self._over or ("id" not in message and message.get("method") in self._muted):
            return
        self._messages.append(message)
        if len(self._messages) > BACKLOG:
            _log.warning("a client reads too slowly", waiting=len(self._messages))
            self._messages.clear()
            self._over = True
            self._hang_up()
        self._wake.set()

    @property
    def is_over(self) -> bool:
        """Tell whether nothing more can be sent."""
        return self._over

    def end(self) -> None:
        """Let what waits be sent, and then nothing more."""
        self._over = True
        self._wake.set()

    async def next(self) -> Mapping[str, Any] | None:
        """Return the next message as soon as there is one, None at the end."""
        while not self._messages:
            if self._over:
                return None
            self._wake.clear()
            await self._wake.wait()
        return self._messages.popleft()
