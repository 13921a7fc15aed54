"""Whether a store's owner still answers: idle it writes nothing, so it is asked on its socket."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec

from goalfsm.daemon.remote import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from goalfsm.store.port import Owner

ANSWER_S: Final = 1.0
"""How long an owner that is well may take to answer."""


class Liveness:
    """How long an owner has been asked in vain."""

    def __init__(self, uptime_ms: Callable[[], int]) -> None:
        """Measure by ``uptime_ms``, which all processes of this boot share."""
        self._uptime_ms = uptime_ms
        self._silent: tuple[int, int] | None = None
        """The epoch that does not answer, and since when it was asked."""

    async def unanswered_ms(self, owner: Owner) -> int | None:
        """Ask, and return for how long it did not answer; None for one that has no socket."""
        if not owner.socket:
            return None
        asked_ms = self._uptime_ms()
        if await answers(owner.socket):
            self._silent = None
            return 0
        if self._silent is None or self._silent[0] != owner.epoch:
            self._silent = owner.epoch, asked_ms
        return max(1, self._uptime_ms() - self._silent[1])


async def answers(place: str, within_s: float = ANSWER_S) -> bool:
    """Tell whether an engine answers at ``place``; one that takes over answers as well."""
    try:
        async with asyncio.timeout(within_s):
            reader, writer = await asyncio.open_unix_connection(place)
            try:
                writer.write(wire.encode(wire.Ping()))
                line = await reader.readline()
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
        return isinstance(wire.decode_answer(line), wire.Pong)
    except (OSError, TimeoutError, ValueError, msgspec.MsgspecError):
        return False
