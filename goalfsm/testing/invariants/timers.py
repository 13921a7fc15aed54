"""When a thread is looked at again by itself."""

from __future__ import annotations

from typing import Final

from goalfsm.goal.model import ACTIVE, PAUSED
from goalfsm.session import events as e
from goalfsm.session.work import next_wake
from goalfsm.testing.invariants.invariant import Chapter, Transition, hold

TIMERS: Final = Chapter()


@TIMERS.says("After a due timer was handled the next one is later: no timer fires for ever.")
def _timers_come_to_rest(t: Transition) -> None:
    if not isinstance(t.event, e.TimerFired) or t.now_ms is None:
        return
    wake = next_wake(t.after)
    hold(wake is None or wake > t.now_ms, f"asked again for {wake}, it is {t.now_ms}")


@TIMERS.says(
    "Nothing happens by itself to a goal that is complete, blocked, limited or gone, except that "
    "a turn that goes on is ended."
)
def _finished_goals_sleep(t: Transition) -> None:
    goal = t.after.goal
    if goal is None or goal.status not in {ACTIVE, PAUSED}:
        overruns = goal is not None and t.after.run is not None
        hold(overruns or next_wake(t.after) is None, "a timer is set")
