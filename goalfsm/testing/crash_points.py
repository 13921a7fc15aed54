"""Run a scenario once for every point at which the engine could die, and see what survives.

A scenario is a function that gets fresh `MemoryGoals` and does with them what a test does. Where
the engine dies, another is started a second later, what was asked is asked again under the same
id, and the scenario goes on as if it had not noticed: what it asserts must hold all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goalfsm.testing.checking import check_goals
from goalfsm.testing.clock import START, GoalClock
from goalfsm.testing.crashing import CrashPlan, CrashPoint
from goalfsm.testing.goals import MemoryGoals
from goalfsm.testing.times import Moment

Scenario = Callable[[MemoryGoals], Any]


class CrashPoints:
    """Crash points of scenarios that begin at ``start``."""

    def __init__(self, start: Moment = START) -> None:
        """Begin every scenario at ``start``."""
        self._start = start

    def list(self, scenario: Scenario) -> tuple[CrashPoint, ...]:
        """Return the points that the scenario passes when nothing crashes, in order."""
        return tuple(self.run(scenario).points)

    def run(self, scenario: Scenario, *crash_at: int) -> CrashPlan:
        """Run the scenario with crashes at the points of these numbers, then check what is left.

        The points are counted from 1, those of restarted engines on from there. Raises
        AssertionError when an invariant is broken or a point was not reached, and whatever the
        scenario raises, with a note on how to see it again.
        """
        plan = CrashPlan(*crash_at)
        goals = MemoryGoals(GoalClock(self._start), plan=plan)
        try:
            scenario(goals)
            goals.clock.settle()
            goals.check()
            check_goals(goals)
            goals.worker.check()
            goals.clock.check()
            plan.check()
        except Exception as error:
            if plan.crashed_at:
                again = ", ".join(map(str, crash_at))
                where = "; then ".join(map(str, plan.crashed_at))
                error.add_note(f"the engine crashed at point {where}")
                error.add_note(f"to see it again: crash_points.run(scenario, {again})")
            raise
        finally:
            goals.close()
        return plan

    def for_each(self, scenario: Scenario, *, crashes: int = 1) -> tuple[CrashPoint, ...]:
        """Run the scenario as it is, then once with a crash at each of its points.

        ``crashes`` 2 also crashes the engine that was started after a crash at each of the
        points that follow: that many runs squared. Return the points without a crash.
        """
        if crashes < 1:
            raise ValueError("at least one crash is what this is for")
        points = self.list(scenario)
        self._deeper(scenario, (), len(points), crashes)
        return points

    def _deeper(
        self, scenario: Scenario, crash_at: tuple[int, ...], last: int, crashes: int
    ) -> None:
        first = crash_at[-1] + 1 if crash_at else 1
        for number in range(first, last + 1):
            chosen = (*crash_at, number)
            plan = self.run(scenario, *chosen)
            if crashes > 1:
                self._deeper(scenario, chosen, len(plan.points), crashes - 1)


def for_each_crash_point(
    scenario: Scenario, *, start: Moment = START, crashes: int = 1
) -> tuple[CrashPoint, ...]:
    """Run ``scenario`` once with a crash at each of its points; see `CrashPoints.for_each`."""
    return CrashPoints(start).for_each(scenario, crashes=crashes)
