"""The exit statuses of the command line, part of its interface."""

from __future__ import annotations

from typing import Final

from goalfsm.errors import REFUSED_STATUS

OK: Final = 0
"""Done; of ``run``: the goal is complete."""
FAILED: Final = 1
"""The machine was in the way (a full disk, a lock), or ``doctor`` found something."""
USAGE: Final = 2
"""Wrong usage, or refused: nothing was changed."""
GOAL_BLOCKED: Final = 3
"""The goal is blocked."""
ATTENTION: Final = 4
"""The goal is paused, or needs a person."""
GOAL_LIMITED: Final = 5
"""A budget or a provider's quota is used up."""
REFUSED_CALL: Final = REFUSED_STATUS
"""Of ``goalfsm tool``: the call was refused, and says why; a turn that ends so has not failed."""
INTERRUPTED: Final = 130
"""Stopped with Ctrl-C or a signal; the goal stays resumable."""


def of_goal(status: str | None, pause_reason: str | None) -> int:
    """Return what ``run`` exits with when it leaves a goal with this status.

    An ``active`` goal is left only when something else needs a person.
    """
    from goalfsm.goal.model import BLOCKED, COMPLETE, LIMITED  # noqa: PLC0415  most exits need none

    if status == COMPLETE:
        return OK
    if status == BLOCKED:
        return GOAL_BLOCKED
    if status == LIMITED or pause_reason == "usage_limit":
        return GOAL_LIMITED
    return ATTENTION
