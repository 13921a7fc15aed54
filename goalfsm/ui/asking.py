"""What is asked of a thread: from what a person filled in to the one event that is sent."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, cast

from goalfsm.errors import GoalError
from goalfsm.goal import amounts
from goalfsm.goal.model import COST_SCALE, Criterion, Limits
from goalfsm.session import events
from goalfsm.ui.forms import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from goalfsm.session.events import Event
    from goalfsm.views.actions import Name
    from goalfsm.views.status import Status

NO_LIMIT: Final = "none"
_SEPARATOR: Final = ";"


def fields(name: Name, status: Status) -> tuple[Field, ...]:  # noqa: PLR0911  one case each
    """Return what has to be filled in before ``name`` is asked; empty where nothing has to."""
    goal = status.goal
    match name:
        case "steer":
            return (Field("text", "What should the work take into account?"),)
        case "reject":
            return (Field("feedback", "What is missing?"),)
        case "interrupt":
            return (Field("text", "What should the next turn know?", "may be empty"),)
        case "wake":
            return (Field("note", "What has happened?", "may be empty"),)
        case "edit" if goal is not None:
            criteria = f" {_SEPARATOR} ".join(one.text for one in goal.criteria)
            return (
                Field("objective", "Objective", value=goal.objective),
                Field("criteria", "Criteria, with ; between them", value=criteria),
            )
        case "budget" if goal is not None:
            return (
                Field("tokens", "Tokens", _now(goal.token_budget, "200k")),
                Field("seconds", "Active time", _now(goal.time_budget_seconds, "1h30m", "s")),
                Field("cost", "Cost", _now(_amount(goal.cost_budget), "2.50")),
                Field("continuations", "Turns", _now(goal.max_continuations, "100")),
            )
        case _:
            return ()


def _amount(cost: int | None) -> str | None:
    return None if cost is None else f"{cost / COST_SCALE:.2f}"


def _now(value: int | str | None, example: str, unit: str = "") -> str:
    now = "no limit" if value in (None, 0) else f"{value}{unit}"
    return f"now {now}; {example}, none, or empty to leave it"


def event(  # noqa: C901, PLR0911, PLR0912  one case each
    name: Name, status: Status, given: Mapping[str, str]
) -> Event:
    """Return the event that asks for ``name``; raise GoalError for what was filled in wrongly.

    It is refused where the thread has another goal, or the goal another claim, than was shown.
    """
    expected: dict[str, Any] = {}
    if status.goal is not None:
        expected["expected_goal_id"] = status.goal.goal_id
    claim = None if status.claim is None else status.claim.claim_id
    match name:
        case "pause":
            return events.PauseRequested(**expected)
        case "resume":
            return events.ResumeRequested(**expected)
        case "clear":
            return events.ClearRequested(**expected)
        case "accept":
            return events.ClaimAccepted(expected_claim=claim, **expected)
        case "reject":
            return events.ClaimRejected(
                feedback=given["feedback"], expected_claim=claim, **expected
            )
        case "steer":
            return events.SteeringReceived(
                message_id=uuid.uuid4().hex, text=_needed(given["text"], "message"), **expected
            )
        case "interrupt":
            return events.InterruptRequested(
                text=given["text"], message_id=uuid.uuid4().hex, **expected
            )
        case "wake":
            return events.WakeRequested(note=given["note"], **expected)
        case "edit":
            return _edit(status, given, expected)
        case "budget":
            return _budget(given, expected)
        case "next":
            return events.NextGoalRequested(**expected)
        case "new":
            raise GoalError("a goal is given by goalfsm set", code="not_an_event")


def _needed(text: str, what: str) -> str:
    if not text:
        raise GoalError(f"the {what} is empty", code="text_missing", hint=f"write the {what}")
    return text


def _edit(status: Status, given: Mapping[str, str], expected: dict[str, Any]) -> Event:
    texts = tuple(text.strip() for text in given["criteria"].split(_SEPARATOR) if text.strip())
    before = () if status.goal is None else tuple(one.text for one in status.goal.criteria)
    return events.EditRequested(
        objective=_needed(given["objective"], "objective"),
        criteria=None if texts == before else tuple(Criterion(text=text) for text in texts),
        **expected,
    )


def _budget(given: Mapping[str, str], expected: dict[str, Any]) -> Event:
    read: dict[str, Callable[[str], int]] = {
        "tokens": lambda text: amounts.count(text, "token budget"),
        "seconds": amounts.whole_seconds,
        "cost": amounts.cost,
        "continuations": lambda text: amounts.count(text, "number of turns", minimum=0),
    }
    said = {name: given[name] for name in read if given[name]}
    if not said:
        raise GoalError("no budget was given", code="budget_missing", hint="fill one in")
    unlimited = tuple(name for name, text in said.items() if text.lower() == NO_LIMIT)
    limits = {name: read[name](text) for name, text in said.items() if name not in unlimited}
    return events.BudgetChanged(
        limits=Limits(**limits), unlimited=cast("Any", unlimited), **expected
    )
