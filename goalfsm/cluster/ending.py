"""End tasks that wait for the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEARD_S: Final = 0.2
_TOLD: Final = 50


async def ended(tasks: Iterable[asyncio.Future[Any]]) -> None:
    """Return when the tasks have ended, or ten seconds later; they are told so again and again.

    A driver may lose that word while it waits for the server: it waits by ``asyncio.wait_for``,
    which until Python 3.12 returns what has just come in place of being cancelled.
    """
    left = set(tasks)
    for _ in range(_TOLD):
        if left:
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=_HEARD_S)
