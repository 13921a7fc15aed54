"""What `goalfsm doctor` looks at on a server: the same threads, and the nodes that serve them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from goalfsm.cli.health import (
    Check,
    Finding,
    carried_out,
    counted,
    integrity,
    open_runs,
    replays,
    stopped,
    waiting_turns,
)
from goalfsm.views.explain import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.store.postgres.store import PostgresReading
    from goalfsm.store.rows import Facts

RESTORE: Final = "stop the nodes and restore a backup of the database"
_KEEP: Final = "keep a copy, pg_dump makes one"
_LOSES: Final = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""Settings with which a crash of the server may lose what was answered already."""


def examine(store: PostgresReading, now_ms: int) -> Iterator[Finding]:
    """Yield what every check found on a server."""
    checks: tuple[Check, ...] = (
        ("integrity", lambda: [integrity(store, RESTORE)]),
        ("replay", lambda: replays(store, RESTORE, _KEEP)),
        ("faults", lambda: _faults(store)),
        ("nodes", lambda: _nodes(store)),
        ("open run", lambda: open_runs(store)),
        ("open work", lambda: [_open_work(store, now_ms)]),
        ("places", lambda: _places(store)),
        ("settings", lambda: [_settings(store.facts())]),
    )
    return carried_out(checks, RESTORE)


def _faults(store: PostgresReading) -> Iterator[Finding]:
    found = list(stopped(store))
    yield from found
    if not found:
        yield Finding(found="no fault has stopped a thread")


def _nodes(store: PostgresReading) -> Iterator[Finding]:
    nodes = store.drivers.nodes()
    for node in nodes:
        who = f"{node.name} on {node.host}, process {node.pid}, goalfsm {node.version}"
        serves = f"{', '.join(node.places)}: {node.runs} of {counted(node.max_runs, 'turn')}"
        if node.alive:
            yield Finding(found=f"{who}, since {moment(node.since_ms)}, serves {serves}")
        else:
            told = f"{who}, is silent since {moment(node.seen_ms)}; others take its turns over"
            yield Finding(found=told)
    if not any(node.alive for node in nodes):
        hint = "goalfsm node DATABASE serves this database"
        yield Finding(found="no node serves this database", hint=hint)


def _open_work(store: PostgresReading, now_ms: int) -> Finding:
    facts = store.facts()
    due, turns = len(store.sessions.due(now_ms)), sum(1 for _ in waiting_turns(store))
    found = f"{counted(turns, 'turn')} to begin, {counted(facts.open_effects, 'effect')} to do"
    found += f", {counted(due, 'timer')} due" if due else ""
    return Finding(found=found)


def _places(store: PostgresReading) -> Iterator[Finding]:
    """Look for turns that no node takes: their threads have no program, or a place of nobody's."""
    driving = (store.drivers.of(thread_id) for thread_id in waiting_turns(store))
    unserved = Counter(found.place for found in driving if not found.nodes)
    for place, turns in sorted(unserved.items()):
        what = f"no node serves the place {place}" if place else "no program is stored"
        hint = f"goalfsm node DATABASE --places {place}" if place else "goalfsm set stores one"
        told = f"{counted(turns, 'thread')} waiting: {what}"
        yield Finding(found=told, hint=hint)
    if not unserved:
        yield Finding(found="no turn waits for a place that nobody serves")


def _settings(facts: Facts) -> Finding:
    settings = dict(facts.settings)
    shown = f"{facts.backend} {facts.version}, schema {facts.schema_version}"
    shown += f", {facts.size or 0:,} bytes used"
    risky = [name for name, value in _LOSES.items() if settings.get(name) == value]
    if not risky:
        return Finding(found=shown)
    return Finding(
        ok=False,
        found=f"{shown}; {' and '.join(risky)} off: a crash of the server loses what was answered",
        hint=f"ALTER SYSTEM SET {risky[0]} = on, then SELECT pg_reload_conf()",
    )
