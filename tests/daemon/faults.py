"""Faults in deciding: for which events, and what the journal then holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from goalfsm.session import codec, thread
from goalfsm.session import events as e
from goalfsm.session.thread import handle
from goalfsm.store.port import Store
from goalfsm.workers import protocol as w
from tests.daemon.scenes import OBJECTIVE, THREAD

OTHER = "other"
LOOK = w.ToolCalled(id=1, name="get_goal")
Faulty = Callable[[Any, e.Event], bool]


class Fault(Exception):
    """What a rule with a defect raises."""


@contextmanager
def faulty(monkeypatch: pytest.MonkeyPatch, when: Faulty) -> Iterator[list[e.Event]]:
    """Have ``handle`` raise for some events of `THREAD`; yield what it was asked about."""
    met: list[e.Event] = []

    def raising(session: Any, event: e.Event, context: Any) -> Any:
        mine = session.goal is None or session.goal.objective == OBJECTIVE.objective
        if mine and when(session, event):
            met.append(event)
            raise Fault("no such rule")
        return handle(session, event, context)

    with monkeypatch.context() as patched:
        patched.setattr(thread, "handle", raising)
        yield met


def is_a(*kinds: type) -> Faulty:
    return lambda _session, event: isinstance(event, kinds)


def journal(store: Store, *kinds: type, thread_id: str = THREAD) -> list[Any]:
    rows = [codec.decode_event(row.event) for row in store.journal.read(thread_id)]
    return [event for event in rows if isinstance(event, kinds)]
