"""Durable events per second: the store beside raw loops of the same transaction and its peers."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import apsw

from goalfsm.daemon.host.platform import SystemClock, own_identity
from goalfsm.errors import StoreError
from goalfsm.session import Context, codec
from goalfsm.session.effects import SendWork
from goalfsm.session.events import HostChanged, ObjectiveGiven
from goalfsm.session.state import Session
from goalfsm.session.thread import handle
from goalfsm.store.port import Acquired, Commit, Committed, Outcome
from goalfsm.store.port import Effect as OutboxRow
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite import SqliteStore
from tests.bench.harness import Contender, Section, compare, figure

Payload = tuple[bytes, bytes, bytes, bytes]
"""An event, the state after it, that state's digest, an effect."""


def payload() -> Payload:
    """Return a real event, snapshot, digest and effect of one thread."""
    ctx = Context(now_ms=1_800_000_000_000, ids=lambda kind: f"{kind}-1")
    session = handle(Session(), ObjectiveGiven(objective="ship the release"), ctx).session
    effect = SendWork(kind="continuation", goal_id="goal-1", deliver_as="follow_up")
    state = codec.encode(session)
    return (
        codec.encode_event(HostChanged(idle=True)),
        state,
        codec.digest(state),
        codec.encode_effect(effect),
    )


def commit_of(thread: str, revision: int, rows: Payload) -> Commit:
    """Return the commit that makes ``thread`` one revision newer."""
    event, state, digest, effect = rows
    return Commit(
        thread_id=thread,
        expected_revision=revision,
        at_ms=1_800_000_000_000 + revision,
        event_id=f"e{revision}",
        event=event,
        state=state,
        digest=digest,
        status="active",
        outbox=(OutboxRow(key=f"{thread}:{revision}", kind="SendWork", payload=effect),),
    )


@contextmanager
def opened(folder: str, vfs: str | None = None, name: str = "goals.db") -> Iterator[SqliteStore]:
    """Yield a store that this process owns."""
    store = SqliteStore.open(Path(folder) / name, vfs=vfs)
    claimed = store.owner.acquire(own_identity(), socket="", uptime_ms=SystemClock().uptime_ms())
    assert isinstance(claimed, Acquired)
    try:
        yield store
    finally:
        store.close()


class Raw:
    """The same transaction by hand: the same rows of the same tables, a statement for each."""

    def __init__(self, folder: str) -> None:
        path = Path(folder) / "raw.db"
        with opened(folder, name=path.name):
            pass
        self.db = apsw.Connection(str(path))
        # SQLite's own way to keep the log short: a checkpoint at a thousand pages.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=1000"):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.execute("INSERT INTO session VALUES ('t', 0, 1, 'active', NULL, 0, 1, x'')")
        self.revision = 0

    def run(self, count: int, rows: Payload, batch: int) -> float:
        """Write ``count`` events, ``batch`` in a transaction; return the seconds."""
        event, state, digest, effect = rows
        execute, revision = self.db.cursor().execute, self.revision
        start = time.perf_counter()
        for first in range(0, count, batch):
            execute("BEGIN IMMEDIATE")
            execute("SELECT epoch FROM owner WHERE id = 1").fetchall()
            for _ in range(min(batch, count - first)):
                execute(
                    "UPDATE session SET revision = revision + 1, epoch = ?, wake_at_ms = ?, "
                    "updated_at_ms = ?, rules_version = ?, state = ? "
                    "WHERE thread_id = ? AND revision = ?",
                    (1, None, revision, 1, state, "t", revision),
                )
                revision += 1
                execute(
                    "INSERT INTO journal (thread_id, revision, event_id, at_ms, rules_version, "
                    "epoch, digest, event, decision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    ("t", revision, f"e{revision}", revision, 1, 1, digest, event, None),
                )
                execute(
                    "INSERT INTO outbox (key, thread_id, revision, at_ms, kind, payload) "
                    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (f"t:{revision}", "t", revision, revision, "SendWork", effect),
                )
            execute("COMMIT")
        took = time.perf_counter() - start
        self.revision = revision
        return took


class Ours:
    """The store through its pump, with as many threads as asked for."""

    def __init__(self, store: SqliteStore, threads: int, rows: Payload, name: str = "") -> None:
        self._loop = asyncio.Runner()
        self.pump = self._loop.run(_pump(store))
        names = (f"{name}{threads}-{number}" for number in range(threads))
        self._threads = [Thread(self.pump, name, rows) for name in names]

    def run(self, count: int) -> float:
        """Write ``count`` events over all threads; return the seconds."""
        return self._loop.run(self._run(max(1, count // len(self._threads))))

    async def _run(self, each: int) -> float:
        start = time.perf_counter()
        await asyncio.gather(*(thread.write(each) for thread in self._threads))
        return time.perf_counter() - start

    def close(self) -> None:
        """Close the pump and its loop."""
        self._loop.run(self.pump.close())
        self._loop.close()


class Thread:
    """A source of commits as a mailbox is one: it has the next when the last one is durable."""

    def __init__(self, pump: Pump, name: str, rows: Payload) -> None:
        self._pump, self._name, self._rows = pump, name, rows
        self._revision = self._last = 0

    def write(self, count: int) -> asyncio.Future[None]:
        """Write ``count`` events, one after the other."""
        self._last = self._revision + count
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pump.ready(self)
        return self._over

    def commits(self) -> list[Commit]:
        return [commit_of(self._name, self._revision, self._rows)]

    def settled(self, result: Sequence[Outcome] | StoreError) -> None:
        assert not isinstance(result, StoreError)
        outcome = result[0]
        assert isinstance(outcome, Committed)
        self._revision = outcome.revision
        if self._revision < self._last:
            self._pump.ready(self)
        else:
            self._over.set_result(None)


async def _pump(store: SqliteStore) -> Pump:
    return Pump(store)


def _jsonl(folder: str, rows: Payload) -> Callable[[int], float]:
    event, state, _, _ = rows
    line = json.dumps({"event": event.decode(), "state": state.decode()}).encode() + b"\n"
    path = Path(folder) / "events.jsonl"

    def run(count: int) -> float:
        with path.open("ab", buffering=0) as file:
            start = time.perf_counter()
            for _ in range(count):
                file.write(line)
                os.fsync(file.fileno())
            return time.perf_counter() - start

    return run


def _langgraph(folder: str, rows: Payload) -> Callable[[int], float] | None:
    try:
        import sqlite3

        from langgraph.checkpoint.base import empty_checkpoint
        from langgraph.checkpoint.sqlite import SqliteSaver
    except ImportError:
        return None
    connection = sqlite3.connect(Path(folder) / "saver.db", check_same_thread=False)
    saver = SqliteSaver(connection)
    saver.setup()
    connection.execute("PRAGMA synchronous=FULL")
    state = rows[1].decode()
    serial = iter(range(1 << 60))

    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            checkpoint: Any = empty_checkpoint()
            checkpoint["id"] = f"{next(serial):020}"
            checkpoint["channel_values"] = {"state": state}
            config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
            saver.put(config, checkpoint, {"source": "loop", "step": 1, "parents": {}}, {})
        return time.perf_counter() - start

    return run


@contextmanager
def dbos_workflow(name: str, url: str) -> Iterator[Callable[[int], float] | None]:
    """Hold what runs one workflow of so many steps, None where DBOS is not installed."""
    try:
        from dbos import DBOS
    except ImportError:
        yield None
        return
    config: Any = {
        "name": name,
        "system_database_url": url,
        "run_admin_server": False,
        "log_level": "CRITICAL",
    }
    DBOS(config=config)

    @DBOS.step()
    def step(number: int) -> int:
        return number

    @DBOS.workflow()
    def work(count: int) -> int:
        return sum(step(number) for number in range(count))

    DBOS.launch()

    def run(count: int) -> float:
        start = time.perf_counter()
        work(count)
        return time.perf_counter() - start

    try:
        yield run
    finally:
        # There is one a process: the next one would go on with this one's database.
        DBOS.destroy(destroy_registry=True)


def throughput(*, quick: bool, folder: str | None = None) -> list[Section]:
    """Events per second, one thread and 64 threads."""
    rows = payload()
    count = 300 if quick else 1_000
    repeat = 3 if quick else 21
    with tempfile.TemporaryDirectory(dir=folder) as scratch, ExitStack() as stack:
        raw, hundred = (Raw(_folder(scratch, name)) for name in ("raw", "hundred"))
        # A file each: a peer's log is not to be moved on another's time.
        one, many = (
            stack.enter_context(_ours(_folder(scratch, str(threads)), threads, rows))
            for threads in (1, 64)
        )
        contenders = [
            Contender("raw loop, one event a commit", lambda n: raw.run(n, rows, 1)),
            Contender("goalfsm store, 1 thread", one.run),
            Contender("goalfsm store, 64 threads", many.run),
            Contender("raw loop, 100 events a commit", lambda n: hundred.run(n, rows, 100)),
            Contender("JSON lines, fsync each", _jsonl(scratch, rows)),
        ]
        langgraph = _langgraph(scratch, rows)
        if langgraph is not None:
            contenders.append(
                Contender("LangGraph SqliteSaver", langgraph, "put(), WAL, synchronous=FULL")
            )
        workflow = stack.enter_context(dbos_workflow("bench", f"sqlite:///{scratch}/dbos.sqlite"))
        if workflow is not None:
            contenders.append(Contender("DBOS on SQLite", workflow, "a step of a workflow"))
        for contender in contenders[:4]:
            # Until the log was as long as it gets, each commit makes its file longer.
            contender.run(300 if quick else 6_000)
        section = compare("Time of one durable event", contenders, count=count, repeat=repeat)
        section.lines.append(
            "Ratios are times against the raw loop: below 1 is faster. It changes the same rows of "
            "the same tables by hand; both use WAL and `synchronous=FULL`, and keep the log short "
            "while they are measured: SQLite by itself, our store beside the commits."
        )
        return [section, _cost(one, many, rows, raw, quick=quick)]


def _folder(parent: str, name: str) -> str:
    made = Path(parent, name)
    made.mkdir()
    return str(made)


@contextmanager
def _ours(folder: str, threads: int, rows: Payload) -> Iterator[Ours]:
    with opened(folder) as store:
        ours = Ours(store, threads, rows)
        try:
            yield ours
        finally:
            ours.close()


def _cost(one: Ours, many: Ours, rows: Payload, raw: Raw, *, quick: bool) -> Section:
    """Measure syncs and processor time per event: what is left beside the disk."""
    section = Section("What a durable event costs beside the disk")
    count = 640 if quick else 6_400
    runs: dict[str, Callable[[], float]] = {
        "raw loop, processor time": lambda: raw.run(count, rows, 1),
        "1 thread, processor time": lambda: one.run(count),
        "64 threads, processor time": lambda: many.run(count),
    }
    before = many.pump.stats.events, many.pump.stats.batches
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(3 if quick else 7):
        for name, run in runs.items():
            start = time.process_time()
            run()
            spent[name].append((time.process_time() - start) / count * 1e6)
    section.figures += [figure(name, times, "µs") for name, times in spent.items()]
    events, batches = many.pump.stats.events - before[0], many.pump.stats.batches - before[1]
    section.figures.append(
        figure("64 threads, events per commit", [events / batches], "events", note="one sync each")
    )
    section.lines.append(
        "What our commit does and the loop does not: it looks whether the owner's epoch and the "
        "thread's revision were those expected, and takes a batch apart by savepoints where one "
        "was not; it sees that the file is still the one at its path, bounds what an event may "
        "weigh, and wakes who waits."
    )
    return section


def sync_time(folder: str | None = None) -> float:
    """Return the median microseconds of one fsync of 4 KiB on this disk."""
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        times = []
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1e6)
    return statistics.median(times)
