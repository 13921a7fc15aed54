"""Effects that were done and are still to be written down as done: many in one statement."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from goalfsm.daemon.flow.ports import Spawn

GATHER_S: Final = 0.1
_MOST: Final = 10_000

_log = structlog.get_logger(__name__)


class Marks:
    """Writes marks a moment later; one that is lost has its effect done once more, without harm."""

    def __init__(self, write: Callable[[Collection[str]], Awaitable[None]], spawn: Spawn) -> None:
        """Write keys by ``write``."""
        self._write = write
        self._spawn = spawn
        self._keys: dict[str, None] = {}
        self._writing = False

    def add(self, key: str) -> None:
        """Have an effect written down as done."""
        if len(self._keys) < _MOST:
            self._keys[key] = None
        if not self._writing:
            self._writing = True
            self._spawn(self._gather(), "marks")

    async def flush(self) -> None:
        """Write the marks gathered so far."""
        while self._keys:
            keys = list(self._keys)
            try:
                await self._write(keys)
            except StoreError as error:
                _log.debug("marks are written later", code=error.code)
                return
            for key in keys:
                self._keys.pop(key, None)

    async def _gather(self) -> None:
        try:
            while self._keys:
                await asyncio.sleep(GATHER_S)
                await self.flush()
        finally:
            self._writing = False
