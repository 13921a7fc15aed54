"""The invariants themselves: each of them notices a step that breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from goalfsm.goal.model import Usage
from goalfsm.session import Step
from goalfsm.session import events as e
from goalfsm.session.state import Continuation
from goalfsm.testing.invariants import INVARIANTS, check, sessions
from goalfsm.testing.invariants.course import Course
from goalfsm.testing.invariants.invariant import Transition
from goalfsm.testing.loop import START_MS
from goalfsm.testing.threads import CheckedThread
from tests.session import broken_sessions, broken_steps
from tests.session.breaking import complete, limited, step
from tests.session.hosts import started

LOOKS = {look.__name__.lstrip("_"): look for _, look in INVARIANTS}
CASES = [*broken_sessions.CASES, *broken_steps.CASES]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[c.__name__.strip("_") for _, c in CASES])
def test_a_broken_step_is_noticed(name: str, case: Callable[[], Transition]) -> None:
    with pytest.raises(AssertionError):
        LOOKS[name](case())


def test_every_invariant_has_a_step_that_breaks_it() -> None:
    assert {name for name, _ in CASES} | {"finished_goals_sleep"} == set(LOOKS)


@pytest.mark.parametrize("thread", [CheckedThread, complete, limited])
def test_a_timer_of_a_goal_that_stopped_is_noticed(
    thread: Callable[[], CheckedThread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session has one, so the answer itself has to be told wrong."""
    transition = step(thread())
    LOOKS["finished_goals_sleep"](transition)
    monkeypatch.setattr(sessions, "next_wake", lambda _session: 5)
    with pytest.raises(AssertionError):
        LOOKS["finished_goals_sleep"](transition)


def test_the_message_names_invariant_fault_and_event() -> None:
    before = started().session
    told = Step(replace(before, continuation=Continuation(queued="goal-7")))
    with pytest.raises(AssertionError) as caught:
        check(before, e.TimerFired(), told)
    sentence, fault, event = str(caught.value).splitlines()
    assert sentence == INVARIANTS[0].says
    assert fault == "  broken: queued for another goal"
    assert event == "  event: TimerFired()"


def test_the_time_of_a_decision_stands_in_for_the_time() -> None:
    """A step that decided knows when that was."""
    thread = started()
    thread.do(e.WaitDeclared(kind="timer", until_ms=START_MS - 1))
    stuck = Step(thread.session, decision=thread.session.decision)
    with pytest.raises(AssertionError, match="no timer fires for ever"):
        check(thread.session, e.TimerFired(), stuck)


def follow(course: Course, thread: CheckedThread, event: e.Event) -> None:
    """Let the thread take an event, and the course follow it."""
    before = thread.session
    thread.do(event)
    course.follow(before, event, thread.session)


def test_usage_that_is_booked_again_is_noticed() -> None:
    """A thread remembers the keys of its open run alone; a journal refuses those of all runs."""
    thread = started()
    thread.dispatch()
    course = Course(thread.session)
    used = e.UsageReported(run_id="run-0", run_token="old", key="k", usage=Usage(input_tokens=5))
    follow(course, thread, used)
    with pytest.raises(AssertionError, match="was reported"):
        follow(course, thread, used)


def test_tokens_that_are_charged_again_are_noticed() -> None:
    thread = started()
    course, before = Course(thread.session), thread.session
    ledger = replace(before.ledger, charged_tokens=5)
    with pytest.raises(AssertionError, match="5 tokens are booked, 0 were reported"):
        course.follow(before, e.TimerFired(), replace(before, ledger=ledger))


def test_a_run_that_is_dispatched_again_is_noticed() -> None:
    thread = started()
    course = Course(thread.session)
    again = e.RunDispatched(run_id="run", token="token")
    follow(course, thread, again)
    thread.interrupt()
    with pytest.raises(AssertionError, match="run is dispatched twice"):
        follow(course, thread, again)
