"""Threads whose turns are charged to a budget."""

from __future__ import annotations

from goalfsm.goal.model import Limits
from goalfsm.session import Policy
from tests.session.thread import Thread, started


def spent(policy: Policy | None = None, **limits: int) -> Thread:
    """Return a thread whose first turn runs on these budgets."""
    thread = started(policy, limits=Limits(**limits))
    thread.dispatch()
    return thread
