"""A worker's output, read as it arrives."""

from __future__ import annotations

import json
from typing import Any

from goalfsm.workers.lines import OutputReader
from goalfsm.workers.protocol import (
    Text,
    TurnEvent,
)


def line(**fields: Any) -> bytes:
    """Return one JSON line without its newline."""
    return json.dumps(fields).encode()


def read(data: bytes, mode: str = "auto", pieces: int = 1 << 16, keep: int = 64) -> list[TurnEvent]:
    """Return all events of an output that arrives in pieces."""
    reader = OutputReader(mode, keep=keep)  # type: ignore[arg-type]
    events: list[TurnEvent] = []
    for start in range(0, len(data), pieces):
        events += reader.feed(data[start : start + pieces])
    return events + reader.finish()


def answer(events: list[TurnEvent]) -> str:
    """Return the joined text."""
    return "".join(event.text for event in events if isinstance(event, Text))
