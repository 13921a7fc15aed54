"""Histories that are loaded: the goal that they hold, and what only the process knew."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Goal
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import ClearEntry, SetEntry, UserStartEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def entry(**fields: Any) -> SetEntry:
    """Return a history entry of a goal."""
    known: dict[str, Any] = {"goal_id": "old", "objective": "x", "created_at": 1, "updated_at": 1}
    return SetEntry(source="runtime", goal=Goal(**(known | fields)))


def test_a_thread_is_loaded_from_its_history_alone() -> None:
    thread = CheckedThread()
    thread.do(
        e.SessionStarted(
            history=(
                entry(goal_id="older"),
                ClearEntry(source="command", cleared="older"),
                entry(tokens_used=40),
                UserStartEntry(active=True),
            )
        )
    )
    assert (thread.goal.goal_id, thread.goal.tokens_used) == ("old", 40)
    assert thread.session.recovery.phase == "host_overflow_needs_user_start"
    assert thread.sent() == 1


def test_a_history_that_ends_with_a_clear_holds_no_goal() -> None:
    thread = started()
    thread.do(e.TreeChanged(history=(entry(), ClearEntry(source="command", cleared="old"))))
    assert thread.session.goal is None
    assert thread.decision == ("stop", "status")


def test_loading_knows_nothing_of_what_only_the_process_knew() -> None:
    thread = started()
    thread.dispatch()
    thread.fail()
    thread.do(e.BlockRequested())
    thread.do(e.SessionStarted(history=tuple(thread.history)))
    session = thread.session
    assert thread.status == "blocked"
    assert session.retry.at_ms is None
    assert not session.notices
    assert session.continuation.queued is None


@pytest.mark.parametrize(("reason", "status"), [("resume", "active"), ("startup", "paused")])
def test_who_resumes_the_thread_resumes_a_paused_goal(reason: Any, status: str) -> None:
    thread = CheckedThread()
    paused = entry(status="paused", pause_reason="user")
    thread.do(e.SessionStarted(reason=reason, history=(paused,)))
    assert thread.status == status
    assert thread.goal.pause_reason == ("user" if status == "paused" else None)


@pytest.mark.parametrize("status", ["active", "blocked", "complete", "budgetLimited"])
def test_who_resumes_the_thread_changes_no_other_goal(status: str) -> None:
    thread = CheckedThread()
    thread.do(e.SessionStarted(reason="resume", history=(entry(status=status),)))
    assert thread.status == status
    thread.do(e.SessionStarted(reason="resume"))
    assert thread.session.goal is None


def test_an_engines_machine_may_refuse_even_that() -> None:
    from goalfsm.goal.machine import default_machine, goal_machine  # noqa: PLC0415  only here

    machine = default_machine()
    rows = tuple(
        row._replace(when="never") if row.trigger == "resume" else row
        for row in machine.rows
        if (row.trigger, row.dest) != ("resume", "budgetLimited")
    )
    strict = goal_machine(rows, guards={**machine.guards, "never": lambda _: False})
    thread = CheckedThread(machine=strict)
    thread.do(e.SessionStarted(reason="resume", history=(entry(status="paused"),)))
    assert thread.status == "paused"
    thread.do(e.ShutdownStarted())
    thread._session = replace(
        thread.session, goal=replace(thread.goal, pause_reason="shutdown", resume_at_ms=5)
    )
    thread.do(e.EngineStarted(), e.TimerFired())
    assert thread.status == "paused"


def test_the_clock_of_a_loaded_goal_runs_where_idle_time_counts() -> None:
    for policy, goal_id in ((Policy.reference(), "old"), (Policy(), None)):
        thread = CheckedThread(policy)
        thread.do(e.SessionStarted(history=(entry(),)))
        assert thread.session.clock.goal_id == goal_id
        thread.do(e.SessionStarted(history=(entry(status="blocked"),)))
        assert thread.session.clock.goal_id is None


def test_another_branch_of_the_history_ends_the_run_of_the_goal_that_it_leaves() -> None:
    thread = started()
    run_id = thread.dispatch()
    thread.do(e.SteeringReceived(message_id="m", text="hello"))
    thread.do(e.TreeChanged(history=(entry(),)))
    assert [effect.run_id for effect in thread.asked(f.EndRun)] == [run_id]
    assert not thread.session.steering
    thread.interrupt()
    assert thread.session.run is None
    assert thread.goal.goal_id == "old"


def test_the_same_goal_keeps_its_run_when_its_history_is_loaded() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.TreeChanged(history=tuple(thread.history)))
    assert not thread.asked(f.EndRun)
    assert thread.session.run is not None
