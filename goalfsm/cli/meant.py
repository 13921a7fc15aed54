"""What is said where a word is no command: the command that was meant."""

from __future__ import annotations

import difflib
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MEANT: Final = {
    name: command
    for command, names in {
        "run": "start go work drive do exec begin",
        "set": "new create add goal objective init",
        "daemon": "serve server up",
        "pause": "stop halt hold suspend",
        "interrupt": "kill cancel abort break",
        "resume": "continue unpause restart retry unblock",
        "steer": "say tell send message msg inject note",
        "clear": "delete remove rm drop forget reset",
        "accept": "approve ok yes",
        "reject": "deny decline refuse no",
        "complete": "done finish close",
        "budget": "budgets limit limits tokens cost",
        "policy": "config settings configure option options",
        "status": "show info state get stat",
        "list": "ls ps threads goals all",
        "log": "history events journal",
        "watch": "follow attach tail view",
        "explain": "why reason",
        "context": "prompt",
        "report": "summary result results record",
        "doctor": "check verify repair fsck health",
        "backup": "copy export dump save",
        "diagram": "draw graph chart",
        "agents": "agent",
        "templates": "template",
        "queue": "backlog todo later next",
    }.items()
    for name in names.split()
}
"""Words that other programs use for what a command here does."""


def suggestion(name: str, words: Sequence[str], commands: Iterable[str]) -> str:
    """Return the command that was meant, with what followed it; else where they are listed."""
    if " " in name:
        return f"goalfsm run {shlex.quote(name)} -- PROGRAM gives a goal"
    meant = _MEANT.get(name.lower())
    if meant is None:
        near = difflib.get_close_matches(name.lower(), [*commands, *_MEANT], n=1)
        meant = _MEANT.get(near[0], near[0]) if near else None
    if meant is None:
        return "goalfsm --help lists them"
    return shlex.join(("goalfsm", meant, *words))
