"""A goal that another program worked on: how it arrives, once."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.goal.model import Limits
from goalfsm.session import codec
from goalfsm.session import events as e
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread

NOW = START_MS // 1000


def brought(thread: CheckedThread | None = None, **fields: Any) -> CheckedThread:
    """Return a thread that a goal was brought to."""
    thread = thread or CheckedThread()
    given = {"source": "codex:t/g", "digest": "d1", "objective": "Port it", **fields}
    thread.do(e.GoalImported(**given))
    return thread


def test_it_arrives_paused_with_what_it_has_used() -> None:
    thread = brought(limits=Limits(tokens=1_000), tokens=700, seconds=90, created_at=NOW - 500)
    goal = thread.goal
    assert (thread.reply.code, goal.status, goal.pause_reason) == ("imported", "paused", "user")
    assert (goal.tokens_used, goal.active_seconds, goal.token_budget) == (700, 90, 1_000)
    assert (goal.created_at, goal.updated_at) == (NOW - 500, NOW)
    assert thread.sent() == 0
    assert thread.session.ledger.charged_tokens == 0  # nobody reported it here
    assert codec.decode(codec.encode(thread.session)) == thread.session
    thread.do(e.ResumeRequested())
    assert (thread.status, thread.sent()) == ("active", 1)
    thread.dispatch()
    thread.use(400)
    assert (thread.status, thread.goal.tokens_used) == ("budgetLimited", 1_100)


def test_it_follows_a_goal_that_is_complete_with_its_own_use_alone() -> None:
    thread = CheckedThread()
    thread.give()
    brought(thread, tokens=7)
    assert thread.reply.code == "goal_exists"
    thread.do(e.CompletionRequested())
    brought(thread, tokens=700, seconds=90)
    assert (thread.goal.tokens_used, thread.goal.active_seconds) == (700, 90)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"status": "blocked", "note": "no key"}, ("blocked", None, None, "no key")),
        ({"status": "complete"}, ("complete", None, None, None)),
        (
            {"status": "budgetLimited", "limits": Limits(tokens=5), "tokens": 5},
            ("budgetLimited", None, "tokens", None),
        ),
        ({"status": "budgetLimited", "tokens": 5}, ("paused", "user", None, None)),
        ({"pause_reason": "usage_limit"}, ("paused", "usage_limit", None, None)),
    ],
)
def test_how_it_stood_is_kept(said: dict[str, Any], kept: tuple[str | None, ...]) -> None:
    thread = brought(**said)
    goal = thread.goal
    assert (goal.status, goal.pause_reason, goal.limited_by, goal.note) == kept
    assert (thread.sent(), thread.sent("budget_limit"), thread.session.wind_down) == (0, 0, "none")


def test_a_budget_that_is_used_up_is_raised_as_any_other() -> None:
    thread = brought(status="budgetLimited", limits=Limits(tokens=5), tokens=5)
    thread.do(e.BudgetChanged(limits=Limits(tokens=50)))
    assert (thread.status, thread.sent()) == ("active", 1)


def test_the_same_source_is_brought_once() -> None:
    thread = brought(tokens=10)
    before = thread.session
    brought(thread, tokens=10)
    assert (thread.reply.code, thread.session) == ("already_imported", before)
    brought(thread, digest="d2", tokens=20)
    assert (thread.reply.code, thread.session) == ("source_changed", before)
    assert thread.reply.ok


def test_an_unfinished_goal_of_the_thread_is_in_its_way() -> None:
    thread = CheckedThread()
    thread.give("Our own")
    brought(thread)
    assert (thread.reply.ok, thread.reply.code) == (False, "goal_exists")
    assert (thread.goal.objective, thread.session.imported) == ("Our own", None)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"objective": " "}, "objective_empty"),
        ({"limits": Limits(tokens=0)}, "budget_invalid"),
        ({"limits": Limits(seconds=-1)}, "budget_invalid"),
        ({"tokens": -1}, "usage_invalid"),
        ({"seconds": 2**53}, "usage_invalid"),
        ({"origin": "model"}, "origin_not_allowed"),
    ],
)
def test_what_makes_no_sense_is_refused_whole(fields: dict[str, Any], code: str) -> None:
    thread = brought(**fields)
    assert (thread.reply.ok, thread.reply.code) == (False, code)
    assert (thread.session.goal, thread.session.imported) == (None, None)


@pytest.mark.parametrize(("said", "kept"), [(None, NOW), (NOW + 60, NOW), (-5, 0)])
def test_it_was_not_created_in_the_future(said: int | None, kept: int) -> None:
    assert brought(created_at=said).goal.created_at == kept
