"""What the turns of a thread say at other nodes, for whoever follows the thread at this one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from goalfsm.daemon.flow.notices import Heard, Output
from goalfsm.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from goalfsm.cluster.saying import SoFar
    from goalfsm.daemon.stages.subscriptions import Follower

    Words = Callable[[str, int | None], Awaitable[tuple[list[SoFar], int]]]

BEAT_S: Final = 0.3
"""How often it is looked at what was said elsewhere."""


class Hearing:
    """Looks for one follower; what turns say here comes to the follower by itself."""

    def __init__(self, follower: Follower, words: Words, said: Output | None) -> None:
        """Give ``follower`` what ``words(thread_id, after)`` returns, as a whole each time.

        ``said`` is what a turn here has said before.
        """
        self._follower = follower
        self._words = words
        self._after: int | None = None
        self._heard: dict[str, Heard] = {}
        self._here = set() if said is None else {said.run_id}
        """Runs of which the follower hears from this node."""

    def unheard(self, said: Output) -> Output | None:
        """Return what was not told of what the follower is given."""
        if not said.again:
            self._here.add(said.run_id)
        if said.run_id in self._here:
            return None if said.again else said
        return self._heard.setdefault(said.run_id, Heard()).unheard(said)

    async def listen(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            # What was said until a server went away is told when it is back.
            with contextlib.suppress(StoreError):
                await self._look()
            await asyncio.sleep(BEAT_S)

    async def _look(self) -> None:
        thread_id = self._follower.thread_id
        every, self._after = await self._words(thread_id, self._after)
        for run_id, _, total, tail in every:
            # The first bytes may be the end of a character.
            text = tail.decode("utf-8", "ignore")
            left_out = max(0, total - len(text.encode()))
            said = Output(
                thread_id=thread_id, run_id=run_id, text=text, again=True, left_out=left_out
            )
            self._follower.give(said, len(text))
