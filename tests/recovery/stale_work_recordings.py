"""The recorded sequences of superseded work, replayed with any table."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from recovery.obligations import IDLE, Event, State
from recovery.stale_work import Reduction, Table, reduce

if TYPE_CHECKING:
    from collections.abc import Iterator


VECTORS = Path(__file__).parents[1] / "conformance" / "vectors" / "stale_work.jsonl"


@cache
def recorded() -> tuple[tuple[Any, tuple[tuple[Event, Reduction], ...]], ...]:
    """Return (id, steps) of every recorded sequence."""
    sequences = []
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        data = msgspec.json.decode(line)
        steps = tuple(
            (msgspec.convert(step["event"], Event), msgspec.convert(step["expect"], Reduction))
            for step in data["steps"]
        )
        sequences.append((data["id"], steps))
    return tuple(sequences)


def replay(table: Table) -> Iterator[str]:
    """Yield where ``table`` departs from the recorded sequences."""
    for sequence, steps in recorded():
        state: State = IDLE
        for number, (event, expected) in enumerate(steps):
            reduction = reduce(state, event, table=table)
            if reduction != expected:
                yield f"stale_work[{sequence}] step {number}: {event} gave {reduction}"
                return
            state = reduction.state
