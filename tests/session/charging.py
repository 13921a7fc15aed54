"""Threads whose turns are charged to a budget."""

from __future__ import annotations

from goalfsm.goal.model import Limits
from goalfsm.session import Policy
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def spent(policy: Policy | None = None, **limits: int) -> CheckedThread:
    """Return a thread whose first turn runs on these budgets."""
    thread = started(policy, limits=Limits(**limits))
    thread.dispatch()
    return thread
