"""What a model reads in answer to a call of a goal's tool."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from goalfsm.goal.accounting import Clock
from goalfsm.goal.model import (
    Criterion,
    Goal,
    Limits,
    Verifier,
)
from goalfsm.session import Policy, Reply, Session
from goalfsm.session import events as e
from goalfsm.session.state import Blocking
from goalfsm.session.tools import (
    READ,
)
from goalfsm.testing import CheckedThread
from goalfsm.testing.loop import START_MS
from goalfsm.views.tool_answers import ToolResponse, respond


def ask(thread: CheckedThread, tool: str, **arguments: Any) -> ToolResponse:
    """Return what the model reads that calls a tool."""
    return respond(thread.call(tool, **arguments), thread.session, thread.now_ms)


def working(**fields: Any) -> CheckedThread:
    model = CheckedThread()
    model.give("ship <it>", limits=Limits(tokens=500), **fields)
    return model


def test_goal_is_described_with_its_criteria_as_data() -> None:
    model = working(criteria=(Criterion(text="a & b"), Criterion(text="c")))
    told = ask(model, "get_goal")
    assert told.ok
    assert told.text == (
        "Status: active (continuing).\n"
        "<objective>\nship &lt;it&gt;\n</objective>\n"
        "Criteria:\n  1. a &amp; b\n  2. c\n"
        "tokens: 0 of 500 used, 500 left\n"
        "active time: 0s used, no limit\n"
        "turns: 0 of 100 used, 100 left"
    )
    assert told.data.goal is not None
    assert told.data.goal.objective == "ship <it>"
    assert told.data.goal.criteria == ("a & b", "c")
    assert told.data.budgets is not None
    assert told.data.budgets.tokens.left == 500


def test_thread_without_a_goal_is_read_too() -> None:
    told = ask(CheckedThread(), "get_goal")
    assert (told.ok, told.text, told.data.goal) == (True, "This thread has no goal.", None)
    assert (told.data.budgets, told.data.activity, told.data.code) == (None, "no goal", READ)


def test_early_blocked_claim_is_recorded_with_its_count() -> None:
    told = ask(working(), "update_goal", status="blocked", reason="no login")
    assert told.ok
    assert "1 of 3" in told.text.splitlines()[0]
    assert "blocked claims in a row: 1 of 3" in told.text
    assert (told.data.blocked_claims.count, told.data.blocked_claims.needed) == (1, 3)
    assert told.data.goal is not None
    assert told.data.goal.status == "active"


def test_blocked_claim_that_counts_at_once_blocks() -> None:
    model = CheckedThread(Policy(blocked_after=1))
    model.do(e.ObjectiveGiven(objective="ship it"))
    told = ask(model, "update_goal", status="blocked", reason="no login")
    assert "Status: blocked (blocked)." in told.text
    assert told.data.goal is not None
    assert told.data.goal.note == "no login"


def test_completion_tells_what_it_took() -> None:
    told = ask(working(), "update_goal", status="complete", evidence=["it is shipped"])
    assert told.ok
    assert "Status: complete (complete)." in told.text
    assert "tokens: 0 of 500 used" in told.text
    assert "<objective>" not in told.text


def test_claim_under_verification_leaves_the_goal_active() -> None:
    told = ask(
        working(verifiers=(Verifier(kind="command", argv=("true",)),)),
        "update_goal",
        status="complete",
        evidence=["it is shipped"],
    )
    assert told.ok
    assert "Status: active (verifying)." in told.text
    assert told.data.goal is not None
    assert told.data.goal.verifiers == 1


def test_refused_call_says_why_and_how_the_goal_stands() -> None:
    told = ask(working(), "update_goal", status="paused")
    assert not told.ok
    assert told.text == (
        "A tool cannot set the status paused.\n"
        'Claim "complete" or "blocked"; the rest belongs to the person.'
    )
    assert told.data.code == "status_not_allowed"
    assert told.data.goal is not None
    assert told.data.hint


def test_model_creates_a_goal_only_where_none_is_unfinished() -> None:
    model = CheckedThread()
    assert ask(model, "create_goal", objective="one", token_budget=9).ok
    refused = ask(model, "create_goal", objective="two")
    assert (refused.ok, refused.data.code) == (False, "goal_exists")
    assert refused.data.goal is not None
    assert refused.data.goal.objective == "one"


def test_refused_call_of_a_thread_without_a_goal() -> None:
    told = ask(CheckedThread(), "update_goal", status="complete", evidence=["x"])
    assert not told.ok
    assert told.text.endswith("This thread has no goal.")


def test_figures_are_live_and_limits_effective() -> None:
    goal = Goal(goal_id="g", objective="o", created_at=1, updated_at=1, time_budget_seconds=60)
    session = Session(goal=goal, clock=Clock(goal_id="g", last_ms=START_MS - 9_000))
    session = replace(session, blocking=Blocking(count=0), policy=Policy(max_continuations=4))
    data = respond(Reply(ok=True), session, START_MS).data
    assert data.goal is not None
    assert (data.goal.active_seconds, data.goal.max_continuations) == (9, 4)
    assert data.budgets is not None
    assert (data.budgets.seconds.left, data.budgets.continuations.left) == (51, 4)


def test_response_is_plain_json() -> None:
    told = ask(working(), "get_goal")
    assert msgspec.json.decode(msgspec.json.encode(told), type=ToolResponse) == told
