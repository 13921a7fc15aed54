"""Goals on PostgreSQL: what a turn, a command, a message and a death take, beside the daemon."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import psycopg
from tenacity import retry, retry_if_exception_type

from goalfsm.cluster import turns
from goalfsm.cluster.decider import Attempt
from goalfsm.cluster.engine import ClusterEngine
from goalfsm.daemon.engine import Engine
from goalfsm.daemon.flow.decide import Envelope
from goalfsm.session.events import (
    ObjectiveGiven,
    PauseRequested,
    ResumeRequested,
    SteeringReceived,
)
from goalfsm.store.sqlite import SqliteStore
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import SteeringAcknowledged, TurnEvent, Work
from tests.bench.durable import dbos_workflow
from tests.bench.engines import ENDLESS, Stopwatch
from tests.bench.harness import Contender, Section, compare, figure, percentile
from tests.cluster.killing import AWAY_S, Killing, drawn
from tests.postgres import PostgresServer, postgres_server

TITLE = "More than one machine"


def section(*, quick: bool) -> list[Section]:
    """Measure on a PostgreSQL of our own, with its syncs on, on a Unix socket."""
    with postgres_server() as server:
        found = Section(f"{TITLE}: on PostgreSQL, over a Unix socket, syncs on")
        asyncio.run(_turns(server, found, 100 if quick else 1_000))
        asyncio.run(_commands(server, found, 50 if quick else 500))
        asyncio.run(_steering(server, found, 20 if quick else 90))
        asyncio.run(_idle(server, found, 5.0 if quick else 20.0))
        _price(server, found, 300 if quick else 2_000)
        rates = _rates(server, quick=quick)
    return [found, rates]


async def _turns(server: PostgresServer, found: Section, count: int) -> None:
    """Measure from a turn's end to the next one's start, committed."""
    for name, in_a_row in (("follow-on", 1_000_000), ("through the queue", 0)):
        watch = Stopwatch(count)
        with mock.patch.object(turns, "IN_A_ROW", in_a_row):
            engine = _engine(server.create(), CallableWorker(watch.turn))
            async with engine:
                await engine.submit("one", ObjectiveGiven(objective="go on"))
                await watch.enough.wait()
                await engine.stop(0)
        _pair(found, f"turn end to next dispatch, {name}", watch.gaps["one"], 0.99)


async def _commands(server: PostgresServer, found: Section, count: int) -> None:
    """Measure what a command takes that is decided in PostgreSQL, on an open connection."""
    async with ClusterEngine(server.create(), policy=ENDLESS, places=["none"]) as engine:
        await engine.submit("one", ObjectiveGiven(objective="go on"))
        times = []
        for number in range(count):
            start = time.perf_counter()
            event = ResumeRequested() if number % 2 else PauseRequested()
            envelope = Envelope(event, event_id=f"m{number}", outside=True)
            await engine._node.decider.decide(Attempt("one", [envelope]))
            times.append((time.perf_counter() - start) * 1000)
    _pair(found, "a command", times, 0.99)


async def _steering(server: PostgresServer, found: Section, count: int) -> None:
    """Measure from a message that is sent at one node to the turn at another that takes it."""
    taken: dict[str, float] = {}
    came = asyncio.Event()

    read: asyncio.Queue[str] = asyncio.Queue()

    async def turn(work: Work) -> AsyncIterator[TurnEvent | str]:
        yield work.run_id
        while True:
            yield SteeringAcknowledged(id=await read.get())

    async def steer(_run: str, message_id: str, _text: str) -> bool:
        taken[message_id] = time.perf_counter()
        read.put_nowait(message_id)
        came.set()
        return True

    dsn, times = server.create(), []
    running = _engine(dsn, CallableWorker(turn, steer=steer), name="one")
    async with running, ClusterEngine(dsn, places=["none"], name="two") as other:
        await running.submit("one", ObjectiveGiven(objective="go on"))
        while (await running.session("one")).run is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        for number in range(count):
            came.clear()
            start = time.perf_counter()
            event = SteeringReceived(message_id=f"m{number}", text="be quick")
            reply = await other.submit("one", event)
            assert reply.ok, reply
            await came.wait()
            times.append((taken[f"m{number}"] - start) * 1000)
        await running.stop(0)
    _pair(found, "a message into a turn at another node", times, 1.0)


async def _idle(server: PostgresServer, found: Section, seconds: float) -> None:
    """Count what a node does that has nothing to do."""
    dsn = server.create()
    async with ClusterEngine(dsn):
        await asyncio.sleep(2.0)
        with psycopg.connect(server.uri(), autocommit=True) as asking:
            name = psycopg.conninfo.conninfo_to_dict(dsn)["dbname"]

            def committed() -> int:
                row = asking.execute(
                    "SELECT xact_commit FROM pg_stat_database WHERE datname = %s", (name,)
                ).fetchone()
                return 0 if row is None else int(row[0])

            before, used = committed(), time.process_time()
            await asyncio.sleep(seconds)
            used = time.process_time() - used
            await asyncio.sleep(1.5)  # a backend reports what it has done a moment later
            done = committed() - before
    found.figures.append(figure("an idle node: transactions", [done / (seconds + 1.5)], "/s"))
    found.figures.append(figure("an idle node: processor", [100 * used / seconds], "%"))


def deaths(*, quick: bool) -> Section:
    """Kill and stop nodes, far enough apart that each says something."""
    found = Section(f"{TITLE}: a node dies, or is stopped")
    with postgres_server() as server:
        for fault, name, harm in (
            ("kill", "kill -9", 3 if quick else 140),
            ("stop", "SIGSTOP", 3 if quick else 15),
        ):
            with tempfile.TemporaryDirectory() as scratch:
                killing = Killing(server, Path(scratch), seed=1, nodes=3, threads=12)
                findings = killing.run([fault] * harm, pause_s=5.0)  # type: ignore[list-item]
            times = findings.takeovers if fault == "kill" else findings.takeovers_of_stopped
            _pair(found, f"takeover after {name}", times, 1.0, unit="s")
            found.lines.append(f"{name}: {findings.summary()}")
    return found


def storm(*, quick: bool) -> Section:
    """Do 200 harms of every kind to the nodes of 50 threads; nobody restarts anything else."""
    harms = drawn(1, 20 if quick else 200)
    found = Section(f"{TITLE}: a storm of deaths, 50 threads on 3 nodes")
    with postgres_server() as server, tempfile.TemporaryDirectory() as scratch:
        killing = Killing(server, Path(scratch), seed=1, nodes=3, threads=50)
        seen = killing.run(harms, pause_s=4.0, away_s=(1.0,) if quick else AWAY_S)
    counted = {
        "nodes killed": seen.counts.get("kill", 0),
        "nodes stopped": seen.counts.get("stop", 0),
        "PostgreSQL killed": seen.counts.get("crash", 0),
        "queue emptied": seen.counts.get("wipe", 0),
        "turns": seen.turns,
        "turns interrupted": seen.interrupted,
        "messages to running turns": seen.steered,
        "faults": len(seen.faults),
    }
    found.figures += [figure(name, [count], "") for name, count in counted.items()]
    away = ", ".join(f"{each:g}" for each in AWAY_S)
    found.lines.append(
        "A fault is a turn started twice or beside another of its thread, usage charged twice or "
        "lost, a message lost, a goal that does not end, a replay that differs from the snapshot. "
        f"PostgreSQL is away for {away} s in turn."
    )
    found.lines += seen.faults
    return found


def _price(server: PostgresServer, found: Section, count: int) -> None:
    """Tell what a turn of one of 16 busy threads takes, of whom: beside what it takes on a file."""
    asked = 0
    execute, commit = psycopg.AsyncConnection.execute, psycopg.AsyncConnection.commit

    async def executed(self: Any, *given: Any, **more: Any) -> Any:
        nonlocal asked
        asked += 1
        return await execute(self, *given, **more)

    async def committed(self: Any) -> None:
        nonlocal asked
        # A connection that has nothing to commit asks for nothing.
        asked += self.pgconn.transaction_status != psycopg.pq.TransactionStatus.IDLE
        await commit(self)

    with mock.patch.multiple(psycopg.AsyncConnection, execute=executed, commit=committed):
        _node(server, count)
    found.figures.append(figure("a turn: statements, commits included", [asked / count], ""))
    for name, run, of_server in (
        ("a turn: processor of the node", lambda: _node(server, count), False),
        ("a turn: processor of PostgreSQL", lambda: _node(server, count), True),
        ("a turn on a file: processor", lambda: _daemon(count), False),
    ):
        spent = _spent_by(server) if of_server else time.process_time()
        run()
        now = _spent_by(server) if of_server else time.process_time()
        found.figures.append(figure(name, [(now - spent) / count * 1e6], "µs"))


@retry(retry=retry_if_exception_type(psutil.NoSuchProcess))  # one ended while it was looked at
def _spent_by(server: PostgresServer) -> float:
    """Return the processor time of a server, of its processes that have ended too, in seconds."""
    times = [each.cpu_times() for each in server.processes()]
    return sum(each.user + each.system for each in times) + sum(
        each.children_user + each.children_system for each in times
    )


def _rates(server: PostgresServer, *, quick: bool) -> Section:
    """Compare how long a turn takes where many threads are busy: on a file, and on PostgreSQL."""
    count = 200 if quick else 1_000
    contenders = [
        Contender("SQLite daemon", _daemon, "16 threads, in-process worker"),
        Contender("a node on PostgreSQL", lambda n: _node(server, n), "the same"),
    ]
    title = f"{TITLE}: a turn of one of many threads, beside the daemon"
    with dbos_workflow("bench-cluster", server.create(migrated=False)) as workflow:
        if workflow is not None:
            contenders.append(Contender("DBOS on PostgreSQL", workflow, "a step of a workflow"))
        return compare(title, contenders, count=count, repeat=3 if quick else 7)


def _daemon(count: int) -> float:
    async def run() -> float:
        watch = Stopwatch(count)
        with tempfile.TemporaryDirectory() as scratch:
            store = SqliteStore.open(Path(scratch) / "a.db")
            try:
                worker = CallableWorker(watch.turn)
                async with Engine(
                    store, workers=worker, policy=ENDLESS, serve=False, max_runs=16
                ) as engine:
                    return await _busy(engine, watch)
            finally:
                store.close()

    return asyncio.run(run())


def _node(server: PostgresServer, count: int) -> float:
    async def run() -> float:
        watch = Stopwatch(count)
        async with _engine(server.create(), CallableWorker(watch.turn), max_runs=16) as engine:
            return await _busy(engine, watch)

    return asyncio.run(run())


async def _busy(engine: Any, watch: Stopwatch) -> float:
    start = time.perf_counter()
    for number in range(16):
        await engine.submit(f"t{number}", ObjectiveGiven(objective="go on"))
    await watch.enough.wait()
    seconds = time.perf_counter() - start
    await engine.stop(0)
    return seconds


def _engine(dsn: str, worker: CallableWorker, **given: Any) -> ClusterEngine:
    return ClusterEngine(dsn, workers=worker, policy=ENDLESS, **given)


def _pair(found: Section, name: str, times: list[float], share: float, *, unit: str = "ms") -> None:
    """Add the median, and what all but a few are below; at 1.0 the most."""
    if not times:
        found.lines.append(f"{name}: not seen")
        return
    worst = max(times) if share == 1.0 else percentile(times, share)
    label = "max" if share == 1.0 else f"p{share * 100:.0f}"
    note = f"{len(times):,} times"
    found.figures.append(figure(f"{name}, p50", [statistics.median(times)], unit, note=note))
    found.figures.append(figure(f"{name}, {label}", [worst], unit))
