"""Whose JSON lines a program writes, where they are not those of the worker protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec

from goalfsm.text import MALFORMED


class Tongue(NamedTuple):
    """Another program's output format, and which ``--agent`` reads what that program says."""

    name: str
    agent: str


_CODEX: Final = Tongue("codex exec --json", "codex")
_CLAUDE: Final = Tongue("claude --output-format stream-json", "claude")
_PI: Final = Tongue("pi --mode json", "pi")
_RPC: Final = Tongue("JSON-RPC", "acp")

_CODEX_PREFIXES: Final = ("thread.", "turn.", "item.")
_CLAUDE_MEMBERS: Final[Mapping[str, str]] = {
    "system": "subtype",
    "result": "subtype",
    "assistant": "message",
    "user": "message",
    "stream_event": "event",
}
_PI_TYPES: Final = frozenset(
    {
        *("agent_start", "agent_end", "agent_settled", "message_start", "message_update"),
        *("message_end", "tool_execution_start", "tool_execution_end", "queue_update"),
        *("auto_retry_start", "auto_retry_end", "compaction_start", "compaction_end"),
    }
)

_decoder: Final = msgspec.json.Decoder(dict[str, Any])


def tongue_of(line: bytes) -> Tongue | None:
    """Return whose format a line is in, None where it is nobody's that is known."""
    try:
        said = _decoder.decode(line)
    except MALFORMED:
        return None
    kind = said.get("type")
    if not isinstance(kind, str):
        return _RPC if "jsonrpc" in said else None
    if kind.startswith(_CODEX_PREFIXES):
        return _CODEX
    if _CLAUDE_MEMBERS.get(kind, "type") in said.keys() - {"type"}:
        return _CLAUDE
    return _PI if kind in _PI_TYPES or (kind == "session" and "cwd" in said) else None
