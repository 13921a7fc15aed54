"""What a person says to the work: kept in order, taken into account once."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import MAX_TEXT_LENGTH
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def say(thread: CheckedThread, message_id: str = "m1", text: str = "use the small model") -> None:
    """Steer the thread."""
    thread.do(e.SteeringReceived(message_id=message_id, text=text))


def waiting(thread: CheckedThread) -> list[str]:
    """Return the ids of the messages that wait."""
    return [kept.message_id for kept in thread.session.steering]


def test_steering_waits_for_the_next_turn_in_the_order_of_its_arrival() -> None:
    thread = started()
    say(thread, "m1")
    say(thread, "m2", "  and be brief ")
    assert thread.reply.code == "recorded"
    assert waiting(thread) == ["m1", "m2"]
    assert thread.session.steering[1].text == "and be brief"
    assert thread.sent() == 1


def test_a_turn_that_finished_has_taken_what_its_prompt_carried() -> None:
    thread = started()
    say(thread)
    thread.dispatch()
    assert thread.session.steering[0].carried_by == "run-1"
    thread.end()
    assert waiting(thread) == []


def test_what_comes_during_a_turn_waits_for_the_next_one() -> None:
    thread = started()
    say(thread, "m1")
    thread.dispatch()
    say(thread, "m2")
    thread.end()
    assert waiting(thread) == ["m2"]
    thread.turn("second")
    assert waiting(thread) == []


@pytest.mark.parametrize("outcome", ["failed", "aborted", "timed_out"])
def test_what_a_turn_carried_that_did_not_finish_is_sent_again(outcome: str) -> None:
    thread = started()
    say(thread)
    thread.dispatch()
    thread.end(outcome=outcome, error="503")  # type: ignore[arg-type]
    assert waiting(thread) == ["m1"]
    assert thread.session.steering[0].carried_by is None


def test_what_an_interrupted_turn_carried_is_sent_again() -> None:
    thread = started()
    say(thread)
    thread.dispatch()
    thread.interrupt()
    assert waiting(thread) == ["m1"]
    thread.turn()
    assert waiting(thread) == []


def test_the_late_end_of_another_run_takes_nothing() -> None:
    """Messages are settled by the run that carried them."""
    thread = started()
    say(thread)
    thread.dispatch()
    thread.do(e.RunFinished(run_id="run-0"), e.RunInterrupted(run_id="run-0"))
    assert thread.session.steering[0].carried_by == "run-1"
    thread.end()
    assert waiting(thread) == []


def test_a_worker_that_can_be_steered_gets_the_message_into_its_turn() -> None:
    thread = started()
    thread.dispatch("steer")
    say(thread)
    assert thread.asked(f.DeliverSteering) == [
        f.DeliverSteering(run_id="run-1", message_id="m1", text="use the small model")
    ]
    thread.do(e.SteeringAcknowledged(message_id="m1", run_token="token-1"))
    assert waiting(thread) == ["m1"]
    thread.end()
    assert waiting(thread) == []


@pytest.mark.parametrize("how", ["failed", "timed_out", "interrupted"])
def test_what_a_turn_acknowledged_that_died_is_told_again(how: str) -> None:
    thread = started()
    thread.dispatch("steer")
    say(thread)
    thread.do(e.SteeringAcknowledged(message_id="m1", run_token="token-1"))
    if how == "interrupted":
        thread.interrupt()
    else:
        thread.end(outcome=how, error="503")  # type: ignore[arg-type]
    assert waiting(thread) == ["m1"]
    if thread.wake is not None:
        thread.advance(thread.wake / 1000)
        thread.do(e.TimerFired())
    thread.dispatch()
    assert thread.session.steering[0].carried_by == "run-2"


def test_a_host_without_runs_has_taken_what_it_acknowledged_between_them() -> None:
    thread = started()
    say(thread)
    thread.do(e.SteeringAcknowledged(message_id="m1"))
    assert waiting(thread) == []


def test_what_the_worker_did_not_acknowledge_goes_into_the_next_prompt() -> None:
    thread = started()
    thread.dispatch("steer")
    say(thread)
    thread.end()
    assert waiting(thread) == ["m1"]


def test_the_acknowledgement_of_an_old_run_is_refused() -> None:
    thread = started()
    say(thread)
    thread.dispatch()
    thread.do(e.SteeringAcknowledged(message_id="m1", run_token="token-0"))
    assert thread.reply.code == "stale_run"
    assert waiting(thread) == ["m1"]


def test_a_repeated_acknowledgement_is_harmless() -> None:
    thread = started()
    thread.dispatch("steer")
    say(thread)
    acknowledged = e.SteeringAcknowledged(message_id="m1", run_token="token-1")
    thread.do(acknowledged)
    before = thread.session
    thread.do(acknowledged)
    assert thread.session is before


def test_a_run_that_is_being_ended_gets_no_steering() -> None:
    thread = started()
    thread.dispatch("steer")
    thread.give("Another", replace=True)
    say(thread)
    assert not thread.asked(f.DeliverSteering)


def test_a_repeated_message_is_kept_once() -> None:
    thread = started()
    say(thread)
    say(thread)
    assert thread.reply.ok
    assert waiting(thread) == ["m1"]


def test_a_message_needs_words_and_work() -> None:
    thread = CheckedThread()
    say(thread)
    assert thread.reply.code == "no_goal"
    thread.give()
    say(thread, text="  ")
    assert thread.reply.code == "text_empty"
    say(thread, text="x" * (MAX_TEXT_LENGTH + 1))
    assert thread.reply.code == "text_too_long"
    thread.do(e.CompletionRequested())
    say(thread)
    assert thread.reply.code == "no_goal"
    assert waiting(thread) == []


def test_messages_do_not_pile_up() -> None:
    thread = started(Policy(steering_limit=2))
    say(thread, "m1")
    say(thread, "m2")
    say(thread, "m3")
    assert (thread.reply.ok, thread.reply.code) == (False, "steering_full")
    assert waiting(thread) == ["m1", "m2"]


def test_a_message_ends_the_wait_for_a_person() -> None:
    thread = started()
    thread.dispatch()
    thread.do(e.WaitDeclared(kind="person", note="which colour?", run_token="token-1"))
    thread.end()
    assert thread.decision == ("wait", "wait")
    say(thread, text="blue")
    assert not thread.session.waits
    assert thread.sent() == 2


def test_a_message_ends_every_wait() -> None:
    thread = started()
    thread.do(e.WaitDeclared(kind="process", pid=7))
    say(thread)
    assert not thread.session.waits


def test_a_message_to_a_stopped_goal_waits_with_it() -> None:
    thread = started()
    thread.do(e.PauseRequested())
    say(thread)
    assert thread.reply.ok
    assert thread.sent() == 1
    thread.do(e.ResumeRequested())
    assert waiting(thread) == ["m1"]
    assert thread.sent() == 2


def test_messages_belong_to_the_goal_that_they_steer() -> None:
    thread = started()
    say(thread)
    thread.give("Another", replace=True)
    assert waiting(thread) == []


def test_a_message_is_never_a_pending_message_of_the_host() -> None:
    thread = started()
    thread.dispatch()
    say(thread)
    assert not thread.session.host.pending_messages
    thread.end()
    assert thread.decision == ("continue", "otherwise")


def test_a_message_to_a_goal_that_rests_says_when_it_is_read() -> None:
    thread = started()
    thread.do(e.PauseRequested())
    thread.do(e.SteeringReceived(message_id="m", text="mind the tests"))
    assert thread.reply.ok
    assert thread.reply.message == "it is kept for when the goal, which is paused, goes on"
    assert [kept.text for kept in thread.session.steering] == ["mind the tests"]
