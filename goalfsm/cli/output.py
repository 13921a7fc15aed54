"""What several commands print with, and the time that they go by."""

from __future__ import annotations

import sys
import time

import click
import msgspec

from goalfsm.text import visible


def print_json(value: object) -> None:
    """Write a value as one line of JSON."""
    sys.stdout.write(json_text(value) + "\n")


def json_text(value: object) -> str:
    """Return a value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def now_ms() -> int:
    """Return the time in unix milliseconds."""
    return time.time_ns() // 1_000_000


def say(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Write ``text`` for a person: nothing in it can act on the terminal that shows it."""
    click.echo(visible(text), err=err, nl=nl)
