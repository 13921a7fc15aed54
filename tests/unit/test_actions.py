"""What is offered in each state: what the machine's table has a row for, and what is open."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import STATUSES
from goalfsm.session import Session
from goalfsm.session.state import QueuedGoal, Wait
from goalfsm.views.actions import actions
from goalfsm.views.status import project
from tests.unit.sessions import CLAIM, NOW_MS, RUN, active, with_goal


def names(session: Session) -> list[str]:
    return [action.name for action in actions(project(session, NOW_MS))]


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        ("active", ["steer", "pause", "budget", "edit", "new", "clear"]),
        ("paused", ["resume", "steer", "budget", "edit", "new", "clear"]),
        ("blocked", ["resume", "steer", "budget", "edit", "new", "clear"]),
        ("budgetLimited", ["steer", "budget", "edit", "new", "clear"]),
        ("complete", ["new", "clear"]),
    ],
)
def test_what_each_status_allows(status: str, offered: list[str]) -> None:
    assert names(with_goal(status=status)) == offered


def test_without_a_goal_one_can_be_given() -> None:
    assert names(Session()) == ["new"]


def test_a_claim_is_accepted_or_rejected_first() -> None:
    assert names(active(claim=CLAIM))[:2] == ["accept", "reject"]


def test_a_turn_is_interrupted_once() -> None:
    assert "interrupt" in names(active(run=RUN))
    assert "interrupt" not in names(active(run=replace(RUN, ending="it is over")))


def test_what_waits_can_be_woken() -> None:
    assert "wake" in names(active(waits=(Wait(kind="event"),)))


@pytest.mark.parametrize("status", STATUSES)
def test_the_next_queued_goal_is_offered_once_none_is_unfinished(status: str) -> None:
    queued = (QueuedGoal(queue_id="q1", objective="the printer", at_ms=NOW_MS),)
    after = replace(with_goal(status=status), queue=queued)
    assert ("next" in names(after)) is (status == "complete")
    assert names(Session(queue=queued))[:2] == ["next", "new"]
    assert "next" not in names(with_goal(status=status))


@pytest.mark.parametrize("status", STATUSES)
def test_no_key_has_two_meanings_at_once(status: str) -> None:
    session = replace(with_goal(status=status), run=RUN, claim=CLAIM)
    keys = [action.key for action in actions(project(session, NOW_MS)) if action.key]
    assert len(keys) == len(set(keys))
