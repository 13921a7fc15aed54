"""Stop in order: dispatch nothing, let turns finish for a while, end the rest, let the store go."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any, Final

import structlog

from goalfsm.daemon.flow.decide import label, needs_engine
from goalfsm.session import events as e

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from goalfsm.daemon.engine import Engine
    from goalfsm.daemon.flow.mailbox import Actor

GRACE_S: Final = 10.0
"""How long running turns may go on after a request to stop, unless the caller says otherwise."""
REASON: Final = "shutdown"
"""Why the dispatcher pauses."""

_RECORDED_S: Final = 15.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

_log = structlog.get_logger(__name__)


async def wind_up(engine: Engine, grace_s: float) -> None:
    """Bring every thread to where a later engine takes it up again."""
    engine.dispatcher.pause(REASON)
    told = [actor.tell(e.ShutdownStarted()) for actor in _unfinished(engine)]
    runs = engine.live_runs()
    if runs:
        _log.info("waiting for running turns", runs=len(runs), grace_s=grace_s)
    await _all(engine, [asyncio.ensure_future(run.wait()) for run in runs], grace_s)
    for run in engine.live_runs():
        run.end("interrupted", "the engine shut down")
    ending = [asyncio.ensure_future(run.wait()) for run in engine.live_runs()]
    await _all(engine, ending, _RECORDED_S)
    await _all(engine, told, _RECORDED_S)


def _unfinished(engine: Engine) -> list[Actor]:
    """Return the threads that the next engine takes up: what they wait for must not be lost."""
    threads = {actor.thread_id for actor in engine.actors()} | {*engine.timers.threads()}
    actors = [engine.readable(thread_id) for thread_id in sorted(threads)]
    return [a for a in actors if a is not None and a.revision and needs_engine(label(a.session))]


async def _all(engine: Engine, waiting: Sequence[asyncio.Future[Any]], most_s: float) -> None:
    """Wait for all of these, no longer than ``most_s`` and not beyond the end of the engine."""
    if not waiting:
        return
    over = asyncio.ensure_future(engine.over.wait())
    everything = asyncio.ensure_future(asyncio.wait(waiting))
    try:
        await asyncio.wait({over, everything}, timeout=most_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (over, everything):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await everything
    for future in waiting:
        if future.done() and not future.cancelled():
            # What went wrong has been said; it keeps nobody from stopping.
            future.exception()


@contextlib.contextmanager
def stopping_on_signals(engine: Engine, grace_s: float = GRACE_S) -> Iterator[None]:
    """Stop the engine on SIGTERM, SIGINT or SIGHUP; a second one ends running turns at once.

    A SIGHUP that is ignored stays so: under nohup work outlives its terminal.
    """
    loop = asyncio.get_running_loop()
    received = 0

    def stop(number: signal.Signals) -> None:
        nonlocal received
        received += 1
        _log.info("stopping", signal=number.name)
        engine.stop_soon(grace_s if received == 1 else 0.0)

    hung_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    heeded = [number for number in _SIGNALS if number is not signal.SIGHUP or hung_up]
    for number in heeded:
        loop.add_signal_handler(number, stop, number)
    try:
        yield
    finally:
        for number in heeded:
            loop.remove_signal_handler(number)
