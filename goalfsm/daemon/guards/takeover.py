"""Take over what an earlier engine left: end its processes, settle its runs, go on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

import structlog

from goalfsm.daemon.flow.decide import NEED_ENGINE, reopened
from goalfsm.daemon.flow.turn import finished, usage_id, usages
from goalfsm.errors import GoalError
from goalfsm.session import events as e
from goalfsm.session.codec import CodecError
from goalfsm.workers import protocol as w

if TYPE_CHECKING:
    from goalfsm.daemon.flow.mailbox import Actor
    from goalfsm.daemon.flow.scripts import Said, Script
    from goalfsm.daemon.hub import Hub
    from goalfsm.session.state import Reply, Run, Session, Step
    from goalfsm.store.port import OpenEffect

PAGE: Final = 1_000
_EVER: Final = 2**62
_ALL: Final = 2**31
LEFT_RETRY_S: Final = 2.0
"""How often processes that cannot be ended are tried again."""

_log = structlog.get_logger(__name__)


async def reconcile(engine: Hub, *, after_crash: bool) -> None:
    """Make the engine's threads go on from where the store says they are.

    Nothing is dispatched before every process of an earlier engine's runs is gone.
    """
    # Before anything of ours is committed: what we commit from here on is done as it lands.
    undone = _undone(engine)
    threads = _threads(engine)
    actors = [actor for thread_id in threads if (actor := engine.readable(thread_id)) is not None]
    blocked = await _end_runs(engine, actors)
    for thread_id, left in blocked.items():
        # Also a thread that has stopped waits for them: it may be resumed before they are gone.
        actor = engine.actor(thread_id)
        actor.left = left
        engine.spawn(_free(engine, actor, left), f"left of {thread_id}")
    waiting = [_take_over(engine, actor, after_crash=after_crash) for actor in actors]
    replies = await asyncio.gather(*waiting, return_exceptions=True)
    for actor, reply in zip(actors, replies, strict=True):
        if isinstance(reply, GoalError | asyncio.CancelledError):
            raise reply
        if isinstance(reply, Exception) and not actor.halted:
            # One thread that meets a fault must not keep the others from going on.
            engine.mishap(actor, reply)
    _redo(engine, undone)
    consume_inbox(engine)


def _threads(engine: Hub) -> list[str]:
    """Return the threads that need an engine, and set the timers of all others."""
    sessions = engine.store.sessions
    found = [row.thread_id for row in sessions.threads(NEED_ENGINE)]
    # The timers of those that were found are set when they have been taken over.
    for row in sessions.due(_EVER, limit=_ALL):
        if row.status not in NEED_ENGINE:
            engine.timers.set(row.thread_id, row.wake_at_ms)
    return found


async def _end_runs(engine: Hub, actors: list[Actor]) -> dict[str, tuple[int, ...]]:
    """End what is left of open runs; return by thread what could not be ended."""
    recorded = engine.store.processes.open()
    open_runs = {a.session.run.run_id: a.thread_id for a in actors if a.session.run is not None}
    run_ids = sorted({*open_runs, *(process.run_id for process in recorded)})
    supervisor = engine.processes.started
    pid = None if supervisor is None else supervisor.pid
    if not engine.heartbeat.confirm():
        return {}  # a successor has the store, and a supervisor that is not to be ended
    orphans = await engine.system.end_orphans(engine.db, run_ids, recorded, pid)
    if orphans.ended:
        _log.warning("processes of an earlier engine were ended", pids=orphans.ended)
    if orphans.left:
        _log.error("processes of an earlier engine cannot be ended", pids=orphans.left)
        # Nobody can tell whose they are, so whoever had a run waits for all of them.
        had_runs = {*open_runs.values(), *(process.thread_id for process in recorded)}
        return dict.fromkeys(sorted(had_runs), orphans.left)
    for process in recorded:
        engine.store.processes.end(process.run_id)
    return {}


async def _take_over(engine: Hub, actor: Actor, *, after_crash: bool) -> Reply:
    run = actor.session.run
    ending = None if run is None else await _ending_of(engine, actor, run)

    def script(session: Session) -> Generator[Said, Step, None]:
        if session.run is not None and ending is not None:
            yield from ending(session)
        yield e.EngineStarted(after_crash=after_crash)

    return await actor.post(script)


async def _free(engine: Hub, actor: Actor, left: tuple[int, ...]) -> None:
    """Let the thread run again when the processes that were left are gone."""
    await engine.watchers.gone(left)
    actor.left = ()
    engine.reconsider(actor)


async def _ending_of(engine: Hub, actor: Actor, run: Run) -> Script:
    """Find out how an open run ended; where nobody can tell, it was interrupted."""
    probe = await _probe(engine, actor.thread_id, run.run_id)
    if probe is not None and probe.state == "finished":
        _log.info("run had finished", thread_id=actor.thread_id, run_id=run.run_id)
        # The journal refuses what was charged before; the session forgets keys after a while.
        told = [
            actor.tell(usage, event_id=usage_id(usage.key)) for usage in usages(run, probe.events)
        ]
        await asyncio.gather(*told)
        return _result(run, probe.events, engine.world.zone())
    _log.warning("run was interrupted", thread_id=actor.thread_id, run_id=run.run_id, turn=run.turn)

    def interrupted(_: Session) -> Generator[Said, Step, None]:
        yield e.RunInterrupted(run_id=run.run_id, detail="the engine stopped while it was running")

    return interrupted


async def _probe(engine: Hub, thread_id: str, run_id: str) -> w.Probe | None:
    """Ask the worker, and have it end the run when it goes on somewhere."""
    try:
        assignment = await engine.assignment(thread_id)
        if assignment is None or "probe" not in assignment.worker.capabilities:
            return None
        worker = assignment.worker
        probe = await worker.probe(run_id)
        while probe.state == "running":
            await worker.abort(run_id)
            probe = await worker.probe(run_id)
            if probe.state == "running":
                await asyncio.sleep(LEFT_RETRY_S)
    except asyncio.CancelledError:
        raise
    except Exception:  # noqa: BLE001 - a worker of the embedder's may raise anything
        _log.exception("probe failed", thread_id=thread_id, run_id=run_id)
        return None
    return probe


def _result(run: Run, reported: tuple[w.TurnEvent, ...], zone: str | None) -> Script:
    """Return the events of a run that finished while no engine was there."""

    def script(_: Session) -> Generator[Said, Step, None]:
        yield finished(run, reported, zone)

    return script


def _undone(engine: Hub) -> list[OpenEffect]:
    """Return the effects that an earlier engine left open, in the order of their commits."""
    found: list[OpenEffect] = []
    while True:
        rows = engine.store.outbox.open(after=found[-1].seq if found else 0, limit=PAGE)
        found += rows
        if len(rows) < PAGE:
            return found


def _redo(engine: Hub, undone: list[OpenEffect]) -> None:
    """Do what an earlier engine left undone."""
    for row in undone:
        actor = engine.readable(row.thread_id)
        if actor is None:
            continue
        try:
            opened = reopened(row)
        except CodecError as error:
            engine.mishap(actor, error)
            continue
        actor.open[row.key] = opened
        engine.do(actor, opened)
    for actor in engine.actors():
        engine.reconsider(actor)


def consume_inbox(engine: Hub) -> None:
    """Decide what was left in the inbox while nobody answered."""
    while True:
        rows = engine.store.inbox.pending(after=engine.inbox_seen, limit=PAGE)
        for row in rows:
            engine.inbox_seen = row.seq
            engine.take_inbox(row)
        if len(rows) < PAGE:
            return
