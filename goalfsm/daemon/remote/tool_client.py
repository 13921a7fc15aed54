"""Call a goal's tools from another process, and return what the model is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goalfsm.daemon.remote.client import call_own, request
from goalfsm.daemon.remote.socket_path import node_socket, own_socket
from goalfsm.errors import GoalError
from goalfsm.goal.rejection import Rejection
from goalfsm.session import codec
from goalfsm.session.events import ToolCalled, WaitDeclared
from goalfsm.session.state import Session
from goalfsm.session.tools import DeclareWait, canonical, parse
from goalfsm.store.sqlite import SqliteStore
from goalfsm.views.tool_answers import ToolResponse, respond
from goalfsm.workers.supervisor.identity import start_time


def call_tool(
    db: Path, thread_id: str, name: str, arguments: Mapping[str, Any], token: str | None
) -> ToolResponse:
    """Have a tool's call decided for the run that ``token`` authorises.

    In namespaces of its own a run asks at its own socket, whatever thread and token are given; a
    turn on a node asks at that node's.
    Raises GoalError when the call makes no sense, when it needs a run and there is none, and when
    nothing can be written.
    """
    place = own_socket()
    if place is not None:
        return call_own(place, name, arguments)
    place = node_socket()
    if place is not None:
        return call_own(place, name, arguments, thread_id=thread_id, token=token or "")
    event = event_of_call(name, arguments, token)
    reply = request(db, thread_id, event, uuid.uuid4().hex)
    store = SqliteStore.open(db, read_only=True)
    try:
        stored = store.sessions.load(thread_id)
    finally:
        store.close()
    session = Session() if stored is None else codec.decode(stored.state)
    return respond(reply, session, _now_ms())


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
    now_ms = _now_ms()
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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
