"""What a person asks of a goal, and what is answered."""

from __future__ import annotations

import pytest

from goalfsm.goal.model import MAX_OBJECTIVE_LENGTH, Criterion, Evidence, Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import ClearEntry, SetEntry
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started


def test_an_objective_makes_an_active_goal_and_sends_the_first_continuation() -> None:
    thread = CheckedThread()
    thread.give("  Ship it  ", limits=Limits(tokens=500, seconds=60, cost=7, continuations=4))
    goal = thread.goal
    assert (goal.status, goal.objective, goal.revision) == ("active", "Ship it", 1)
    assert (goal.token_budget, goal.time_budget_seconds) == (500, 60)
    assert (goal.cost_budget, goal.max_continuations) == (7, 4)
    assert thread.reply.code == "created"
    assert thread.asked(f.SendWork) == [
        f.SendWork(kind="continuation", goal_id=goal.goal_id, deliver_as="follow_up")
    ]
    assert thread.history == [SetEntry(source="command", goal=goal)]


def test_a_goal_that_is_given_paused_has_no_turn_before_it_is_resumed() -> None:
    thread = CheckedThread()
    thread.do(e.ObjectiveGiven(objective="Ship it", paused=True))
    assert thread.reply.message == f"goal {thread.goal.goal_id} is paused"
    assert (thread.status, thread.goal.pause_reason) == ("paused", "user")
    assert not thread.asked(f.SendWork)
    thread.advance(60)
    thread.do(e.ResumeRequested())
    assert (thread.status, thread.goal.active_seconds) == ("active", 0)
    assert len(thread.asked(f.SendWork)) == 1


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"objective": "   "}, "objective_empty"),
        ({"objective": "x" * (MAX_OBJECTIVE_LENGTH + 1)}, "objective_too_long"),
        ({"limits": Limits(tokens=0)}, "budget_invalid"),
        ({"limits": Limits(seconds=-1)}, "budget_invalid"),
        ({"limits": Limits(cost=0)}, "budget_invalid"),
        ({"limits": Limits(continuations=-1)}, "budget_invalid"),
        ({"criteria": (Criterion(text=" "),)}, "text_empty"),
        ({"criteria": (Criterion(text="x"),) * 101}, "too_many_items"),
        ({"verifiers": (Verifier(kind="person"),) * 101}, "too_many_items"),
        ({"policy": {"blocked_after": 0}}, "policy_invalid"),
        ({"policy": {"retries": "nobody"}}, "policy_invalid"),
        ({"policy": {"no_such_setting": 1}}, "policy_invalid"),
    ],
)
def test_a_bad_objective_is_refused_before_anything_changes(
    given: dict[str, object], code: str
) -> None:
    thread = CheckedThread()
    before = thread.session
    thread.do(e.ObjectiveGiven(**({"objective": "Ship it"} | given)))  # type: ignore[arg-type]
    assert (thread.reply.ok, thread.reply.code) == (False, code)
    assert thread.reply.message
    assert thread.session is before
    assert not thread.last.effects


def test_no_continuation_limit_is_asked_for_with_zero() -> None:
    thread = started(Policy(max_continuations=1), limits=Limits(continuations=0))
    for number in range(5):
        thread.turn(f"answer {number}")
    assert thread.status == "active"


def test_an_unfinished_goal_is_replaced_only_when_that_is_confirmed() -> None:
    thread = started()
    thread.give("Something else")
    assert thread.reply.code == "goal_exists"
    assert thread.goal.goal_id == "goal-1"
    thread.give("Something else", replace=True)
    assert thread.reply.code == "created"
    assert thread.goal.objective == "Something else"
    assert thread.sent() == 2


def test_a_complete_goal_makes_room_for_the_next_one() -> None:
    thread = started()
    thread.do(e.CompletionRequested())
    thread.give("The next")
    assert thread.reply.ok
    assert thread.session.completion is None


def test_a_pause_that_says_why_is_shown_with_it() -> None:
    thread = started()
    thread.do(e.PauseRequested(note="it comes later"))
    assert (thread.goal.note, thread.goal.pause_reason) == ("it comes later", "user")
    thread.do(e.ResumeRequested())
    assert thread.goal.note is None


def test_pause_mid_turn_starts_no_turn() -> None:
    """The running turn ends; none follows."""
    thread = started()
    thread.dispatch()
    thread.do(e.PauseRequested())
    assert thread.goal.pause_reason == "user"
    assert not thread.asked(f.EndRun)
    thread.end()
    assert thread.sent() == 1
    assert thread.decision == ("stop", "status")


def test_pause_before_the_dispatch_takes_the_queued_continuation_back() -> None:
    """A dispatch that was on its way is refused, and no worker starts."""
    thread = started()
    thread.do(e.PauseRequested())
    thread.dispatch()
    assert (thread.reply.ok, thread.reply.code) == (False, "nothing_queued")
    assert not thread.asked(f.StartRun)


def test_pause_and_resume_send_one_continuation_more() -> None:
    thread = started()
    thread.do(e.PauseRequested())
    thread.do(e.ResumeRequested())
    assert thread.reply.code == "marked"
    assert thread.status == "active"
    assert thread.goal.pause_reason is None
    assert thread.session.notices == ("resumed",)
    assert thread.sent() == 2


def test_what_is_not_running_cannot_be_paused() -> None:
    thread = CheckedThread()
    thread.do(e.PauseRequested())
    assert thread.reply.code == "no_goal"
    thread.give()
    thread.do(e.BlockRequested(reason="no key"), e.PauseRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "only_active_can_pause")
    assert "blocked" in thread.reply.message


def test_a_second_pause_is_no_error_and_changes_nothing() -> None:
    thread = started()
    thread.do(e.PauseRequested())
    goal = thread.goal
    thread.do(e.PauseRequested())
    assert (thread.reply.ok, thread.reply.code) == (True, "marked")
    assert thread.goal == goal


def test_a_persons_pause_outlasts_one_that_would_have_ended_by_itself() -> None:
    """Somebody who pauses a goal that waits for its quota wants it to stay paused."""
    thread = started()
    thread.dispatch()
    thread.fail("You exceeded your current quota", retry_after=600.0)
    assert thread.goal.pause_reason == "usage_limit"
    assert thread.wake is not None
    revision = thread.goal.revision
    thread.do(e.PauseRequested())
    assert thread.reply.ok
    assert (thread.goal.pause_reason, thread.goal.resume_at_ms) == ("user", None)
    assert thread.wake is None
    assert thread.goal.note is None
    assert thread.goal.revision == revision + 1
    assert isinstance(thread.history[-1], SetEntry)
    assert thread.history[-1].goal == thread.goal


def test_a_persons_pause_outlasts_the_pause_of_a_shutdown() -> None:
    thread = started()
    thread.dispatch()
    thread.fail()
    thread.do(e.ShutdownStarted())
    assert thread.goal.pause_reason == "shutdown"
    thread.do(e.PauseRequested())
    thread.restart(after_crash=False)
    assert (thread.status, thread.goal.pause_reason) == ("paused", "user")


def test_resume_without_budget_limits_the_goal() -> None:
    thread = started(limits=Limits(tokens=100))
    thread.dispatch()
    thread.do(e.PauseRequested())
    thread.use(100)
    thread.end()
    thread.do(e.ResumeRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "budget_limited")
    assert (thread.status, thread.goal.limited_by) == ("budgetLimited", "tokens")
    assert thread.sent() == 1


def test_an_active_goal_cannot_be_resumed() -> None:
    thread = started()
    thread.do(e.ResumeRequested())
    assert thread.reply.code == "only_stopped_can_resume"


def test_a_complete_goal_cannot_be_resumed_paused_blocked_or_edited() -> None:
    thread = started()
    thread.do(e.CompletionRequested())
    for event in (
        e.ResumeRequested(),
        e.PauseRequested(),
        e.BlockRequested(),
        e.EditRequested(objective="More"),
        e.BudgetChanged(limits=Limits(tokens=5)),
    ):
        thread.do(event)
        assert thread.reply.code == "complete_is_terminal"
    assert thread.status == "complete"


def test_clear_gives_the_goal_up_and_ends_its_run() -> None:
    thread = started()
    run_id = thread.dispatch()
    thread.do(e.ClearRequested())
    assert thread.session.goal is None
    assert thread.reply.code == "cleared"
    assert thread.asked(f.EndRun) == [
        f.EndRun(run_id=run_id, reason="the goal was replaced or cleared")
    ]
    assert thread.history[-1] == ClearEntry(source="command", cleared="goal-1")
    assert thread.decision == ("stop", "status")
    thread.interrupt()
    assert thread.session.run is None
    assert not thread.session.notices


def test_there_is_nothing_to_clear_twice() -> None:
    thread = started()
    thread.do(e.ClearRequested(), e.ClearRequested())
    assert (thread.reply.ok, thread.reply.code) == (False, "no_goal")


def test_edit_keeps_id_and_usage_and_tells_the_next_turn() -> None:
    thread = started()
    thread.dispatch()
    thread.use(70)
    thread.advance(5)
    before = thread.goal
    thread.do(e.EditRequested(objective=" Make it fast "))
    goal = thread.goal
    assert (goal.goal_id, goal.objective) == (before.goal_id, "Make it fast")
    assert (goal.tokens_used, goal.active_seconds) == (70, 5)
    assert goal.revision == before.revision + 1
    assert thread.session.notices == ("objective_updated",)
    assert thread.reply.code == "edited"


def test_edit_voids_what_was_counted_about_the_old_words() -> None:
    thread = started(verifiers=(Verifier(kind="command", argv=("true",)),))
    thread.dispatch()
    thread.claim_blocked()
    thread.claim_complete()
    assert thread.session.claim is not None
    thread.do(e.EditRequested(objective="Other"))
    assert thread.session.claim is None
    assert thread.session.blocking.count == 0
    thread.do(e.VerificationFinished(claim_id="claim-2", index=0, outcome="passed"))
    assert thread.reply.code == "stale_claim"
    assert thread.status == "active"


def test_an_edit_while_a_prompt_with_an_edit_is_worked_off_is_told_too() -> None:
    """Two edits, two turns that hear of one."""
    thread = started()
    thread.do(e.EditRequested(objective="Second wording"))
    thread.dispatch()
    assert thread.session.run is not None
    assert thread.session.run.notices == ("objective_updated",)
    thread.do(e.EditRequested(objective="Third wording"))
    thread.end()
    assert thread.session.notices == ("objective_updated",)
    thread.turn()
    assert not thread.session.notices


def test_an_empty_edit_is_refused() -> None:
    thread = started()
    thread.do(e.EditRequested(objective=" "))
    assert thread.reply.code == "objective_empty"
    thread.do(e.ClearRequested(), e.EditRequested(objective="x"))
    assert thread.reply.code == "no_goal"


def test_a_person_may_declare_the_goal_complete() -> None:
    thread = started()
    evidence = (Evidence(text="I saw it"),)
    thread.do(e.CompletionRequested(evidence=evidence))
    done = thread.session.completion
    assert done is not None
    assert (done.accepted_by, done.evidence, done.goal_id) == ("person", evidence, "goal-1")
    thread.do(e.CompletionRequested())
    assert thread.reply.code == "already_complete"
    assert thread.session.completion == done


def test_a_person_may_declare_the_goal_blocked() -> None:
    thread = started()
    thread.do(e.BlockRequested(reason="waits for legal"))
    assert (thread.status, thread.goal.note) == ("blocked", "waits for legal")
    revision = thread.goal.revision
    thread.do(e.BlockRequested())
    assert thread.reply.code == "already_blocked"
    assert thread.goal.revision == revision
    thread.do(e.ResumeRequested())
    assert (thread.status, thread.goal.note) == ("active", None)


@pytest.mark.parametrize("event", [e.CompletionRequested(), e.BlockRequested()])
def test_without_a_goal_nothing_can_be_declared(event: e.Event) -> None:
    thread = CheckedThread()
    thread.do(event)
    assert thread.reply.code == "no_goal"
