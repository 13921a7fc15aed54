"""The figures of docs/proofs.md are those that its commands print."""

from __future__ import annotations

import re
from pathlib import Path

from goalfsm.diagram.ours.table_rows import TABLES
from goalfsm.goal.machine import TRANSITIONS
from goalfsm.session.continuation import GUARDS
from goalfsm.testing.invariants import INVARIANTS
from recovery.machine import PHASE_TRANSITIONS, TABLE
from recovery.stale_work import LIFECYCLE
from tests.conftest import VECTORS
from tests.recovery import recovery_exploring, stale_work_exploring
from tests.recovery import test_machine as recovery
from tests.recovery import test_stale_work as stale
from tests.unit import test_continuation as continuation
from tests.unit import test_machine as goal
from tests.unit import test_table_agreement as agreement

PAGE = (Path(__file__).parents[2] / "docs" / "proofs.md").read_text("utf-8")
FLAT = " ".join(PAGE.split())


def test_the_vectors() -> None:
    counts = {
        path.stem: len(path.read_text("utf-8").split("\n")) - 1 for path in VECTORS.glob("*.jsonl")
    }
    assert f"{sum(counts.values()):,} vectors in {len(counts)} files" in PAGE
    recorded = FLAT.split("recorded under a frozen clock: ")[1].split(" whole threads")[0]
    assert sorted(map(int, re.findall(r"\d+", recorded))) == sorted(counts.values())


def test_the_changed_tables() -> None:
    changed = {
        "The goal: rows": (len(TRANSITIONS), len(list(goal.changes()))),
        "Recovery": (len(PHASE_TRANSITIONS), len(list(recovery.mutants()))),
        "Superseded work": (len(LIFECYCLE), len(list(stale.mutants()))),
        "Continuation: its chain of guards": (
            len(GUARDS),
            len(list(continuation.changed_chains())),
        ),
    }
    for name, (rows, changes) in changed.items():
        assert f"| {name} | {rows} | {changes} | 0 |" in PAGE
    rest = len([*agreement.mutants_of_rows(), *agreement.mutants_of_the_rest()])
    assert f"that nothing is planned by | | {rest} | 0 |" in PAGE
    total = rest + sum(changes for _, changes in changed.values())
    assert f"| {total:,} changes, missed 0 |" in PAGE
    watched = sum(len(rows()) for rows in TABLES.values())
    assert f"{watched} of {watched} rows" in PAGE


def test_the_invariants() -> None:
    assert f"| {len(INVARIANTS)} invariants |" in PAGE
    assert f"signatures for recovery ({recovery_exploring.INVARIANTS} invariants)" in FLAT
    assert f"for the reducer ({stale_work_exploring.INVARIANTS} invariants)" in FLAT


def test_the_reachable_states_of_recovery() -> None:
    seen = recovery_exploring.explore(TABLE, attempts=3)
    figure = f"{seen.states} states, {seen.transitions:,} transitions, depth {seen.depth}"
    assert figure in PAGE
