"""Serve the goal's tools over stdin and stdout until stdin ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
from anyio.to_thread import run_sync
from mcp import types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

from goalfsm.daemon.remote.tool_client import call_tool
from goalfsm.errors import GoalError
from goalfsm.session.tools import TOOLS
from goalfsm.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

_INSTRUCTIONS: Final = (
    "A goal is worked on over many turns until it is verifiably complete, blocked or out of "
    "budget. get_goal tells how it stands. Claims are checked: give current evidence."
)


def serve(db: Path, thread_id: str, token: str | None) -> None:
    """Answer tool calls for one thread; ``token`` authorises the run that calls, None is no run."""
    anyio.run(_serve, db, thread_id, token)


async def _serve(db: Path, thread_id: str, token: str | None) -> None:
    server: Server[dict[str, Any]] = Server(
        "goalfsm",
        version=__version__,
        instructions=_INSTRUCTIONS,
        on_list_tools=_listed,
        on_call_tool=partial(_called, db, thread_id, token),
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _listed(_context: Any, _params: Any) -> types.ListToolsResult:
    return types.ListToolsResult(
        tools=[
            types.Tool(
                name=tool.name, description=tool.description, input_schema=dict(tool.parameters)
            )
            for tool in TOOLS
        ]
    )


async def _called(
    db: Path, thread_id: str, token: str | None, _context: Any, params: types.CallToolRequestParams
) -> types.CallToolResult:
    """Answer with text alone: agents that are given structure as well show it in place of that."""
    try:
        told = await run_sync(call_tool, db, thread_id, params.name, params.arguments or {}, token)
    except GoalError as error:
        return _text(f"{error}. {error.hint}" if error.hint else f"{error}", failed=True)
    return _text(told.text, failed=not told.ok)


def _text(text: str, *, failed: bool) -> types.CallToolResult:
    content: list[types.ContentBlock] = [types.TextContent(type="text", text=text)]
    return types.CallToolResult(content=content, is_error=failed)
