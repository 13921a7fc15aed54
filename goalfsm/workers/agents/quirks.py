"""Where agents that speak the Agent Client Protocol differ, by the name that they give themselves.

Versions are those that were tried. What is not in the table is taken to do what the protocol says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

UsageOf = Literal["prompt", "last call", "quota", "nothing"]
"""What an agent says of a prompt's usage.

All of it, as the protocol has it; that of its last model call; all of it, in a field of its own; or
nothing.
"""


class Quirk(msgspec.Struct, frozen=True, kw_only=True):
    """How one agent differs; ``loads`` is False where a new process cannot go on in a session."""

    title: str
    tried: str
    usage: UsageOf = "prompt"
    loads: bool = True
    note: str = ""


QUIRKS: Final[Mapping[str, Quirk]] = {
    "opencode": Quirk(title="OpenCode", tried="1.18.33", usage="last call"),
    "gemini-cli": Quirk(title="Gemini CLI", tried="0.61", usage="quota", loads=False),
    "codex-acp": Quirk(
        title="codex-acp", tried="2.6", note="errors of its provider come as an ordinary answer"
    ),
    "claude-agent-acp": Quirk(title="claude-agent-acp", tried="0.101"),
    "pi-acp": Quirk(title="pi-acp", tried="0.0.34", note="it offers the model no goal tools"),
}
DEFAULT: Final = Quirk(title="this agent", tried="")


def quirk_of(name: str) -> Quirk:
    """Return how the agent of this name differs, also for a name with a scope before it."""
    return QUIRKS.get(name.lower().rpartition("/")[2], DEFAULT)
