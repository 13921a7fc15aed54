"""An embedder's own machine: its triggers, its guards, and what it calls back."""

from __future__ import annotations

import pytest

from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import default_machine
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

OWN = default_machine().extended(
    [
        Row("hand_over", "active", "blocked", when="small", actions=("page",)),
        Row("abandon", "active", "absent", actions=("page",)),
        Row("note", "active", None, actions=("page",)),
        Row("hold", "active", "paused"),
        Row("cap", "active", "budgetLimited"),
    ],
    guards={"small": lambda goal: goal.tokens_used < 100},
    effects=["page"],
    on_enter={"blocked": "notify"},
)


def own() -> CheckedThread:
    """Return a thread whose embedder has rows, a guard and callbacks of their own."""
    thread = CheckedThread(machine=OWN)
    thread.give()
    return thread


def test_an_embedders_trigger_moves_the_goal_and_calls_back_after_the_commit() -> None:
    thread = own()
    thread.do(e.TriggerFired(trigger="hand_over"))
    assert thread.reply.code == "fired"
    assert thread.asked(f.RunCallback) == [
        f.RunCallback(name="page", goal_id="goal-1", status="blocked"),
        f.RunCallback(name="notify", goal_id="goal-1", status="blocked"),
    ]
    assert isinstance(thread.last.effects[0], f.AppendEntry)


def test_a_callback_of_a_status_is_called_whatever_led_there() -> None:
    thread = own()
    thread.do(e.BlockRequested())
    assert [call.name for call in thread.asked(f.RunCallback)] == ["notify"]


def test_a_guard_of_the_embedder_refuses() -> None:
    thread = own()
    thread.dispatch()
    thread.use(100)
    thread.do(e.TriggerFired(trigger="hand_over"))
    assert (thread.reply.ok, thread.reply.code) == (False, "status_not_allowed")
    assert thread.goal.tokens_used == 100


def test_a_trigger_that_ends_the_goal_tells_of_the_goal_that_ended() -> None:
    thread = own()
    thread.do(e.TriggerFired(trigger="abandon"))
    assert thread.session.goal is None
    assert thread.asked(f.RunCallback) == [
        f.RunCallback(name="page", goal_id="goal-1", status="active")
    ]
    assert thread.session.continuation.queued is None


def test_a_trigger_that_keeps_the_status_only_calls_back() -> None:
    thread = own()
    goal = thread.goal
    thread.do(e.TriggerFired(trigger="note"))
    assert thread.goal == goal
    assert [type(effect) for effect in thread.last.effects] == [f.RunCallback]


def test_a_status_that_an_embedder_led_to_says_why() -> None:
    thread = own()
    thread.do(e.TriggerFired(trigger="hold"))
    assert thread.goal.pause_reason == "user"
    thread.do(e.ResumeRequested(), e.TriggerFired(trigger="cap"))
    assert thread.goal.limited_by == "continuations"


@pytest.mark.parametrize("trigger", ["replace", "resume", "complete", "limit", "account"])
def test_our_own_triggers_have_commands(trigger: str) -> None:
    """Fired by name they would leave out what the command does besides."""
    thread = own()
    thread.do(e.TriggerFired(trigger=trigger))
    assert thread.reply.code == "trigger_reserved"
    assert thread.status == "active"


def test_an_unknown_trigger_is_refused() -> None:
    thread = started()
    thread.do(e.TriggerFired(trigger="hand_over"))
    assert thread.reply.code == "status_not_allowed"
    thread.do(e.ClearRequested(), e.TriggerFired(trigger="hand_over"))
    assert thread.reply.code == "no_goal"
