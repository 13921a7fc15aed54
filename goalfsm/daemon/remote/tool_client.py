"""Call a goal's tools from another process, and return what the model is told."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goalfsm.daemon.remote import wire
from goalfsm.daemon.remote.client import TIMEOUT_S, call_own, tool_of_engine
from goalfsm.daemon.remote.hosted_turn import noted
from goalfsm.daemon.remote.socket_path import node_socket, own_socket


def call_tool(
    db: Path, thread_id: str, name: str, arguments: Mapping[str, Any], token: str | None
) -> wire.ToolTold:
    """Have a tool's call decided for the run that ``token`` authorises.

    Without a token it is that of the turn which an interactive agent does, where one does. In
    namespaces of its own a run asks at its own socket, whatever thread and token are given; a
    turn on a node asks at that node's.
    Raises GoalError when the call makes no sense, when there is no such thread and the call does
    not make it, when it needs a run and there is none, and when nothing can be written.
    """
    given = {key: value for key, value in arguments.items() if value not in (None, [])}
    place = own_socket()
    if place is not None:
        return call_own(place, wire.CallTool(name=name, arguments=given))
    place = node_socket()
    if token is None and place is None and (turn := noted(db, thread_id)) is not None:
        token = turn.token
    call = wire.CallTool(
        name=name,
        arguments=given,
        thread_id=thread_id,
        run_token=token or "",
        event_id=uuid.uuid4().hex,
    )
    if place is not None:
        return call_own(place, call)
    deadline = time.monotonic() + TIMEOUT_S
    told = tool_of_engine(db, call, deadline)
    return _through_database(db, call, deadline) if told is None else told


def _through_database(db: Path, call: wire.CallTool, deadline: float) -> wire.ToolTold:
    # What no engine answers needs the store, and the rules where there is none.
    from goalfsm.daemon.remote import direct  # noqa: PLC0415  see above
    from goalfsm.daemon.remote.tool_events import event_of_call  # noqa: PLC0415

    event = event_of_call(call.name, call.arguments, call.run_token or None)
    return direct.call(db, call.thread_id, event, call.event_id, deadline)
