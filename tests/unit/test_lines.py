"""A status in lines: the most important first, each on a line of its own whatever is in it."""

from __future__ import annotations

from goalfsm.goal.model import Criterion
from goalfsm.session import Decision, Session
from goalfsm.session.state import Wait
from goalfsm.views.rows import status_lines
from goalfsm.views.status import project
from tests.unit.sessions import ACTIVE, NOW_MS, active, with_goal


def lines(session: Session) -> list[str]:
    return [*status_lines(project(session, NOW_MS, thread_id="books"))]


def test_without_a_goal_it_is_one_line() -> None:
    assert lines(Session()) == ["books: no goal"]


def test_a_goal_with_its_budgets() -> None:
    assert lines(ACTIVE) == [
        "books: continuing",
        "  objective   ship it",
        "  goal        g, revision 1",
        "  tokens      0 used, no limit",
        "  active time 0s used, no limit",
        "  turns       0 of 100 used, 100 left",
    ]


def test_criteria_and_the_last_decision_follow() -> None:
    made = Decision(decision="wait", guard="host_busy", reason="a turn\nis running", at_ms=NOW_MS)
    session = active(decision=made)
    shown = lines(with_goal(session, criteria=(Criterion(text="all\ntests pass"),)))
    assert shown[-2:] == [
        "  criterion 1 all tests pass",
        "  decided     wait: a turn is running (host_busy), 2027-01-15 08:00:10 UTC",
    ]


def test_the_first_line_says_why_and_until_when() -> None:
    timer = Wait(kind="timer", until_ms=NOW_MS + 60_000, note="the\nbuild")
    assert lines(active(waits=(timer,)))[0] == (
        "books: waiting on a timer: the build, until 2027-01-15 08:01:10 UTC"
    )
