"""A goal tool called from inside a run: decided like every event, answered with how it stands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from goalfsm.errors import GoalError, described
from goalfsm.session.events import ToolCalled
from goalfsm.session.state import FAULT_CODE
from goalfsm.views.tool_answers import respond
from goalfsm.workers import protocol as w

if TYPE_CHECKING:
    from goalfsm.daemon.flow.mailbox import Actor


async def answer(actor: Actor, call: w.ToolCalled, run_token: str, now_ms: int) -> w.ToolResult:
    """Decide the call with everything before it, and return what the model is told."""
    event = ToolCalled(name=call.name, arguments=dict(call.arguments), run_token=run_token)
    try:
        reply = await asyncio.shield(actor.tell(event))
    except GoalError as error:
        return w.ToolResult(ok=False, error=error.message, code=error.code)
    except Exception as error:  # noqa: BLE001 - the actor has said what it was; the model is told
        why = f"the call could not be decided: {described(error)}"
        return w.ToolResult(ok=False, error=why, code=FAULT_CODE)
    response = respond(reply, actor.session, now_ms)
    if not response.ok:
        return w.ToolResult(ok=False, error=response.text, code=reply.code)
    result = {"text": response.text, "data": msgspec.to_builtins(response.data)}
    return w.ToolResult(ok=True, result=result, code=reply.code)
