"""A person ends the running turn: the goal goes on, with what they say."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import Blocking
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

STOP = e.InterruptRequested(text="use pytest", message_id="m")


def interrupted(event: e.InterruptRequested = STOP) -> CheckedThread:
    thread = started()
    thread.dispatch("steer")
    thread.do(event)
    return thread


def test_the_turn_is_ended_and_the_next_one_starts_with_the_text() -> None:
    thread = interrupted()
    assert (thread.reply.ok, thread.reply.code) == (True, "interrupted")
    (ended,) = thread.asked(f.EndRun)
    assert (ended.run_id, ended.reason) == ("run-1", "a person interrupted it")
    assert not thread.asked(f.DeliverSteering), "the turn that is ended need not hear of it"
    thread.interrupt(ended.reason)
    assert (thread.status, thread.sent()) == ("active", 2)
    assert thread.session.notices == ("interrupted:a person interrupted it",)
    thread.dispatch()
    assert [kept.text for kept in thread.session.steering] == ["use pytest"]
    assert thread.session.steering[0].carried_by == "run-2"


def test_it_needs_no_words() -> None:
    thread = interrupted(e.InterruptRequested())
    assert thread.session.steering == ()
    assert len(thread.asked(f.EndRun)) == 1
    thread.do(e.InterruptRequested())
    assert not thread.asked(f.EndRun)
    assert thread.reply.ok


def test_words_without_a_name_are_kept_once() -> None:
    thread = interrupted(e.InterruptRequested(text="stop that"))
    assert [kept.message_id for kept in thread.session.steering] == ["run-1"]


def test_an_interrupted_turn_counts_for_no_rule() -> None:
    thread = started()
    for _ in range(5):
        thread.dispatch()
        thread.claim_blocked()
        thread.do(STOP)
        thread.interrupt()
        assert thread.status == "active"
    assert thread.session.blocking == Blocking(reason="no access")
    assert thread.session.progress.empty == 0


def test_what_the_interrupted_turn_claimed_is_void() -> None:
    thread = started(verifiers=(Verifier(kind="command", argv=("true",)),))
    thread.dispatch()
    assert thread.claim_complete().code == "verifying"
    thread.do(e.InterruptRequested())
    assert thread.session.claim is None
    assert thread.session.set_aside is not None
    assert thread.session.set_aside.by == "interrupt"
    thread.interrupt()
    assert not [effect for effect in thread.effects if isinstance(effect, f.RunVerifier)]


def test_without_a_turn_there_is_nothing_to_interrupt() -> None:
    for thread in (started(), CheckedThread()):
        before = thread.session
        thread.do(STOP)
        assert (thread.reply.ok, thread.reply.code) == (False, "no_run")
        assert thread.session == before


def test_words_that_cannot_be_kept_end_nothing() -> None:
    thread = interrupted(e.InterruptRequested(text=" ", message_id="m"))
    assert (thread.reply.ok, thread.reply.code) == (False, "text_empty")
    assert thread.session.run is not None
    assert thread.session.run.ending is None


def test_the_wind_down_of_a_limited_goal_can_be_ended_too() -> None:
    thread = started(limits=Limits(tokens=10))
    thread.dispatch()
    thread.use(20)
    thread.do(e.InterruptRequested())
    assert thread.reply.message == "the turn is ended; the goal stays budgetLimited"
    assert len(thread.asked(f.EndRun)) == 1


@pytest.mark.parametrize(("seen_s", "charged"), [(0, 0), (4, 4), (40, 40), (3_600, 3_600)], ids=str)
def test_time_counts_up_to_the_last_sign_of_an_engine_that_is_gone(
    seen_s: int, charged: int
) -> None:
    """And no further, whatever a person asks for before another one takes the thread over.

    The sign is in that engine's time: where it lies ahead the clock has been set back since.
    """
    thread = started()
    thread.dispatch()
    begun_ms = thread.now_ms
    thread.advance(60)
    thread.do(e.EngineLost(seen_ms=begun_ms + seen_s * 1000))
    assert thread.goal.active_seconds == charged
    thread.advance(600)
    thread.do(e.PauseRequested(), e.ResumeRequested(), e.EditRequested(objective="x"))
    thread.restart()
    assert thread.goal.active_seconds == charged


def test_a_lost_engine_means_nothing_to_a_thread_that_rests() -> None:
    thread = started()
    before = thread.session
    thread.do(e.EngineLost(seen_ms=0))
    assert thread.session is before
