"""Sessions and goals that hold or become what they must not."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.accounting import Clock
from goalfsm.goal.model import Limits, Verifier
from goalfsm.session import Policy
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import ClearEntry, SetEntry
from goalfsm.session.state import Blocking, Claim, Continuation, Steering, VerifierResult
from goalfsm.testing.invariants.invariant import Transition
from goalfsm.testing.loop import START_MS
from tests.session.breaking import WORK, Cases, complete, goal, limited, running, step
from tests.session.hosts import started

CASES = Cases()


@CASES.breaks("scheduled_for_the_active_goal")
def _queued_for_a_stranger() -> Transition:
    return step(started(), continuation=Continuation(queued="goal-7"))


@CASES.breaks("scheduled_for_the_active_goal")
def _queued_for_a_complete_goal() -> Transition:
    return step(complete(), continuation=Continuation(queued="goal-1"))


@CASES.breaks("scheduled_for_the_active_goal")
def _queued_and_wanted() -> Transition:
    return step(started(), continuation=Continuation(queued="goal-1", wanted="goal-1"))


@CASES.breaks("clock_runs_for_the_active_goal")
def _clock_of_a_stranger() -> Transition:
    return step(started(), clock=Clock("goal-7", START_MS))


@CASES.breaks("clock_runs_for_the_active_goal")
def _clock_of_a_complete_goal() -> Transition:
    return step(complete(), clock=Clock("goal-1", START_MS))


@CASES.breaks("clock_runs_for_the_active_goal")
def _clock_with_a_whole_second_left() -> Transition:
    return step(started(), clock=Clock("goal-1", START_MS, 1_000))


@CASES.breaks("claims_belong_to_the_goal")
def _claim_of_a_complete_goal() -> Transition:
    return step(complete(), claim=Claim(claim_id="c", goal_id="goal-1", at_ms=1))


@CASES.breaks("claims_belong_to_the_goal")
def _claim_with_two_answers_of_one() -> Transition:
    thread = started(verifiers=(Verifier(kind="command"),))
    results = (VerifierResult(index=0, outcome="passed"),) * 2
    return step(thread, claim=Claim(claim_id="c", goal_id="goal-1", results=results, at_ms=1))


@CASES.breaks("claims_belong_to_the_goal")
def _claim_that_a_person_answered_as_a_program() -> Transition:
    thread = started(verifiers=(Verifier(kind="person"),))
    results = (VerifierResult(index=0, outcome="passed"),)
    return step(thread, claim=Claim(claim_id="c", goal_id="goal-1", results=results, at_ms=1))


@CASES.breaks("stops_explain_themselves")
def _pause_without_a_reason() -> Transition:
    return goal(started(), status="paused")


@CASES.breaks("stops_explain_themselves")
def _active_with_a_reason() -> Transition:
    thread = started()
    thread.do(e.PauseRequested())
    return goal(thread, status="active")


@CASES.breaks("stops_explain_themselves")
def _limit_without_its_budget() -> Transition:
    return goal(started(), status="budgetLimited")


@CASES.breaks("bounded")
def _one_message_twice() -> Transition:
    message = Steering(message_id="m", text="t", at_ms=1)
    return step(started(), steering=(message, message))


@CASES.breaks("bounded")
def _too_many_messages() -> Transition:
    thread = started(Policy(steering_limit=1))
    return step(
        thread, steering=tuple(Steering(message_id=m, text="t", at_ms=1) for m in ("m1", "m2"))
    )


@CASES.breaks("bounded")
def _one_notice_twice() -> Transition:
    return step(started(), notices=("resumed", "resumed"))


@CASES.breaks("revision_grows")
def _status_without_a_revision() -> Transition:
    return goal(started(), status="blocked")


@CASES.breaks("revision_grows")
def _revision_that_falls() -> Transition:
    return goal(started(), revision=0)


@CASES.breaks("usage_never_falls")
def _tokens_that_fall() -> Transition:
    return goal(limited(), tokens_used=4)


@CASES.breaks("usage_never_falls")
def _dispatches_that_fall() -> Transition:
    return goal(limited(), continuations=0)


@CASES.breaks("usage_never_falls")
def _a_goal_created_anew() -> Transition:
    return goal(started(), created_at=5)


@CASES.breaks("complete_is_final")
def _complete_and_active_again() -> Transition:
    return goal(complete(), status="active")


@CASES.breaks("complete_is_final")
def _complete_and_worked_on() -> Transition:
    return step(complete(), effects=(WORK,))


@CASES.breaks("crossing_limits")
def _over_budget_and_active() -> Transition:
    return goal(started(limits=Limits(tokens=5)), tokens_used=5)


@CASES.breaks("crossing_limits")
def _active_on_a_budget_that_is_spent() -> Transition:
    thread = running()
    thread.use(9)
    return goal(thread, token_budget=9)


@CASES.breaks("status_changes_are_written")
def _status_without_an_entry() -> Transition:
    return goal(started(), status="blocked", revision=2)


@CASES.breaks("status_changes_are_written")
def _entry_of_another_goal() -> Transition:
    thread = started()
    told = SetEntry(source="runtime", goal=replace(thread.goal, tokens_used=3))
    return step(thread, effects=(f.AppendEntry(entry=told),))


@CASES.breaks("status_changes_are_written")
def _cleared_in_the_history_only() -> Transition:
    told = ClearEntry(source="command", cleared="goal-1")
    return step(started(), effects=(f.AppendEntry(entry=told),))


@CASES.breaks("successors_start_clean")
def _inherited_counts() -> Transition:
    thread = started()
    successor = replace(thread.goal, goal_id="goal-2")
    return step(thread, goal=successor, blocking=Blocking(count=1))


@CASES.breaks("successors_start_clean")
def _inherited_use() -> Transition:
    thread = limited()
    return step(thread, goal=replace(thread.goal, goal_id="goal-2"))


@CASES.breaks("successors_start_clean")
def _inherited_run() -> Transition:
    return step(running(), goal=None)


@CASES.breaks("lost_runs_change_no_status")
def _paused_by_a_crash() -> Transition:
    return goal(running(), e.RunInterrupted(run_id="run-1"), status="paused", revision=9)


@CASES.breaks("own_pauses_last")
def _taken_up_by_a_timer() -> Transition:
    thread = started()
    thread.do(e.PauseRequested())
    return goal(thread, e.TimerFired(), status="active", pause_reason=None, revision=9)
