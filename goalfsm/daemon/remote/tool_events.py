"""What a goal tool's call says, as the event that is decided."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from goalfsm.errors import GoalError
from goalfsm.goal.model import Rejection
from goalfsm.session.events import ToolCalled, WaitDeclared
from goalfsm.session.tool_requests import DeclareWait, parse
from goalfsm.session.tools import canonical
from goalfsm.workers.supervisor.identity import start_time


def event_of_call(
    name: str, arguments: Mapping[str, Any], token: str | None
) -> ToolCalled | WaitDeclared:
    """Return what a tool's call says; GoalError where it makes no sense."""
    asked = parse(name, arguments)
    if isinstance(asked, Rejection):
        raise GoalError(asked.message, code=asked.code, hint=asked.hint)
    if isinstance(asked, DeclareWait):
        return _declared(asked, token)
    return _called(name, arguments, token)


def _called(name: str, arguments: Mapping[str, Any], token: str | None) -> ToolCalled:
    given = {key: value for key, value in arguments.items() if value not in (None, [])}
    return ToolCalled(name=canonical(name), arguments=given, run_token=token)


def _declared(asked: DeclareWait, token: str | None) -> WaitDeclared:
    """Return the wait; its process is told apart from later ones by when it started."""
    started = asked.start_time
    if asked.pid is not None and not started:
        started = _started(asked.pid)
    now_ms = time.time_ns() // 1_000_000
    return WaitDeclared(
        kind=asked.kind,
        until_ms=None if asked.seconds is None else now_ms + round(asked.seconds * 1000),
        pid=asked.pid,
        note=asked.note,
        run_token=token,
        relative=asked.seconds is not None,
        started=started,
    )


def _started(pid: int) -> str:
    """Return what tells the process from later ones with its number."""
    started = start_time(pid)
    if not started:
        raise GoalError(
            f"there is no process {pid}", code="no_process", hint="it may have ended already: go on"
        )
    return started
