"""Show what is set of a thread: its budgets, and the policy that it is run by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.cli import asking
from goalfsm.cli.output import say

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.session.events import Setting


def show_budgets(place: Place) -> None:
    """Print each budget of the thread's goal and what is used of it."""
    from goalfsm.cli.output import now_ms  # noqa: PLC0415  a command that only sends needs none
    from goalfsm.daemon.remote.reading import driver_of  # noqa: PLC0415  the same
    from goalfsm.session.continuation import budget_lines  # noqa: PLC0415  the same
    from goalfsm.views.status import project  # noqa: PLC0415  the same

    with asking.reading(place) as store:
        session = asking.require_thread(store, place)
        driver = driver_of(store, place.thread_id)
    progress = project(session, now_ms(), thread_id=place.thread_id, driver=driver).progress
    if progress is None:
        raise asking.no_goal(place)
    for row in budget_lines(progress):
        say(row)


def show_policy(place: Place) -> None:
    """Print each setting of the thread, with the default of those that differ from it."""
    from goalfsm.cli.policy_settings import HOST_SETTINGS  # noqa: PLC0415  as above
    from goalfsm.session.policy import Policy  # noqa: PLC0415  the same

    with asking.reading(place) as store:
        policy = asking.require_thread(store, place).policy
    usual = Policy()
    for name in Policy.__struct_fields__:
        if name in HOST_SETTINGS:
            continue
        value, default = getattr(policy, name), getattr(usual, name)
        note = "" if value == default else f"  (default: {_shown(default)})"
        say(f"{name}={_shown(value)}{note}")


def _shown(value: Setting) -> str:
    """Return a setting as it is given on the command line; rules by their number."""
    if isinstance(value, tuple):
        return f"{len(value)} rules" if value else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
