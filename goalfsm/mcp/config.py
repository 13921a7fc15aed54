"""What an agent's own configuration has to say so that it starts the server of the goal's tools."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

VARIABLES: Final = (
    *("GOALFSM_DB", "GOALFSM_THREAD", "GOALFSM_RUN_TOKEN", "GOALFSM_RUN_ID"),
    "XDG_STATE_HOME",
)
"""What a turn's environment says, and where databases are outside a turn; an agent that starts its
servers with a clean environment has to let these through."""


def _codex(command: str, arguments: Sequence[str]) -> str:
    lines = [
        "# ~/.codex/config.toml",
        "[mcp_servers.goalfsm]",
        f"command = {json.dumps(command)}",
        f"args = {json.dumps(list(arguments))}",
        f"env_vars = {json.dumps(list(VARIABLES))}",
        "required = true",
        'default_tools_approval_mode = "approve"',
        "",
        "# Codex's own goal tools have the same names; write the line below [features] if you have",
        "# that already.",
        "[features]",
        "goals = false",
    ]
    return "\n".join(lines)


def _claude(command: str, arguments: Sequence[str]) -> str:
    return _json(
        {
            "mcpServers": {
                "goalfsm": {"command": command, "args": list(arguments), "alwaysLoad": True}
            }
        }
    )


def _pi(command: str, arguments: Sequence[str]) -> str:
    server = {"command": command, "args": list(arguments), "exposure": "direct"}
    return _json({"mcpServers": {"goalfsm": server}})


def _opencode(command: str, arguments: Sequence[str]) -> str:
    server = {"type": "local", "command": [command, *arguments], "enabled": True}
    return _json({"$schema": "https://opencode.ai/config.json", "mcp": {"goalfsm": server}})


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)


FORMS: Final[dict[str, Callable[[str, Sequence[str]], str]]] = {
    "codex": _codex,
    "claude": _claude,
    "pi": _pi,
    "opencode": _opencode,
}
"""How each agent writes down a server, by the agent's name."""
