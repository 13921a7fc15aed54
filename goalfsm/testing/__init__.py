"""A kit for tests of goals: frozen time, turns as data, crashes everywhere, coverage of rows.

It may use everything but front ends; nothing of goalfsm may use it.

The fixtures of `goalfsm.testing.plugin` appear in pytest by installing the package. Everything
here is imported on first use, so that a suite that does not use the kit does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from goalfsm.lazy import exports

if TYPE_CHECKING:
    from goalfsm.diagram.ours.table_rows import TableRow
    from goalfsm.testing.checking import check_goals
    from goalfsm.testing.clock import Crashed, GoalClock
    from goalfsm.testing.coverage import MachineCoverage, TableCoverage
    from goalfsm.testing.crash_points import CrashPoints, for_each_crash_point
    from goalfsm.testing.crashing import CrashPlan, CrashPoint
    from goalfsm.testing.files import GoalFile
    from goalfsm.testing.goals import MemoryGoals, Refused
    from goalfsm.testing.journal import assert_journal, journal_lines
    from goalfsm.testing.loop import Deadlock, LoopRunning, Stalled, VirtualLoop, run
    from goalfsm.testing.paths import Path, Step, for_each_path, paths_of
    from goalfsm.testing.scripted import NoTurn, ScriptedWorker
    from goalfsm.testing.turns import (
        acknowledges,
        calls,
        claims_blocked,
        claims_complete,
        crashes,
        does,
        fails,
        hangs,
        loses,
        model_call,
        raises,
        says,
        takes,
        takes_steering,
        uses,
        uses_tool,
        waits,
    )

_TURNS = "goalfsm.testing.turns"
_HOMES = {
    "CrashPlan": "goalfsm.testing.crashing",
    "CrashPoint": "goalfsm.testing.crashing",
    "CrashPoints": "goalfsm.testing.crash_points",
    "Crashed": "goalfsm.testing.clock",
    "Deadlock": "goalfsm.testing.loop",
    "GoalClock": "goalfsm.testing.clock",
    "GoalFile": "goalfsm.testing.files",
    "LoopRunning": "goalfsm.testing.loop",
    "MachineCoverage": "goalfsm.testing.coverage",
    "MemoryGoals": "goalfsm.testing.goals",
    "NoTurn": "goalfsm.testing.scripted",
    "Path": "goalfsm.testing.paths",
    "Refused": "goalfsm.testing.goals",
    "ScriptedWorker": "goalfsm.testing.scripted",
    "Stalled": "goalfsm.testing.loop",
    "Step": "goalfsm.testing.paths",
    "TableCoverage": "goalfsm.testing.coverage",
    "TableRow": "goalfsm.diagram.ours.table_rows",
    "VirtualLoop": "goalfsm.testing.loop",
    "acknowledges": _TURNS,
    "assert_journal": "goalfsm.testing.journal",
    "calls": _TURNS,
    "check_goals": "goalfsm.testing.checking",
    "claims_blocked": _TURNS,
    "claims_complete": _TURNS,
    "crashes": _TURNS,
    "does": _TURNS,
    "fails": _TURNS,
    "for_each_crash_point": "goalfsm.testing.crash_points",
    "for_each_path": "goalfsm.testing.paths",
    "hangs": _TURNS,
    "journal_lines": "goalfsm.testing.journal",
    "loses": _TURNS,
    "model_call": _TURNS,
    "paths_of": "goalfsm.testing.paths",
    "raises": _TURNS,
    "run": "goalfsm.testing.loop",
    "says": _TURNS,
    "takes": _TURNS,
    "takes_steering": _TURNS,
    "uses": _TURNS,
    "uses_tool": _TURNS,
    "waits": _TURNS,
}

__all__ = [
    "CrashPlan",
    "CrashPoint",
    "CrashPoints",
    "Crashed",
    "Deadlock",
    "GoalClock",
    "GoalFile",
    "LoopRunning",
    "MachineCoverage",
    "MemoryGoals",
    "NoTurn",
    "Path",
    "Refused",
    "ScriptedWorker",
    "Stalled",
    "Step",
    "TableCoverage",
    "TableRow",
    "VirtualLoop",
    "acknowledges",
    "assert_journal",
    "calls",
    "check_goals",
    "claims_blocked",
    "claims_complete",
    "crashes",
    "does",
    "fails",
    "for_each_crash_point",
    "for_each_path",
    "hangs",
    "journal_lines",
    "loses",
    "model_call",
    "paths_of",
    "raises",
    "run",
    "says",
    "takes",
    "takes_steering",
    "uses",
    "uses_tool",
    "waits",
]

__getattr__, __dir__ = exports(globals(), _HOMES, __all__)
