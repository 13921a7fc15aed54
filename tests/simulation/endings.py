"""How a simulated process or a whole simulation ends early, and what a planned fault raises.

`Died` and `Violation` are `SystemExit`s: asyncio lets those out of a loop, and no
``except Exception`` of the code under test can take them for something of its own.
"""

from __future__ import annotations


class Died(SystemExit):
    """The process that runs is killed here."""


class Violation(SystemExit):
    """Something happened that must never happen."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}" if detail else rule)
        self.rule = rule
        self.detail = detail

    def __str__(self) -> str:
        return str(self.code)


class Poisoned(Exception):
    """A decision of the engine meets a fault, as planned; it ends nothing."""
