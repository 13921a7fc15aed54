"""A pause that an embedder's rule refuses: no turn follows all the same, until a person says so."""

from __future__ import annotations

import pytest

from goalfsm.goal.compiler import Row
from goalfsm.goal.machine import GUARDS, TRANSITIONS, GoalMachine, default_machine, goal_machine
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.activity import activity

HELD = ("wait", "wait")


def guarded() -> GoalMachine:
    """Return a machine whose active goals cannot be paused."""
    rows = [
        row._replace(when="never") if (row.trigger, row.source) == ("pause", "active") else row
        for row in TRANSITIONS
    ]
    return goal_machine(rows, guards={**GUARDS, "never": lambda _: False})


def unmoved() -> GoalMachine:
    """Return a machine whose active goals stay active when they are paused."""
    row = Row("pause", "active", None, when="always", reason="work goes on here")
    return default_machine().extended([row], guards={"always": lambda _: True})


@pytest.fixture(params=[guarded, unmoved])
def thread(request: pytest.FixtureRequest) -> CheckedThread:
    """Return a thread at work whose machine refuses pauses."""
    thread = CheckedThread(machine=request.param())
    thread.give()
    return thread


def test_no_turn_follows_a_refused_pause(thread: CheckedThread) -> None:
    thread.dispatch()
    thread.do(e.PauseRequested())
    assert (thread.reply.ok, thread.reply.code) == (True, "suspended")
    thread.end(answer="the running turn ends")
    assert (thread.status, thread.decision, thread.sent()) == ("active", HELD, 1)
    assert activity(thread.session).text == "waiting on a person"


def test_what_was_queued_is_given_up(thread: CheckedThread) -> None:
    thread.do(e.PauseRequested())
    assert thread.session.continuation.queued is None
    assert thread.decision == HELD


@pytest.mark.parametrize(
    "event",
    [
        e.SteeringReceived(message_id="m", text="go on"),
        e.TimerFired(),
        e.EngineStarted(after_crash=True),
        e.WaitDeclared(kind="timer", until_ms=1),
        e.CompactionEnded(),
    ],
)
def test_nothing_but_a_person_who_says_so_ends_it(thread: CheckedThread, event: e.Event) -> None:
    thread.do(e.PauseRequested())
    thread.do(event, e.TimerFired())
    assert (thread.session.held, thread.sent()) == (True, 1)


def test_a_running_turn_that_declares_a_wait_does_not_end_it(thread: CheckedThread) -> None:
    thread.dispatch()
    thread.do(e.PauseRequested())
    thread.do(e.WaitDeclared(kind="timer", until_ms=thread.now_ms + 1, run_token="token-1"))
    thread.end()
    thread.advance(10)
    thread.do(e.TimerFired())
    assert (thread.session.held, thread.sent()) == (True, 1)


@pytest.mark.parametrize("event", [e.WakeRequested(), e.ResumeRequested()])
def test_one_turn_follows_when_a_person_says_so(thread: CheckedThread, event: e.Event) -> None:
    thread.do(e.PauseRequested())
    thread.do(event)
    assert thread.reply.ok
    assert (thread.session.held, thread.sent(), thread.decision[0]) == (False, 2, "continue")


def test_a_start_that_asks_does_not_take_its_place() -> None:
    thread = CheckedThread(Policy(on_start="ask"), machine=guarded())
    thread.give()
    thread.do(e.PauseRequested())
    thread.restart()
    assert thread.session.held


def test_a_goal_that_is_not_active_is_refused_in_words(thread: CheckedThread) -> None:
    thread.do(e.BlockRequested())
    thread.do(e.PauseRequested())
    assert (thread.reply.ok, thread.session.waits) == (False, ())
