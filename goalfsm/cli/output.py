"""What several commands print with, and the time that they go by."""

from __future__ import annotations

import sys
import time

import msgspec


def print_json(value: object) -> None:
    """Write a value as one line of JSON."""
    sys.stdout.write(json_text(value) + "\n")


def json_text(value: object) -> str:
    """Return a value as one line of JSON."""
    return msgspec.json.encode(value).decode()


def now_ms() -> int:
    """Return the time in unix milliseconds."""
    return time.time_ns() // 1_000_000
