"""Policies, expectations, and who may ask for what."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Limits
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def test_a_changed_policy_counts_from_the_next_decision_on() -> None:
    thread = started()
    thread.turn()
    thread.do(e.PolicyChanged(changes={"max_continuations": 1}))
    assert thread.reply.code == "policy_changed"
    assert thread.session.policy.max_continuations == 1
    thread.do(e.PolicyChanged(changes={"max_continuations": -1}))
    assert thread.reply.code == "policy_invalid"
    thread.turn()
    assert thread.goal.limited_by == "continuations"


def test_a_policy_comes_with_the_objective() -> None:
    thread = started(policy=None)
    thread.give("Again", replace=True, policy={"blocked_after": 1})
    thread.dispatch()
    assert thread.claim_blocked().code == "marked"


@pytest.mark.parametrize(
    ("expected", "code"),
    [
        ({"expected_goal_id": "goal-9"}, "goal_changed"),
        ({"expected_revision": 7}, "revision_changed"),
    ],
)
def test_what_somebody_expects_has_to_hold(expected: dict[str, object], code: str) -> None:
    for thread in (started(), CheckedThread()):
        before = thread.session
        thread.do(e.PauseRequested(**expected))  # type: ignore[arg-type]
        assert (thread.reply.ok, thread.reply.code) == (False, code)
        assert thread.session is before


def test_expectations_that_hold_change_nothing() -> None:
    thread = started()
    thread.do(e.PauseRequested(expected_goal_id="goal-1", expected_revision=1))
    assert thread.status == "paused"


FROM_A_MODEL = (
    e.PauseRequested(origin="model"),
    e.ResumeRequested(origin="model"),
    e.ClearRequested(origin="model"),
    e.EditRequested(origin="model", objective="easier"),
    e.BudgetChanged(origin="model", limits=Limits(tokens=10**9)),
    e.CompletionRequested(origin="model"),
    e.BlockRequested(origin="model"),
    e.ClaimAccepted(origin="model"),
    e.ClaimRejected(origin="model"),
    e.SteeringReceived(origin="model", message_id="m", text="t"),
    e.SteeringDropped(origin="model", message_id="m"),
    e.WakeRequested(origin="model"),
    e.TriggerFired(origin="model", trigger="x"),
    e.PolicyChanged(origin="model", changes={}),
    e.InterruptRequested(origin="model", text="stop"),
    e.GoalQueued(origin="model", objective="mine"),
    e.QueueMoved(origin="model", queue_id="q1", place=1),
    e.QueueDropped(origin="model", queue_id="q1"),
    e.NextGoalRequested(origin="model"),
    e.GoalImported(origin="model", source="s", digest="", objective="mine"),
)


@pytest.mark.parametrize("event", FROM_A_MODEL, ids=lambda event: type(event).__name__)
def test_a_model_commands_nothing(event: e.Event) -> None:
    thread = started()
    before = thread.session
    thread.do(event)
    assert (thread.reply.ok, thread.reply.code) == (False, "origin_not_allowed")
    assert thread.session is before


def test_every_command_but_the_objective_is_kept_from_models() -> None:
    kept = {type(event) for event in FROM_A_MODEL}
    assert kept == {*e.Command.__args__} - {e.ObjectiveGiven}


def test_a_model_gives_the_thread_a_goal_only_when_none_is_unfinished() -> None:
    thread = CheckedThread()
    thread.do(e.ObjectiveGiven(objective="Mine", origin="model"))
    assert thread.history == [SetEntry(source="tool", goal=thread.goal)]
    thread.do(e.ObjectiveGiven(objective="Other", origin="model", replace=True))
    assert thread.reply.code == "goal_exists"
    assert thread.goal.objective == "Mine"


def test_the_history_names_who_asked() -> None:
    thread = started()
    thread.do(e.PauseRequested(origin="system", reason="usage_limit"))
    thread.do(e.ResumeRequested())
    assert [entry.source for entry in thread.history if isinstance(entry, SetEntry)] == [
        "command",
        "runtime",
        "command",
    ]
