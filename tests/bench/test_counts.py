"""A guard against slower code that no noise can trip: calls, statements and syncs are counted."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import apsw

from goalfsm.machine import default_machine
from goalfsm.session import Context, handle
from goalfsm.session.state import Session
from goalfsm.store.port import Committed
from goalfsm.store.pump import Pump
from goalfsm.store.sqlite import SqliteStore
from goalfsm.transition import Fire, plan
from tests.bench.durable import commit_of, opened, payload
from tests.bench.pure import PAUSED, recorded

CEILINGS = Path(__file__).with_name("ceilings.json")
"""Most calls per event by kind. ``python -m tests.bench.test_counts`` writes it anew."""


def calls_of(work: Any) -> int:
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


def measured() -> dict[str, float]:
    """Return the mean calls per event of each kind over the session vectors, and of one plan."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for session, event, ctx in recorded():
        by_kind[type(event).__name__].append(calls_of(_handling(session, event, ctx)))
    machine = default_machine()
    counts = {kind: sum(calls) / len(calls) for kind, calls in by_kind.items()}
    counts["plan"] = float(calls_of(lambda: plan(PAUSED, Fire("resume"), 5, machine)))
    return {kind: round(count, 1) for kind, count in sorted(counts.items())}


def _handling(session: Session, event: Any, ctx: Context) -> Any:
    return lambda: handle(session, event, ctx)


def test_no_kind_of_event_calls_more_than_it_did() -> None:
    """A change that makes an event dearer says so by raising the ceiling."""
    ceilings = json.loads(CEILINGS.read_text(encoding="utf-8"))
    now = measured()
    assert set(now) == set(ceilings)
    dearer = {kind: (now[kind], most) for kind, most in ceilings.items() if now[kind] > most * 1.1}
    assert not dearer, "run: python -m tests.bench.test_counts, if this is meant"


def test_sixty_four_threads_share_one_sync_and_few_statements(tmp_path: Path) -> None:
    """64 events that are ready together: one transaction, at most six statements an event."""
    rows = payload()
    statements: Counter[str] = Counter()

    async def flood(store: SqliteStore) -> tuple[int, int]:
        pump = Pump(store, background=False)
        first = [pump.submit(commit_of(f"t{n}", 0, rows)) for n in range(64)]
        await asyncio.gather(*first)
        before = pump.stats.batches
        connection = store._database.connection()
        connection.set_exec_trace(_counting(statements))
        second = [pump.submit(commit_of(f"t{n}", 1, rows)) for n in range(64)]
        outcomes = await asyncio.gather(*second)
        connection.set_exec_trace(None)
        assert all(isinstance(outcome, Committed) for outcome in outcomes)
        await pump.close()
        return pump.stats.batches - before, sum(statements.values())

    with opened(str(tmp_path)) as store:
        batches, executed = asyncio.run(flood(store))
    assert batches == 1
    assert executed <= 6 * 64, statements.most_common(5)


def _counting(statements: Counter[str]) -> Any:
    def trace(_cursor: apsw.Cursor, sql: str, _bindings: Any) -> bool:
        statements[sql.split(maxsplit=1)[0]] += 1
        return True

    return trace


if __name__ == "__main__":
    CEILINGS.write_text(json.dumps(measured(), indent=2) + "\n", encoding="utf-8")
