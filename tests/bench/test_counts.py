"""A guard against slower code that no noise can trip: calls, statements and syncs are counted."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import apsw

from goalfsm.daemon.engine import Engine
from goalfsm.goal.machine import default_machine
from goalfsm.goal.transition import Fire, plan
from goalfsm.session.events import ObjectiveGiven
from goalfsm.session.policy import Policy
from goalfsm.session.thread import handle
from goalfsm.store.port import Committed
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite import SqliteStore
from goalfsm.testing.clock import GoalClock
from goalfsm.testing.simulated import SimulatedSystem
from goalfsm.workers.inprocess import CallableWorker
from goalfsm.workers.protocol import TurnEvent, UsageReported, Work
from tests.bench import traces
from tests.bench.durable import commit_of, opened, payload
from tests.bench.pure import PAUSED, recorded
from tests.store.faulty_vfs import FaultyVfs
from tests.store.pumping import submit

CEILINGS = Path(__file__).with_name("ceilings.json")
"""Most calls and bytes per event by kind, most files a way.

``python -m tests.bench.test_counts`` writes it anew.
"""

MARGINS = {"calls": 1.1, "bytes": 1.1, "files": 1.0}
SYNCS_A_TURN = 1.1
STATEMENTS_A_TURN = 12
ROWS_A_TURN = 3
CALLS_A_TURN = 1_700
Figures = dict[str, dict[str, float]]


def calls_of(work: Callable[[], object]) -> int:
    """Return how many functions, Python's and C's, ``work`` calls."""
    count = 0

    def profile(_frame: Any, event: str, _arg: Any) -> None:
        nonlocal count
        if event in {"call", "c_call"}:
            count += 1

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def bytes_of(work: Callable[[], object]) -> int:
    """Return how many bytes more are allocated while ``work`` runs, at its peak."""
    # Whoever traces the lines, to measure coverage, allocates as well.
    tracer = sys.gettrace()
    sys.settrace(None)
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        sys.settrace(tracer)


def files() -> dict[str, float]:
    """Return through how many of our files each way goes that `traces` follows."""
    with tempfile.TemporaryDirectory() as folder:
        ways = asyncio.run(traces.followed(Path(folder) / "ways.db"))
    return {what: tracer.way.files for what, tracer in ways.items()}


def measured() -> Figures:
    """Return mean calls and bytes per event of each kind over the session vectors, and files."""
    calls: dict[str, list[int]] = defaultdict(list)
    sizes: dict[str, list[int]] = defaultdict(list)
    machine = default_machine()
    works: list[tuple[str, Callable[[], object]]] = [
        (type(event).__name__, partial(handle, session, event, ctx))
        for session, event, ctx in recorded()
    ]
    works.append(("plan", partial(plan, PAUSED, Fire("resume"), 5, machine)))
    for kind, work in works:
        # The first time fills caches.
        work()
        calls[kind].append(calls_of(work))
        sizes[kind].append(bytes_of(work))
    means = {
        what: {kind: round(fmean(counts), 1) for kind, counts in sorted(kinds.items())}
        for what, kinds in (("calls", calls), ("bytes", sizes))
    }
    return {**means, "files": files()}


def test_nothing_takes_more_calls_bytes_or_files_than_it_did() -> None:
    """A change that makes an event dearer, or a way longer, says so by raising the ceiling."""
    ceilings: Figures = json.loads(CEILINGS.read_text(encoding="utf-8"))
    now = measured()
    assert {what: set(kinds) for what, kinds in now.items()} == {
        what: set(kinds) for what, kinds in ceilings.items()
    }
    dearer = {
        (what, kind): (now[what][kind], most)
        for what, kinds in ceilings.items()
        for kind, most in kinds.items()
        if now[what][kind] > most * MARGINS[what]
    }
    assert not dearer, "run: python -m tests.bench.test_counts, if this is meant"


def test_sixty_four_threads_share_one_sync_and_few_statements(tmp_path: Path) -> None:
    """64 events that are ready together: one transaction, at most six statements an event."""
    rows = payload()

    async def flood(store: SqliteStore) -> None:
        store.checkpointer = lambda: None
        pump = Pump(store)
        first = [submit(pump, commit_of(f"t{n}", 0, rows)) for n in range(64)]
        await asyncio.gather(*first)
        with disk.counting(store):
            second = [submit(pump, commit_of(f"t{n}", 1, rows)) for n in range(64)]
            outcomes = await asyncio.gather(*second)
        assert all(isinstance(outcome, Committed) for outcome in outcomes)
        await pump.close()

    disk = Disk()
    with opened(str(tmp_path), disk.vfs.name) as store:
        asyncio.run(flood(store))
    assert disk.syncs == 1
    assert disk.statements.total() <= 6 * 64, disk.statements.most_common(5)


def test_a_turn_costs_few_syncs_and_statements(tmp_path: Path) -> None:
    """From one dispatch to the next, with one usage report, with an engine that has one thread."""
    clock, disk = GoalClock(), Disk()
    system = SimulatedSystem(clock)
    system.boot()
    store = Quiet.open(tmp_path / "goals.db", vfs=disk.vfs.name)
    turns = 0

    async def turn(_work: Work) -> AsyncIterator[TurnEvent | str]:
        nonlocal turns
        turns += 1
        await asyncio.sleep(1 if turns in {5, 25} else 0)
        yield UsageReported(input_tokens=1)
        yield f"answer {turns}"

    policy = Policy(no_progress=0, max_continuations=0)
    engine = Engine(
        store, workers=CallableWorker(turn), policy=policy, serve=False, platform=system
    )
    clock.run(engine.__aenter__())
    clock.run(engine.submit("one", ObjectiveGiven(objective="go on")))
    clock.run_until(lambda: turns == 5)
    before = newest(store)
    with disk.counting(store):
        calls = calls_of(lambda: clock.run_until(lambda: turns == 25))
    rows = newest(store) - before
    clock.run(engine.stop(0))
    store.close()
    clock.close()
    assert disk.syncs <= 20 * SYNCS_A_TURN
    assert disk.statements.total() <= 20 * STATEMENTS_A_TURN, disk.statements.most_common(9)
    assert rows <= 20 * ROWS_A_TURN
    assert calls <= 20 * CALLS_A_TURN


def newest(store: SqliteStore) -> int:
    """Return the revision of the one thread."""
    return store.journal.read("one", limit=1, newest=True)[0].revision


class Quiet(SqliteStore):
    """Checkpoints inside its commits: virtual time does not pass for another thread."""

    def __init__(self, *opened: Any) -> None:
        """Leave the checkpoints to the commits."""
        super().__init__(*opened)
        self.checkpointer = lambda: None


class Disk:
    """Counts what a store does while it is counted."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self.vfs = FaultyVfs()
        self.statements: Counter[str] = Counter()
        self.syncs = 0

    @contextmanager
    def counting(self, store: SqliteStore) -> Iterator[None]:
        """Count what happens inside."""
        connection = store._database.connection()
        before = self.vfs.counts["sync"]
        connection.set_exec_trace(self._trace)
        yield
        connection.set_exec_trace(None)
        self.syncs = self.vfs.counts["sync"] - before

    def _trace(self, _cursor: apsw.Cursor, sql: str, _bindings: Any) -> bool:
        self.statements[" ".join(sql.split()[:3])] += 1
        return True


if __name__ == "__main__":
    CEILINGS.write_text(json.dumps(measured(), indent=2) + "\n", encoding="utf-8")
