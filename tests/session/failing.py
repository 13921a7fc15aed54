"""Turns that fail as providers do, and the retries that follow."""

from __future__ import annotations

from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

OVERLOADED = "503 Service Unavailable"


def failing(
    error: str = OVERLOADED, policy: Policy | None = None, **fields: object
) -> CheckedThread:
    """Return a thread whose first turn failed."""
    thread = started(policy)
    thread.dispatch()
    thread.fail(error, **fields)
    return thread


def retry(thread: CheckedThread) -> None:
    """Let the next attempt fall due."""
    assert thread.wake is not None
    thread.now_ms += thread.wake
    thread.do(e.TimerFired())
