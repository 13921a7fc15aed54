"""Edits in place, and what the sender of a message is told of it."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.status import project
from tests.session.hosts import started
from tests.session.speaking import COMMAND, EDIT, PERSON, claim, open_claim, running, say


def test_criteria_verifiers_and_acceptance_are_edited_in_place() -> None:
    thread = started(verifiers=(COMMAND,))
    goal_id = thread.goal.goal_id
    callable_ = Verifier(kind="callable", name="check")
    thread.do(e.EditRequested(acceptance=True))
    assert thread.goal.verifiers == (COMMAND, PERSON)
    thread.do(e.EditRequested(verifiers=(callable_,)))
    assert thread.goal.verifiers == (callable_, PERSON)
    thread.do(e.EditRequested(acceptance=False, criteria=(Criterion(text="fast"),)))
    assert thread.goal.verifiers == (callable_,)
    assert thread.reply.message == "the criteria and checks of completion are updated"
    assert (thread.goal.goal_id, thread.goal.word) == (goal_id, 1)


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (e.EditRequested(), "nothing_to_edit"),
        (e.EditRequested(objective=" "), "objective_empty"),
        (e.EditRequested(criteria=(Criterion(text=" "),)), "text_empty"),
        (e.EditRequested(verifiers=(COMMAND,) * 101), "too_many_items"),
    ],
)
def test_an_edit_that_makes_no_sense_changes_nothing(edit: e.EditRequested, code: str) -> None:
    thread = started()
    before = thread.session
    thread.do(edit)
    assert (thread.reply.code, thread.session) == (code, before)
    empty = CheckedThread()
    empty.do(e.EditRequested(acceptance=True))
    assert empty.reply.code == "no_goal"


# What a message's sender is told, and taking it back.


def test_the_reply_says_what_will_really_happen_to_a_message() -> None:
    thread = running()
    thread.do(say())
    assert thread.reply.message == (
        "the running turn cannot be told; the next turn takes it into account"
    )
    steered = running(can_steer=True)
    steered.do(say())
    assert steered.reply.message == (
        "the running turn is told; if it does not take it, the next turn takes it into account"
    )
    last = running(limits=Limits(continuations=1))
    last.do(say())
    assert last.reply.message == (
        "the running turn cannot be told; "
        "it is kept for when goalfsm budget gives more turns than 1"
    )
    limited = running(limits=Limits(tokens=10))
    limited.use(10)
    limited.end()
    limited.do(say())
    assert limited.reply.message == "the turn that winds the work down takes it into account"
    stopping = started()
    stopping.do(e.ShutdownStarted(), say())
    assert stopping.reply.message == (
        "the first turn after the engine's next start takes it into account"
    )


def test_a_message_is_taken_back_before_a_turn_has_got_it() -> None:
    thread = started()
    thread.do(say(), e.SteeringDropped(message_id="m1"))
    assert (thread.reply.code, thread.session.steering) == ("dropped", ())
    thread.do(e.SteeringDropped(message_id="m1"))
    assert thread.reply.code == "message_unknown"


def test_a_message_that_a_turn_has_got_is_not_taken_back() -> None:
    thread = started()
    thread.do(say())
    thread.dispatch()
    thread.do(e.SteeringDropped(message_id="m1"))
    assert (thread.reply.ok, thread.reply.code) == (False, "message_taken")
    thread.do(EDIT, e.SteeringDropped(message_id="edit-2"))
    assert thread.reply.code == "message_unknown"


def test_what_ends_unread_is_told() -> None:
    thread = running()
    thread.do(say(), say("and be brief", "m2"), e.CompletionRequested())
    done = thread.session.completion
    assert done is not None
    assert done.unread == ("do not drop the column", "and be brief")
    assert thread.reply.message == "the goal is complete; 2 messages were in no turn: and be brief"


def test_what_only_a_refused_claim_has_shown_is_told() -> None:
    """The turn ended without a second one, so nobody knows what came of the message."""
    thread = running()
    thread.do(say())
    assert claim(thread) == "unread"
    thread.end()
    thread.do(e.CompletionRequested())
    assert "a message was in no turn: do not drop the column" in thread.reply.message


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (e.ClearRequested(), "the goal is cleared; a message was in no turn: do not drop"),
        (e.ObjectiveGiven(objective="B", replace=True), "is active; a message was in no turn: "),
    ],
)
def test_who_gives_a_goal_up_is_told_what_nobody_has_read_of_it(ends: e.Event, said: str) -> None:
    thread = running()
    thread.do(say(), ends)
    assert said in thread.reply.message
    assert thread.session.steering == ()
    thread = running(can_steer=True)
    thread.do(say(), e.SteeringAcknowledged(message_id="m1"), ends)
    assert "in no turn" not in thread.reply.message


def test_who_accepts_is_told_what_nobody_has_read() -> None:
    """Where the policy lets claims through that know less, the person knows at least."""
    thread = started(Policy(unread_claims="allow"), verifiers=(PERSON,))
    thread.dispatch()
    thread.do(say())
    assert claim(thread) == "verifying"
    thread.end()
    thread.do(say("and be brief", "m2"), e.ClaimAccepted())
    assert thread.reply.message == (
        "the goal is complete; 2 messages were in no turn: and be brief"
    )
    assert project(thread.session, thread.now_ms).left_unread == (
        "do not drop the column",
        "and be brief",
    )


def test_the_record_says_who_accepted_where_the_receiver_found_that_out() -> None:
    by = e.By(uid=1000, pid=7, program="goalfsm", terminal="/dev/pts/1")
    accepted = open_claim(PERSON)
    accepted.do(e.ClaimAccepted(by=by))
    declared = running()
    declared.do(e.CompletionRequested(by=by))
    for thread in (accepted, declared):
        assert thread.session.completion is not None
        assert thread.session.completion.by == by
