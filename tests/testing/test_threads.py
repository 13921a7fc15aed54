"""A thread without an engine: its steps are checked, and what is missing is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from goalfsm.errors import GoalError
from goalfsm.session import Context, Policy, Session, Step
from goalfsm.session import events as e
from goalfsm.session import thread as deciding
from goalfsm.session.state import Continuation
from goalfsm.testing import CheckedThread


def test_a_step_that_breaks_an_invariant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(session: Session, _event: e.Event, _context: Context) -> Step:
        return Step(replace(session, continuation=Continuation(queued="goal-7")))

    thread = CheckedThread()
    thread.give()
    monkeypatch.setattr(deciding, "handle", broken)
    with pytest.raises(AssertionError, match="queued for another goal"):
        thread.do(e.TimerFired())


@pytest.mark.parametrize(
    ("look", "code"),
    [
        (lambda thread: thread.goal, "no_goal"),
        (lambda thread: thread.run, "no_run"),
        (lambda thread: thread.reply, "no_reply"),
        (lambda thread: thread.decision, "no_decision"),
    ],
)
def test_what_is_not_there_is_named(look: Callable[[CheckedThread], object], code: str) -> None:
    with pytest.raises(GoalError) as caught:
        look(CheckedThread())
    assert caught.value.code == code


def test_what_an_engine_draws_is_counted() -> None:
    """Equal tests make equal ids and waits; ``jitter`` draws another share of the wait."""
    threads = [CheckedThread(Policy(retry_jitter=0.5)) for _ in range(2)]
    threads[1].jitter = 1.0
    for thread in threads:
        thread.give()
        assert thread.goal.goal_id == "goal-1"
        assert thread.dispatch() == "run-1"
        thread.fail()
    assert [thread.wake for thread in threads] == [2_000, 3_000]


def test_a_restart_goes_on_from_the_snapshot_without_the_open_run() -> None:
    thread = CheckedThread()
    thread.give()
    thread.dispatch("steer", "compact")
    thread.restart()
    assert [type(effect).__name__ for effect in thread.effects].count("StartRun") == 1
    assert (thread.session.run, thread.status) == (None, "active")
