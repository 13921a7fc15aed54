"""A status for a person: plain lines that are as readable in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goalfsm.session.continuation import budget_lines
from goalfsm.text import line, short
from goalfsm.views.explain import moment
from goalfsm.views.rows import open_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from goalfsm.views.status import Status

_WIDTH: Final = 12


def status_lines(status: Status) -> Iterator[str]:
    """Yield a status as lines, the most important first; its hint is for who knows the place."""
    detail = f": {short(status.detail)}" if status.detail else ""
    until = "" if status.until_ms is None else f", until {moment(status.until_ms)}"
    yield f"{line(status.thread_id)}: {status.activity}{detail}{until}"
    for name, text in _rows(status):
        yield f"  {name:<{_WIDTH}}{text}"


def _rows(status: Status) -> Iterator[tuple[str, str]]:
    goal = status.goal
    if goal is None or status.progress is None:
        return
    yield "objective", short(goal.objective)
    yield "goal", f"{goal.goal_id}, revision {goal.revision}"
    for budget in budget_lines(status.progress):
        name, _, use = budget.partition(": ")
        yield name, use
    for number, criterion in enumerate(goal.criteria, 1):
        yield f"criterion {number}", short(criterion.text)
    yield from open_rows(status)
    made = status.last_decision
    if made is not None:
        why = f"{made.decision}: {short(made.reason)} ({made.guard})"
        yield "decided", f"{why}, {moment(made.at_ms)}"
