"""Decide about many threads in few transactions: what waits meanwhile goes into the next one.

A transaction costs a node and the server more than what one thread writes in it. What is lost with
it is little: each attempt is found again, or made again, by itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from goalfsm.errors import StoreError

if TYPE_CHECKING:
    from goalfsm.cluster.decider import Attempt, Decider, Decision
    from goalfsm.daemon.flow.ports import Spawn

THREADS: Final = 32
"""Most threads that are decided about in one transaction."""
_PASSES: Final = 4
"""How many passes of the loop bring nothing more before a transaction begins."""


class Together:
    """A node's decisions, of which those that come while one transaction goes on share the next."""

    def __init__(self, decider: Decider, spawn: Spawn) -> None:
        """Decide by ``decider``."""
        self._decider = decider
        self._spawn = spawn
        self._waiting: list[tuple[Attempt, asyncio.Future[Decision | None]]] = []
        self._goes_on = False

    async def decide(self, attempt: Attempt) -> Decision:
        """Decide an attempt as `Decider.decide` does; a thread has one at a time."""
        # What is said from outside to a thread that nothing was decided about here: it is new, most
        # often, and would be left out.
        is_new = not self._decider.knows(attempt.thread_id)
        if attempt.last is None and not (is_new and attempt.envelopes[0].outside):
            future = asyncio.get_running_loop().create_future()
            self._waiting.append((attempt, future))
            if not self._goes_on:
                self._goes_on = True
                self._spawn(self._gather(), "decide")
            decision: Decision | None = await future
            if decision is not None:
                return decision
        # Its thread is new or somebody has it, or nobody knows what became of an earlier attempt.
        return await self._decider.decide(attempt)

    async def _gather(self) -> None:
        try:
            while self._waiting:
                await self._more()
                taken, self._waiting = self._waiting[:THREADS], self._waiting[THREADS:]
                if taken:
                    await self._decide(taken)
        finally:
            self._goes_on = False

    async def _more(self) -> None:
        """Let come what is about to: turns that end at the same time."""
        passes, seen = 0, len(self._waiting)
        while passes < _PASSES and len(self._waiting) < THREADS:
            await asyncio.sleep(0)
            came = len(self._waiting) > seen
            passes, seen = 0 if came else passes + 1, len(self._waiting)

    async def _decide(self, taken: list[tuple[Attempt, asyncio.Future[Decision | None]]]) -> None:
        try:
            made = await self._decider.decide_free([attempt for attempt, _ in taken])
        except StoreError as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
        else:
            for attempt, future in taken:
                if not future.done():
                    future.set_result(made.get(attempt.thread_id))
        finally:
            # Cut off in the middle: nobody waits for ever.
            for _, future in taken:
                future.cancel()
