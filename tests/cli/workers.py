"""Workers of a few lines of sh, which note what they were given."""

from __future__ import annotations

from pathlib import Path

COMPLETE = 'goalfsm tool update_goal --status complete --evidence "done" >&2'
BLOCKED = 'goalfsm tool update_goal --status blocked --reason "no key" >&2'
ENGINE = "$(ps -o ppid= -p $PPID)"
"""The engine, from inside a worker: the parent of the supervisor that started it."""


def worker(*lines: str, name: str = "worker.sh") -> str:
    """Write a worker and return how it is started; it notes every turn it was given."""
    path = Path(name)
    head = ("#!/bin/sh", "cat > prompt-$GOALFSM_TURN.txt", "echo $GOALFSM_TURN >> turns.txt")
    path.write_text("\n".join((*head, *lines, "")), "utf-8")
    path.chmod(0o755)
    return f"./{name}"


def turns() -> list[int]:
    """Return the turns that the worker was given."""
    return [int(row) for row in Path("turns.txt").read_text().split()]


def prompt(turn: int) -> str:
    """Return what the worker was told in a turn."""
    return Path(f"prompt-{turn}.txt").read_text("utf-8")
