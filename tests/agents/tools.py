"""The agents' own tools, as their models call them."""

from __future__ import annotations

from typing import Final

from tests.providers.script import Reply, calls

_SHELL: Final = {"codex": "exec_command", "claude": "Bash", "pi": "bash"}
_COMMAND: Final = {"codex": "cmd", "claude": "command", "pi": "command"}
ARGS: Final[dict[str, tuple[str, ...]]] = {
    "codex": ("--sandbox", "danger-full-access"),
    "claude": ("--allowedTools", "Bash"),
    "pi": (),
}
"""What lets each run any command: a test has no sandbox, and its commands are harmless."""


def shell(agent: str, command: str) -> Reply:
    """Return an answer that runs a command with the agent's own tool."""
    return calls(_SHELL[agent], **{_COMMAND[agent]: command})
