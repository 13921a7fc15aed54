"""The person's word binds: no claim counts from a run that has not read it."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from goalfsm.views.status import project
from tests.session.hosts import started

COMMAND = Verifier(kind="command", argv=("make", "test"))
PERSON = Verifier(kind="person")
EDIT = e.EditRequested(objective="Delete nothing")


def say(text: str = "do not drop the column", message_id: str = "m1") -> e.SteeringReceived:
    """Return a person's message."""
    return e.SteeringReceived(message_id=message_id, text=text)


def running(*verifiers: Verifier, can_steer: bool = False, **given: object) -> CheckedThread:
    """Return a thread in its first turn."""
    thread = started(verifiers=verifiers, **given)
    thread.dispatch(*(("steer",) if can_steer else ()))
    return thread


def claim(thread: CheckedThread, read: int | None = None) -> str:
    """Claim completion, giving ``read`` back; return the code of the answer."""
    return thread.call("update_goal", status="complete", evidence=["it runs"], read=read).code


def in_a_host(**given: object) -> CheckedThread:
    """Return a thread in the first turn of a host that has no runs."""
    thread = started(**given)
    work = e.GoalWork("continuation", thread.goal.goal_id)
    thread.do(
        e.HostChanged(idle=False),
        e.AgentStarting(work=work),
        e.TurnStarted(turn_index=1),
        e.MessageStarted(message=e.Message(role="custom", work=work)),
        e.ContextRequested(),
    )
    return thread


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


# An open claim that somebody speaks into.


def open_claim(*verifiers: Verifier) -> CheckedThread:
    """Return a thread whose first turn has claimed and ended."""
    thread = running(*(verifiers or (COMMAND,)))
    claim(thread)
    thread.end()
    assert thread.session.claim is not None
    return thread


@pytest.mark.parametrize("checks", [(COMMAND,), (PERSON,), (COMMAND, PERSON)])
def test_a_message_sets_the_open_claim_aside_and_says_so(checks: tuple[Verifier, ...]) -> None:
    thread = open_claim(*checks)
    thread.do(say())
    assert thread.reply.message == (
        "the open completion claim is set aside; the next turn takes it into account"
    )
    assert (thread.session.claim, thread.sent()) == (None, 2)
    assert thread.session.notices == ("set_aside:a person's message came",)


def test_accept_says_which_claim_was_set_aside_and_by_what() -> None:
    thread = open_claim(PERSON)
    thread.do(say(), e.ClaimAccepted())
    assert (thread.reply.ok, thread.reply.code) == (False, "no_claim")
    assert thread.reply.message == (
        "there is no claim to accept: claim claim-2 was set aside when a person's message came: "
        "do not drop the column"
    )
    assert "next claim" in thread.reply.hint
    thread.do(e.ClaimRejected())
    assert "claim-2" in thread.reply.message
    thread.dispatch()
    claim(thread)
    thread.end()
    thread.do(e.ClaimAccepted())
    assert thread.status == "complete"


@pytest.mark.parametrize(
    ("edit", "notice"),
    [
        (EDIT, "set_aside:a person changed the objective or its criteria"),
        (
            e.EditRequested(verifiers=(COMMAND, COMMAND)),
            "set_aside:a person changed what completion is checked by",
        ),
        (
            e.EditRequested(acceptance=True),
            "set_aside:a person changed what completion is checked by",
        ),
    ],
)
def test_an_edit_of_the_goal_or_its_checks_sets_the_claim_aside(
    edit: e.EditRequested, notice: str
) -> None:
    thread = open_claim()
    thread.do(edit)
    assert "the open completion claim is set aside" in thread.reply.message
    assert (thread.session.claim, thread.sent()) == (None, 2)
    assert notice in thread.session.notices


def test_an_edit_of_budgets_leaves_the_claim_alone() -> None:
    thread = open_claim()
    before = thread.session.claim
    thread.do(e.BudgetChanged(limits=Limits(tokens=1_000)))
    assert thread.session.claim == before


def test_what_a_person_writes_to_a_host_sets_the_claim_aside() -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    thread.do(e.InputReceived(source="interactive"))
    assert thread.session.claim is None
    allowing = started(Policy(unread_claims="allow"), verifiers=(COMMAND,))
    claim(allowing)
    allowing.do(e.InputReceived(source="interactive"), say())
    assert allowing.session.claim is not None


def test_the_late_verifier_of_a_claim_that_was_set_aside_completes_nothing() -> None:
    thread = open_claim()
    before = thread.session.claim
    assert before is not None
    thread.do(say())
    thread.do(e.VerificationFinished(claim_id=before.claim_id, index=0, outcome="passed"))
    assert (thread.reply.code, thread.status) == ("stale_claim", "active")


# A person's block.


def test_a_persons_block_sets_the_claim_aside() -> None:
    thread = open_claim(PERSON)
    thread.do(e.BlockRequested(reason="wrong credentials"))
    assert thread.reply.message == "the goal is blocked; the open completion claim is set aside"
    thread.do(e.ClaimAccepted())
    assert "a person declared the goal blocked: wrong credentials" in thread.reply.message
    assert thread.status == "blocked"


def test_only_a_person_leaves_a_persons_block() -> None:
    thread = running()
    thread.do(e.BlockRequested(reason="wrong credentials"))
    assert claim(thread) == "blocked_by_person"
    thread.do(e.ResumeRequested(origin="system"))
    assert (thread.reply.code, thread.status) == ("blocked_by_person", "blocked")
    thread.do(e.BlockRequested())
    assert thread.reply.code == "already_blocked"
    thread.do(e.ResumeRequested())
    assert (thread.status, thread.goal.blocked_by) == ("active", None)
    assert claim(thread) == "marked"


def test_a_goal_that_the_model_blocked_may_still_be_completed_by_its_run() -> None:
    thread = started(Policy(blocked_after=1))
    thread.dispatch()
    thread.claim_blocked()
    assert (thread.status, thread.goal.blocked_by) == ("blocked", "model")
    assert claim(thread) == "marked"


# The claim and its revision.


def test_a_claim_counts_in_the_revision() -> None:
    thread = running(PERSON)
    before = thread.goal.revision
    claim(thread)
    first = thread.goal.revision
    thread.end()
    assert first > before
    thread.do(e.ClaimRejected(feedback="thin"))
    thread.dispatch()
    claim(thread)
    thread.do(e.ClaimAccepted(expected_revision=first))
    assert (thread.reply.code, thread.status) == ("revision_changed", "active")


@pytest.mark.parametrize("answer", [e.ClaimAccepted, e.ClaimRejected])
def test_an_answer_is_about_the_claim_that_was_seen(answer: type) -> None:
    thread = open_claim(PERSON)
    first = thread.session.claim
    assert first is not None
    thread.do(e.ClaimRejected(feedback="thin"))
    thread.dispatch()
    claim(thread)
    thread.do(answer(expected_claim=first.claim_id))
    assert (thread.reply.ok, thread.reply.code) == (False, "claim_changed")
    second = thread.session.claim
    assert second is not None
    thread.do(answer(expected_claim=second.claim_id))
    assert thread.reply.ok


# When verifiers are asked for.


@pytest.mark.parametrize(
    "over",
    [
        e.AgentEnded(),
        e.HostChanged(idle=True),
        e.AgentStarting(),
        e.EngineStarted(after_crash=True),
    ],
)
def test_a_hosts_verifiers_are_asked_for_when_its_run_is_over(over: e.Event) -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    assert not thread.asked(f.RunVerifier)
    thread.do(over)
    assert len(thread.asked(f.RunVerifier)) == 1
    thread.do(e.HostChanged(idle=True), e.EngineStarted())
    assert sum(isinstance(one, f.RunVerifier) for one in thread.effects) == 1


def test_with_no_run_open_the_verifiers_are_asked_for_in_the_call() -> None:
    thread = started(verifiers=(COMMAND,))
    claim(thread)
    assert len(thread.asked(f.RunVerifier)) == 1


@pytest.mark.parametrize("outcome", ["failed", "timed_out", "aborted"])
def test_the_claim_of_a_run_that_failed_is_void(outcome: Any) -> None:
    thread = running(COMMAND)
    claim(thread)
    thread.end(outcome=outcome)
    assert thread.session.claim is None
    assert not any(isinstance(one, f.RunVerifier) for one in thread.effects)
    assert "set_aside:the turn that had made it failed" in thread.session.notices


def test_the_claim_of_a_hosts_run_that_failed_is_void() -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    thread.do(
        e.AgentEnded(messages=(e.Message(role="assistant", stop_reason="error", error="503"),))
    )
    assert thread.session.claim is None


def test_a_claim_that_is_being_verified_outlives_another_runs_failure() -> None:
    thread = in_a_host(verifiers=(COMMAND,))
    claim(thread)
    thread.do(e.AgentEnded(), e.AgentStarting())
    thread.do(
        e.AgentEnded(messages=(e.Message(role="assistant", stop_reason="error", error="503"),))
    )
    assert thread.session.claim is not None


def test_the_claim_of_a_run_that_was_lost_is_verified() -> None:
    thread = running(COMMAND)
    claim(thread)
    thread.interrupt()
    assert any(isinstance(one, f.RunVerifier) for one in thread.effects)


def test_a_claim_while_the_work_waits_is_refused() -> None:
    thread = running()
    thread.do(e.WaitDeclared(kind="event", run_token="token-1"))
    assert claim(thread) == "waiting"
    assert thread.status == "active"


def test_what_speaks_for_the_whole_goal_speaks_for_its_one_criterion() -> None:
    thread = running(criteria=(Criterion(text="fast"),))
    assert claim(thread) == "marked"


# Editing in place.


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
        "it is kept for when goalfsm budget THREAD gives more than 1 turns"
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
