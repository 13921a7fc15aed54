"""Look on while others work: `watch` follows a thread and never takes it over."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import click

from goalfsm.cli import asking, exits, options
from goalfsm.cli.places import speak
from goalfsm.cli.signals import interrupting
from goalfsm.goal.model import ACTIVE

if TYPE_CHECKING:
    from goalfsm.cli.places import Place
    from goalfsm.cli.watching import View
    from goalfsm.views.status import Status

_LOOK_S: Final = 1.0
"""How often an engine is looked for while there is none: nobody tells when one starts."""


@click.command("watch")
@options.placed_by_argument
@options.JSON
def watch_command(place: Place, as_json: bool) -> int:
    """Show what happens to a thread until its goal stops; the work is never taken over.

    While nobody works on it this says so, and waits. Ctrl-C ends the looking on, nothing else.
    """
    from goalfsm.cli.watching import view  # noqa: PLC0415  it loads the notices

    with asking.reading(place) as store:
        if asking.require_thread(store, place).goal is None:
            raise asking.no_goal(place)
    with interrupting(), view(as_json=as_json) as shown:
        told = ""
        while True:
            status = _follow(place, shown) or asking.stored_status(place)
            if _is_over(status):
                shown.close(status, speak(status.hint, place))
                goal = status.goal
                if goal is None:
                    return exits.ATTENTION
                return exits.of_goal(goal.status, goal.pause_reason)
            takes_up = speak(status.hint, place)
            said = f"{status.activity}: {takes_up} takes it up" if takes_up else status.activity
            if said != told:
                told = said
                shown.say(said)
            time.sleep(_LOOK_S)


def _follow(place: Place, shown: View) -> Status | None:
    """Follow the engine there is; return how the goal stopped, None where the engine ended."""
    from goalfsm.daemon.flow.notices import Ended, Settled, StatusChanged  # noqa: PLC0415  as above
    from goalfsm.daemon.remote.link import NoEngine  # noqa: PLC0415  the same
    from goalfsm.views.status import summary  # noqa: PLC0415  the same

    asked, begun = "", False
    try:
        for notice in asking.remote(place.db).follow(place.thread_id):
            shown.show(notice)
            if isinstance(notice, StatusChanged) and not begun:
                begun = True
                shown.say(f"looking on: {summary(notice.status)}")
            if isinstance(notice, Ended):
                return None
            if isinstance(notice, StatusChanged | Settled):
                if _is_over(notice.status):
                    return notice.status
                hint = speak(notice.status.hint, place)
                if isinstance(notice, Settled) and hint and hint != asked:
                    asked = hint
                    shown.say(f"this waits for somebody: {hint}")
    except NoEngine:
        pass
    return None


def _is_over(status: Status) -> bool:
    goal = status.goal
    return goal is None or (goal.status != ACTIVE and status.run is None)
