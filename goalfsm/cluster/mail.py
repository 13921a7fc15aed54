"""News of threads that have something going on here: a notification wakes, a poll is the net."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from tenacity import AsyncRetrying, retry_if_result, wait_fixed

from goalfsm.cluster.ending import ended
from goalfsm.errors import GoalError, StoreError, described

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

POLL_S: Final = 1.0
"""How often threads with something going on are looked at without a notification."""
_AGAIN_S: Final = 0.5

_log = structlog.get_logger(__name__)


class Mail(msgspec.Struct, eq=False):
    """Has a node look at a thread when somebody else has decided about it.

    It calls ``look(thread_id)`` for threads that are ``going_on`` and have news.
    ``notifications()`` yields threads until the connection is gone. ``revisions`` says how far
    threads are, ``seen`` how far they were when last looked at.
    """

    notifications: Callable[[], AsyncIterator[str]]
    going_on: Callable[[], Collection[str]]
    revisions: Callable[[Collection[str]], Awaitable[dict[str, int]]]
    seen: Callable[[str], int]
    look: Callable[[str], Awaitable[None]]
    _looking: dict[str, asyncio.Task[None]] = {}
    _again: set[str] = set()

    async def listen(self) -> None:
        """Follow notifications until cancelled; connect again as often as it takes."""
        always = retry_if_result(lambda _: True)
        await AsyncRetrying(wait=wait_fixed(_AGAIN_S), retry=always)(self._connected)

    async def _connected(self) -> None:
        try:
            async for thread_id in self.notifications():
                if thread_id in self.going_on():
                    self.arrived(thread_id)
        except (StoreError, OSError) as error:
            _log.debug("notifications stopped", error=described(error))

    async def poll(self) -> None:
        """Look at what is going on every now and then, until cancelled."""
        while True:
            await asyncio.sleep(POLL_S)
            threads = list(self.going_on())
            if not threads:
                continue
            with contextlib.suppress(StoreError):
                for thread_id, revision in (await self.revisions(threads)).items():
                    if revision > self.seen(thread_id):
                        self.arrived(thread_id)

    def arrived(self, thread_id: str) -> None:
        """Look at the thread; once more afterwards, where it is being looked at just now."""
        if thread_id in self._looking:
            self._again.add(thread_id)
            return
        task = asyncio.get_running_loop().create_task(self._read(thread_id))
        self._looking[thread_id] = task

    async def _read(self, thread_id: str) -> None:
        try:
            while True:
                self._again.discard(thread_id)
                try:
                    await self.look(thread_id)
                except GoalError as error:
                    _log.debug("mail is read later", thread_id=thread_id, code=error.code)
                if thread_id not in self._again:
                    return
        finally:
            del self._looking[thread_id]

    async def close(self) -> None:
        """Look for no more letters."""
        await ended(self._looking.values())
