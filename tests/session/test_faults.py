"""An event that could not be decided: the thread stops, and says why, until somebody resumes it."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.goal.machine import GUARDS, TRANSITIONS, goal_machine
from goalfsm.goal.model import Limits
from goalfsm.session import Session
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.status import project

FAULT = e.DecisionFailed(kind="RunFinished", error="ValueError: no rule", event_id="e7")
WHY = "RunFinished could not be decided: ValueError: no rule"


def test_a_fault_pauses_the_goal_with_attention() -> None:
    """Status and explanation say what happened; a person takes the work up again."""
    thread = CheckedThread()
    thread.give()
    thread.dispatch()
    thread.do(FAULT)
    assert (thread.status, thread.goal.pause_reason, thread.goal.note) == (
        "paused",
        "recovery",
        WHY,
    )
    assert (thread.reply.ok, thread.reply.code) == (False, "internal_error")
    assert WHY in thread.reply.message
    shown = project(thread.session, thread.now_ms)
    assert shown.status_line is not None
    assert (shown.status_line.label, shown.status_line.reason) == ("needs_attention", WHY)
    assert thread.decision == ("stop", "status")
    thread.do(e.RunInterrupted(run_id="run-1"), e.HostChanged(idle=True))
    assert thread.sent() == 1
    thread.do(e.ResumeRequested())
    assert thread.status == "active"
    assert thread.session.recovery.attention is None
    assert thread.sent() == 2


@pytest.mark.parametrize("rule", ["refuses", "moves nothing"])
def test_a_rule_that_keeps_the_goal_active_does_not_keep_it_going(rule: str) -> None:
    """It waits for a person, who wakes or resumes it."""
    rows = [
        row
        if row.trigger not in {"recovery_pause", "pause"} or row.source != "active"
        else (row._replace(when="never") if rule == "refuses" else row._replace(dest=None))
        for row in TRANSITIONS
    ]
    thread = CheckedThread(machine=goal_machine(rows, guards={**GUARDS, "never": lambda _: False}))
    thread.give()
    thread.do(e.AgentStarting(), FAULT)
    assert thread.status == "active"
    assert thread.session.held
    assert thread.session.waits
    assert thread.session.waits[0].note == WHY
    assert thread.session.continuation.queued is None
    sent = thread.sent()
    thread.do(e.HostChanged(idle=True), e.TimerFired())
    assert thread.sent() == sent
    thread.do(e.ResumeRequested())
    assert thread.sent() == sent + 1


def test_a_rule_that_leads_a_fault_elsewhere_is_kept_to() -> None:
    rows = [
        row._replace(dest="blocked")
        if (row.trigger, row.source) == ("recovery_pause", "active")
        else row
        for row in TRANSITIONS
    ]
    thread = CheckedThread(machine=goal_machine(rows))
    thread.give()
    thread.do(FAULT)
    assert (thread.status, thread.goal.pause_reason, thread.sent()) == ("blocked", None, 1)
    assert thread.decision == ("stop", "status")


@pytest.mark.parametrize("reason", ["usage_limit", "shutdown"])
def test_a_pause_that_would_end_by_itself_does_not(reason: Any) -> None:
    """Its end may be what cannot be decided: it would be tried for ever."""
    thread = CheckedThread()
    thread.give()
    thread.do(e.PauseRequested(reason=reason, origin="system"))
    later = thread.now_ms + 1_000 if reason == "usage_limit" else None
    goal = thread.goal
    thread._session = _with(thread.session, goal, resume_at_ms=later)
    thread.do(FAULT)
    assert (thread.goal.pause_reason, thread.goal.resume_at_ms) == ("recovery", None)
    assert thread.goal.note == WHY
    assert thread.wake is None


def _with(session: Session, goal: Any, **fields: Any) -> Session:
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(session, goal=replace(goal, **fields))


def test_a_persons_pause_stays_theirs() -> None:
    """Nothing follows by itself, so nothing is changed."""
    thread = CheckedThread()
    thread.give()
    thread.do(e.PauseRequested())
    before = thread.goal
    thread.do(FAULT)
    assert thread.goal is before


def test_a_wind_down_that_is_owed_is_given_up() -> None:
    """The turn would meet the same fault."""
    thread = CheckedThread()
    thread.give(limits=Limits(tokens=10))
    thread.dispatch()
    thread.use(20)
    assert thread.session.wind_down == "owed"
    thread.do(FAULT)
    assert (thread.status, thread.session.wind_down) == ("budgetLimited", "done")


def test_a_thread_without_work_has_nothing_to_stop() -> None:
    """The event is in the journal all the same."""
    idle = CheckedThread()
    idle.do(FAULT)
    assert idle.session == Session()
    assert idle.reply.code == "internal_error"
    done = CheckedThread()
    done.give()
    done.do(e.CompletionRequested())
    before = done.session
    done.do(FAULT)
    assert done.session == before


def test_an_engine_whose_start_could_not_be_decided_works_on_what_is_given_next() -> None:
    thread = CheckedThread()
    thread.do(e.ShutdownStarted())
    thread.do(e.DecisionFailed(kind="EngineStarted", error="ValueError: no rule", event_id="e7"))
    thread.give()
    assert thread.decision == ("continue", "otherwise")
    assert thread.sent() == 1


def test_a_fault_in_anything_else_leaves_an_engine_on_its_way_out() -> None:
    thread = CheckedThread()
    thread.do(e.ShutdownStarted(), FAULT)
    thread.give()
    assert thread.decision == ("wait", "stopping")
