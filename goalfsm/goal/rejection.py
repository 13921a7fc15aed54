"""Why a request or an input was refused: the one value for it, its words and its hints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from goalfsm.errors import Remedy, told
from goalfsm.goal.model import ABSENT, COMPLETE, LIMITED

if TYPE_CHECKING:
    from goalfsm.goal.model import Goal


class Rejection(NamedTuple):
    """Which rule refused a request or an input, as a value: nothing happened.

    ``trigger``, ``status`` and ``guard`` name the place in the table where a request was refused;
    an input that could never be meant has none of them. ``message`` says it in words, ``hint``
    what to do about it.
    """

    code: str
    trigger: str = ""
    status: str = ""
    guard: str | None = None
    hint: str = ""
    message: str = ""


HINTS: Final = {
    "no_goal": "give the thread an objective first",
    "complete_is_terminal": "a complete goal can only be replaced or cleared",
    "only_active_can_block": "resume the goal before it is blocked again",
    "only_active_can_pause": "only a goal that is being worked on can be paused",
    "budget_limited_cannot_resume": "raise the budget that is used up",
    "only_stopped_can_resume": "only a paused or blocked goal can be resumed",
    "status_not_allowed": "the goal's status does not allow this",
}
"""What a model can do about a refusal of the table, by its code."""
_OBJECTIVE: Final[dict[str, str | int | None]] = {"objective": None}
_WHERE: Final = Remedy("status", does="shows where it is")
_REMEDIES: Final = {
    "no_goal": (Remedy("set", _OBJECTIVE, "gives it one"),),
    "complete_is_terminal": (
        Remedy("set", _OBJECTIVE, "replaces a complete goal"),
        Remedy("clear", does="clears it"),
    ),
    "only_active_can_block": (
        Remedy("status", does="says what takes it up; after that it can be blocked"),
    ),
    "only_active_can_pause": (_WHERE,),
    "budget_limited_cannot_resume": (Remedy("budget", does="raises the budget that is used up"),),
    "only_stopped_can_resume": (_WHERE,),
    "status_not_allowed": (_WHERE,),
}
"""What a person can do about it, by the code of the refusal."""
_SAID_FIRST: Final = frozenset({"only_active_can_pause", "only_stopped_can_resume"})
"""Where the command alone would not say what is amiss."""
_NO_ROW: Final = {
    "block": "only_active_can_block",
    "pause": "only_active_can_pause",
    "resume": "only_stopped_can_resume",
}
_ASKED: Final = {"raise_budget": "raise the budget of"}
"""What a trigger is called in words, where its name is no verb."""
_UNFINISHED_ONLY: Final = frozenset(
    {"complete", "block", "pause", "resume", "limit", "raise_budget", "edit"}
)


def rejected(code: str, trigger: str, goal: Goal | None, guard: str | None = None) -> Rejection:
    """Return the rejection of ``trigger`` for ``goal``, with its words and its hint."""
    status = ABSENT if goal is None else goal.status
    asked = _ASKED.get(trigger) or trigger.replace("_", " ")
    where = "the thread has no goal" if code == "no_goal" else f"it is {status}"
    message = f"cannot {asked} the goal: {where}"
    return Rejection(code, trigger, status, guard, HINTS.get(code, ""), message)


def remedies(rejection: Rejection) -> tuple[Remedy, ...]:
    """Return what a person can do about a refusal of the table; nothing for one of an input.

    A model is told `Rejection.hint`: what only a person may do is not its to try.
    """
    return _REMEDIES.get(rejection.code, ()) if rejection.trigger else ()


def advice(rejection: Rejection) -> str:
    """Return what a person can do about a refusal in words, with the command in them."""
    command = told(remedies(rejection))
    if rejection.code in _SAID_FIRST:
        return f"{rejection.hint}; {command}"
    return command or rejection.hint


def no_row(goal: Goal | None, trigger: str) -> Rejection:
    """Return why ``trigger`` has no row for ``goal``."""
    if goal is None:
        return rejected("no_goal", trigger, goal)
    if goal.status == COMPLETE and trigger in _UNFINISHED_ONLY:
        return rejected("complete_is_terminal", trigger, goal)
    if goal.status == LIMITED and trigger == "resume":
        return rejected("budget_limited_cannot_resume", trigger, goal)
    return rejected(_NO_ROW.get(trigger, "status_not_allowed"), trigger, goal)
