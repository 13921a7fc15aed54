"""The person's word binds: no claim counts from a run that has not read it."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import Criterion
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started
from tests.session.speaking import COMMAND, EDIT, claim, in_a_host, running, say

# A claim that does not know the last word.


@pytest.mark.parametrize(
    ("spoken", "text"),
    [
        (say(), "do not drop the column"),
        (EDIT, "The objective was changed. It is now:\nDelete nothing"),
        (
            e.EditRequested(criteria=(Criterion(text="fast"), Criterion(text="small"))),
            "The objective was changed. It is now:\nMake it work\nCriteria:\n1. fast\n2. small",
        ),
    ],
)
@pytest.mark.parametrize("make", [running, in_a_host])
def test_a_claim_that_has_not_read_a_word_is_refused_with_it(
    make: object, spoken: e.Event, text: str
) -> None:
    thread = make()  # type: ignore[operator]
    thread.do(spoken)
    assert claim(thread) == "unread"
    assert (thread.reply.unread, thread.reply.word) == ((text,), 1)
    assert "read=1" in thread.reply.hint
    assert thread.status == "active"


def test_a_second_claim_that_gives_the_word_back_is_taken() -> None:
    thread = running()
    thread.do(say())
    assert claim(thread, read=1) == "unread"  # nobody has shown it yet
    assert claim(thread) == "unread"
    assert claim(thread, read=7) == "unread"
    assert claim(thread, read=1) == "marked"
    done = thread.session.completion
    assert done is not None
    assert (done.unread, thread.session.steering) == ((), ())


def test_a_word_that_comes_between_the_claims_is_shown_as_well() -> None:
    thread = running()
    thread.do(say())
    claim(thread)
    thread.do(say("and be brief", "m2"))
    assert claim(thread, read=1) == "unread"
    assert thread.reply.unread == ("do not drop the column", "and be brief")
    assert claim(thread, read=2) == "marked"


def test_what_was_shown_to_one_run_is_not_shown_to_the_next() -> None:
    thread = running()
    thread.do(say())
    claim(thread)
    thread.end()
    thread.dispatch()
    thread.do(say("more", "m2"))
    assert claim(thread, read=1) == "unread"
    assert thread.reply.unread == ("more",)


def test_a_worker_that_cannot_read_answers_gets_the_word_with_the_next_prompt() -> None:
    thread = running()
    thread.do(say())
    claim(thread)
    thread.end()
    assert [kept.text for kept in thread.session.steering] == ["do not drop the column"]
    thread.dispatch()
    assert claim(thread) == "marked"


def test_a_claim_that_gave_the_word_back_and_failed_leaves_the_texts_for_the_next_prompt() -> None:
    thread = running(COMMAND)
    thread.do(say())
    claim(thread)
    assert claim(thread, read=1) == "verifying"
    thread.end()
    assert thread.session.claim is not None
    thread.do(
        e.VerificationFinished(
            claim_id=thread.session.claim.claim_id, index=0, outcome="failed", detail="no"
        )
    )
    assert [kept.text for kept in thread.session.steering] == ["do not drop the column"]


def test_what_the_run_has_acknowledged_it_knows() -> None:
    thread = running(can_steer=True)
    thread.do(say(), say("and be brief", "m2"))
    thread.do(e.SteeringAcknowledged(message_id="m2", run_token="token-1"))
    assert claim(thread) == "unread"
    assert thread.reply.unread == ("do not drop the column",)
    thread.do(e.SteeringAcknowledged(message_id="m1", run_token="token-1"))
    assert claim(thread) == "marked"


def test_an_edit_is_delivered_to_a_live_worker_that_can_be_steered() -> None:
    thread = running(can_steer=True)
    thread.do(EDIT)
    assert thread.asked(f.DeliverSteering) == [
        f.DeliverSteering(
            run_id="run-1",
            message_id="edit-1",
            text="The objective was changed. It is now:\nDelete nothing",
        )
    ]
    assert claim(thread) == "unread"
    thread.do(e.SteeringAcknowledged(message_id="edit-1", run_token="token-1"))
    assert claim(thread) == "marked"


def test_of_several_edits_the_last_one_is_shown() -> None:
    thread = running(can_steer=True)
    thread.do(EDIT, e.EditRequested(objective="Back it up"))
    assert [kept.message_id for kept in thread.session.steering] == ["edit-2"]


def test_an_edit_between_turns_is_in_the_next_prompt_and_needs_no_message() -> None:
    thread = started()
    thread.do(EDIT)
    assert thread.session.steering == ()
    thread.dispatch()
    assert claim(thread) == "marked"


def test_an_edit_that_the_run_did_not_get_is_no_message_of_the_next() -> None:
    thread = running()
    thread.do(EDIT)
    thread.end()
    assert [kept.kind for kept in thread.session.steering] == ["edit"]
    assert thread.session.notices == ("objective_updated",)
    thread.dispatch()
    assert thread.session.steering == ()


def test_a_blocked_claim_has_to_know_the_word_too() -> None:
    thread = running()
    thread.do(say("you have access now"))
    assert thread.claim_blocked().code == "unread"
    assert thread.session.blocking.count == 0
    assert thread.call("update_goal", status="blocked", reason="none", read=1).code == "recorded"


def test_an_unread_claim_is_taken_where_the_policy_says_so() -> None:
    thread = started(Policy(unread_claims="allow"))
    thread.dispatch()
    thread.do(say())
    assert claim(thread) == "marked"
    done = thread.session.completion
    assert done is not None
    assert done.unread == ("do not drop the column",)


# What a person writes to a host.


def test_what_a_person_writes_to_a_host_is_a_word_until_it_enters_the_run() -> None:
    thread = in_a_host()
    thread.do(e.InputReceived(source="interactive"))
    assert claim(thread) == "unread"
    assert (thread.reply.unread, thread.reply.word) == ((), 1)
    thread.do(e.MessageStarted(message=e.Message(role="user")))
    assert claim(thread) == "marked"


def test_a_persons_message_is_not_read_for_another_one() -> None:
    thread = in_a_host()
    thread.do(EDIT, e.InputReceived(source="rpc"))
    thread.do(e.MessageStarted(message=e.Message(role="user")))
    assert claim(thread) == "unread"
    assert len(thread.reply.unread) == 1
    assert "a person has said something" in thread.reply.message


def test_two_words_are_counted() -> None:
    thread = in_a_host()
    thread.do(say(), e.InputReceived(source="rpc"))
    assert claim(thread) == "unread"
    assert "2 things" in thread.reply.message


def test_a_host_without_runs_has_taken_what_its_prompt_carried_when_its_run_ended_well() -> None:
    thread = started()
    thread.do(say())
    work = e.GoalWork("continuation", thread.goal.goal_id)
    entered = e.MessageStarted(message=e.Message(role="custom", work=work))
    thread.do(e.AgentStarting(work=work), entered)
    error = e.Message(role="assistant", stop_reason="error", error="503")
    thread.do(e.AgentEnded(messages=(error,)))
    assert [kept.carried_by for kept in thread.session.steering] == [None]
    thread.do(e.AgentStarting(work=work), entered)
    thread.do(e.SteeringAcknowledged(message_id="m1"))
    thread.do(e.AgentEnded(messages=(e.Message(role="assistant", stop_reason="stop"),)))
    assert thread.session.steering == ()


def test_a_new_goal_owes_nothing_to_what_was_said_before() -> None:
    thread = CheckedThread()
    thread.do(e.InputReceived(source="interactive"))
    thread.give()
    assert (thread.goal.word, thread.session.host.inputs) == (0, 0)
    thread.do(say())
    thread.give("Another", replace=True)
    assert thread.goal.word == 0
