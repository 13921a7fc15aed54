"""The goal's tools as agents are shown them, and what a model reads of an answer.

The tools themselves come with the work (`Work.tools`). Only text is shown: some agents hide the
text of an answer that has structured content too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from goalfsm.workers.protocol import Tool, ToolResult

SERVER: Final = "goalfsm"
"""The namespace of the goal's tools where an agent wants one."""


def answer_text(result: ToolResult) -> str:
    """Return what the model is told."""
    if not result.ok:
        return result.error or "the call was refused"
    told = result.result
    if isinstance(told, dict) and isinstance(told.get("text"), str):
        return str(told["text"])
    return told if isinstance(told, str) else msgspec.json.encode(told).decode()


def mcp_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Return the tools as the Model Context Protocol lists them."""
    return [
        {
            "name": tool.name,
            "description": tool.description,
            "inputSchema": dict(tool.parameters) or {"type": "object", "properties": {}},
        }
        for tool in tools
    ]


def mcp_answer(result: ToolResult) -> dict[str, Any]:
    """Return an answer as the Model Context Protocol has it."""
    content = [{"type": "text", "text": answer_text(result)}]
    return {"content": content, "isError": not result.ok}
