"""What the events of a turn say, and what programs of the tests begin or go on with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from goalfsm.workers.protocol import ErrorReported, Exited, Text, TurnEvent

E = TypeVar("E")
Python = Callable[[str], list[str]]

HOLD = "import os, signal, sys, time\nline = os.open({path!r}, os.O_WRONLY)\n"
FOREVER = "while True: time.sleep(3600)\n"


def answer(events: list[TurnEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def ending(events: list[TurnEvent]) -> Exited:
    """Return the last event, after checking that a run has exactly one end."""
    assert [type(event) for event in events].count(Exited) == 1
    assert isinstance(events[-1], Exited)
    return events[-1]


def only(events: list[TurnEvent], kind: type[E]) -> E:
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def error(events: list[TurnEvent]) -> ErrorReported:
    return only(events, ErrorReported)


LINES = """
import json, sys
def say(**fields): print(json.dumps(fields), flush=True)
def hear(): return json.loads(sys.stdin.readline())
"""
