"""Attempts after a provider's error: the same turn once more, not another of the goal's turns."""

from __future__ import annotations

from typing import Any

from goalfsm.goal.model import Limits
from goalfsm.session import Policy
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.prompts import render_turn
from tests.session.failing import retry
from tests.session.hosts import started

SERVER_ERROR = "503 Service Unavailable"


def failing(times: int, **given: Any) -> CheckedThread:
    """Return a thread whose first turn has failed ``times`` times, the next attempt queued."""
    thread = started(**given)
    for _ in range(times):
        thread.dispatch()
        thread.fail(SERVER_ERROR)
        retry(thread)
    return thread


def test_many_attempts_are_one_turn() -> None:
    thread = failing(7)
    thread.turn(answer="at last")
    assert thread.goal.continuations == 1
    thread.turn(answer="on it goes")
    assert thread.goal.continuations == 2


def test_an_outage_longer_than_all_turns_does_not_spend_them() -> None:
    """150 attempts at the last of two turns: it still may succeed."""
    thread = started(limits=Limits(continuations=2))
    thread.turn(answer="one")
    for _ in range(150):
        thread.dispatch()
        thread.fail(SERVER_ERROR)
        retry(thread)
    assert thread.status == "active"
    thread.turn(answer="two")
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "continuations")
    assert thread.goal.continuations == 2


def test_the_prompt_of_an_attempt_has_the_number_of_its_turn() -> None:
    thread = failing(3, limits=Limits(continuations=1))
    before = render_turn(thread.session, thread.now_ms)
    thread.dispatch()
    assert "turn 1" in before
    assert render_turn(thread.session, thread.now_ms) == before
    assert "last of the 1 turns" in before


def test_an_attempt_that_is_cut_off_counts() -> None:
    """A crash that comes again and again during an outage uses turns up like any other."""
    thread = failing(1, policy=Policy(max_continuations=3))
    for _ in range(3):
        assert thread.status == "active"
        thread.dispatch()
        thread.restart()
    assert thread.goal.continuations == 3
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "continuations")


def test_another_goal_owes_nothing() -> None:
    thread = failing(2)
    thread.give("Something else", replace=True)
    thread.turn()
    assert thread.goal.continuations == 1
