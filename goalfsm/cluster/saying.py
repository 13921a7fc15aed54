"""What the turns of a node say while they run, for whoever follows them from somewhere else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from goalfsm.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from goalfsm.daemon.flow.ports import Landed, Spawn
    from goalfsm.daemon.stages.live_run import LiveRuns

BEAT_S: Final = 0.5
"""How often it is written down what running turns have said; a shorter turn has only its end."""

_log = structlog.get_logger(__name__)


class SoFar(NamedTuple):
    """What a running turn has said: ``total`` bytes, of which ``tail`` are the last."""

    run_id: str
    thread_id: str
    total: int
    tail: bytes


class Saying:
    """Writes it down now and then, while there is a run that says something."""

    def __init__(
        self,
        runs: LiveRuns,
        write: Callable[[Sequence[SoFar], Collection[str]], Awaitable[None]],
        spawn: Spawn,
    ) -> None:
        """Have ``write`` keep what was said since, and forget runs that are over."""
        self._runs = runs
        self._write = write
        self._spawn = spawn
        self._written: dict[str, int] = {}
        """How much was written of what each run has said."""
        self._beating = False

    def committed(self, landed: Landed) -> None:
        """Begin with the first run."""
        if landed.session.run is not None and not self._beating:
            self._beating = True
            self._spawn(self._beat(), "what turns say")

    async def _beat(self) -> None:
        try:
            await asyncio.sleep(BEAT_S)
            while self._runs or self._written:
                await self._note()
                await asyncio.sleep(BEAT_S)
        finally:
            self._beating = False

    async def _note(self) -> None:
        said = [each for run in self._runs.values() if (each := self._since(run.thread_id))]
        over = self._written.keys() - {run.run_id for run in self._runs.values()}
        if not said and not over:
            return
        try:
            await self._write(said, over)
        except StoreError as error:
            _log.debug("what turns say is written later", code=error.code)
            return
        self._written.update((each.run_id, each.total) for each in said)
        for run_id in over:
            del self._written[run_id]

    def _since(self, thread_id: str) -> SoFar | None:
        output = self._runs.said(thread_id)
        if output is None:
            return None
        tail = output.text.encode()
        total = output.left_out + len(tail)
        if total == self._written.get(output.run_id):
            return None
        return SoFar(output.run_id, thread_id, total, tail)
