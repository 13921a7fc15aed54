"""The command line: it reads arguments, asks the engine and shows what comes back.

It may use everything below it, through public names; it has no rules of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, by default that of this process, and return its exit status."""
    try:
        from goalfsm.cli.app import run  # noqa: PLC0415  importing the package stays cheap
    except KeyboardInterrupt:
        return 130  # as `exits.INTERRUPTED`: nothing has begun
    return run(arguments)
