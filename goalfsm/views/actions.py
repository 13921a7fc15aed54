"""What a person may ask of a thread in the state it is in, and the command that does the same.

What the goal machine's table has no row for is not offered; what needs something open in the
thread (a run, a claim, a wait) is offered while that is open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from goalfsm.goal.machine import TRANSITIONS
from goalfsm.goal.model import ABSENT, COMPLETE

if TYPE_CHECKING:
    from goalfsm.views.status import Status

Name = Literal[
    "new",
    "steer",
    "pause",
    "resume",
    "edit",
    "budget",
    "accept",
    "reject",
    "interrupt",
    "wake",
    "next",
    "clear",
]


class Action(NamedTuple):
    """Something to ask: its key, in words, and the command line; THREAD stands for the thread."""

    name: Name
    key: str
    words: str
    command: str


_ACTIONS: Final = (
    Action("accept", "a", "accept the claim", "goalfsm accept THREAD"),
    Action("reject", "x", "reject the claim", "goalfsm reject THREAD --feedback TEXT"),
    Action("resume", "p", "resume", "goalfsm resume THREAD"),
    Action("steer", "s", "steer", "goalfsm steer THREAD TEXT"),
    Action("interrupt", "i", "interrupt the turn", "goalfsm interrupt THREAD TEXT"),
    Action("wake", "", "wake", "goalfsm wake THREAD"),
    Action("pause", "p", "pause", "goalfsm pause THREAD"),
    Action("budget", "b", "change budgets", "goalfsm budget THREAD --tokens N"),
    Action("edit", "e", "edit the objective", "goalfsm edit THREAD OBJECTIVE"),
    Action("next", "", "next queued goal", "goalfsm queue next THREAD"),
    Action("new", "n", "new goal", "goalfsm set THREAD OBJECTIVE"),
    Action("clear", "c", "clear", "goalfsm clear THREAD"),
)
_TRIGGERS: Final[dict[Name, str]] = {
    "new": "replace",
    "steer": "edit",
    "pause": "pause",
    "resume": "resume",
    "edit": "edit",
    "budget": "raise_budget",
    "accept": "complete",
    "reject": "edit",
    "interrupt": "edit",
    "wake": "edit",
    "next": "replace",
    "clear": "clear",
}
"""The trigger that has to be possible; a message needs what an edit needs, an unfinished goal."""
_ROWS: Final = frozenset((row.trigger, row.source) for row in TRANSITIONS)


def actions(status: Status) -> tuple[Action, ...]:
    """Return what may be asked of the thread, what takes its work on first."""
    source = ABSENT if status.goal is None else status.goal.status
    return tuple(
        action
        for action in _ACTIONS
        if (_trigger(action.name, source), source) in _ROWS and _is_open(action.name, status)
    )


def _trigger(name: Name, source: str) -> str:
    return "create" if name in {"new", "next"} and source == ABSENT else _TRIGGERS[name]


def _is_open(name: Name, status: Status) -> bool:
    if name in {"accept", "reject"}:
        return status.claim is not None
    if name == "interrupt":
        return status.run is not None and status.run.ending is None
    if name == "wake":
        return bool(status.waits)
    if name == "next":
        # One that is unfinished is ended first, by a word of its own.
        return bool(status.queue) and (status.goal is None or status.goal.status == COMPLETE)
    return True
