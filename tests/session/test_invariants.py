"""The invariants themselves: each of them notices a step that breaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from goalfsm import effects as f
from goalfsm import events as e
from goalfsm.accounting import Clock
from goalfsm.entries import ClearEntry, SetEntry
from goalfsm.model import Limits, Usage, Verifier
from goalfsm.session import Policy, Reply, Session, Step
from goalfsm.session.state import Blocking, Claim, Continuation, Ledger, Steering, VerifierResult
from goalfsm.testing.invariants import INVARIANTS, check, timers
from goalfsm.testing.invariants.invariant import Transition
from tests.session.thread import START_MS, Thread, started

LOOKS = {look.__name__.lstrip("_"): look for _, look in INVARIANTS}
CASES: list[tuple[str, Callable[[], Transition]]] = []
Case = Callable[[], Transition]


def breaks(name: str) -> Callable[[Case], Case]:
    """Register a step that breaks the invariant ``name``."""

    def register(case: Case) -> Case:
        CASES.append((name, case))
        return case

    return register


def step(
    thread: Thread,
    event: e.Event | None = None,
    effects: tuple[f.Effect, ...] = (),
    reply: Reply | None = None,
    **fields: Any,
) -> Transition:
    """Return a step that did this to the thread's session."""
    before = thread.session
    after = Step(replace(before, **fields), effects, reply)
    return Transition(before, event or e.TimerFired(), after, START_MS)


def goal(thread: Thread, event: e.Event | None = None, **fields: Any) -> Transition:
    """Return a step that did this to the thread's goal."""
    return step(thread, event, goal=replace(thread.goal, **fields))


def running() -> Thread:
    """Return a thread with an open run."""
    thread = started()
    thread.dispatch()
    return thread


def limited() -> Thread:
    """Return a thread whose goal has used its budget up."""
    thread = started(limits=Limits(tokens=5))
    thread.dispatch()
    thread.use(5)
    thread.end()
    return thread


def complete() -> Thread:
    """Return a thread whose goal is complete."""
    thread = started()
    thread.do(e.CompletionRequested())
    return thread


WORK = f.SendWork(kind="continuation", goal_id="goal-1", deliver_as="follow_up")
LIMIT = f.SendWork(kind="budget_limit", goal_id="goal-1", deliver_as="steer")


@breaks("scheduled_for_the_active_goal")
def _queued_for_a_stranger() -> Transition:
    return step(started(), continuation=Continuation(queued="goal-7"))


@breaks("scheduled_for_the_active_goal")
def _queued_for_a_complete_goal() -> Transition:
    return step(complete(), continuation=Continuation(queued="goal-1"))


@breaks("scheduled_for_the_active_goal")
def _queued_and_wanted() -> Transition:
    return step(started(), continuation=Continuation(queued="goal-1", wanted="goal-1"))


@breaks("clock_runs_for_the_active_goal")
def _clock_of_a_stranger() -> Transition:
    return step(started(), clock=Clock("goal-7", START_MS))


@breaks("clock_runs_for_the_active_goal")
def _clock_of_a_complete_goal() -> Transition:
    return step(complete(), clock=Clock("goal-1", START_MS))


@breaks("clock_runs_for_the_active_goal")
def _clock_with_a_whole_second_left() -> Transition:
    return step(started(), clock=Clock("goal-1", START_MS, 1_000))


@breaks("claims_belong_to_the_goal")
def _claim_of_a_complete_goal() -> Transition:
    return step(complete(), claim=Claim(claim_id="c", goal_id="goal-1", at_ms=1))


@breaks("claims_belong_to_the_goal")
def _claim_with_two_answers_of_one() -> Transition:
    thread = started(verifiers=(Verifier(kind="command"),))
    results = (VerifierResult(index=0, outcome="passed"),) * 2
    return step(thread, claim=Claim(claim_id="c", goal_id="goal-1", results=results, at_ms=1))


@breaks("claims_belong_to_the_goal")
def _claim_that_a_person_answered_as_a_program() -> Transition:
    thread = started(verifiers=(Verifier(kind="person"),))
    results = (VerifierResult(index=0, outcome="passed"),)
    return step(thread, claim=Claim(claim_id="c", goal_id="goal-1", results=results, at_ms=1))


@breaks("stops_explain_themselves")
def _pause_without_a_reason() -> Transition:
    return goal(started(), status="paused")


@breaks("stops_explain_themselves")
def _active_with_a_reason() -> Transition:
    thread = started()
    thread.do(e.PauseRequested())
    return goal(thread, status="active")


@breaks("stops_explain_themselves")
def _limit_without_its_budget() -> Transition:
    return goal(started(), status="budgetLimited")


@breaks("bounded")
def _one_message_twice() -> Transition:
    message = Steering(message_id="m", text="t", at_ms=1)
    return step(started(), steering=(message, message))


@breaks("bounded")
def _too_many_messages() -> Transition:
    thread = started(Policy(steering_limit=1))
    return step(
        thread, steering=tuple(Steering(message_id=m, text="t", at_ms=1) for m in ("m1", "m2"))
    )


@breaks("bounded")
def _one_notice_twice() -> Transition:
    return step(started(), notices=("resumed", "resumed"))


@breaks("revision_grows")
def _status_without_a_revision() -> Transition:
    return goal(started(), status="blocked")


@breaks("revision_grows")
def _revision_that_falls() -> Transition:
    return goal(started(), revision=0)


@breaks("usage_never_falls")
def _tokens_that_fall() -> Transition:
    return goal(limited(), tokens_used=4)


@breaks("usage_never_falls")
def _dispatches_that_fall() -> Transition:
    return goal(limited(), continuations=0)


@breaks("usage_never_falls")
def _a_goal_created_anew() -> Transition:
    return goal(started(), created_at=5)


@breaks("complete_is_final")
def _complete_and_active_again() -> Transition:
    return goal(complete(), status="active")


@breaks("complete_is_final")
def _complete_and_worked_on() -> Transition:
    return step(complete(), effects=(WORK,))


@breaks("crossing_limits")
def _over_budget_and_active() -> Transition:
    return goal(started(limits=Limits(tokens=5)), tokens_used=5)


@breaks("crossing_limits")
def _active_on_a_budget_that_is_spent() -> Transition:
    thread = running()
    thread.use(9)
    return goal(thread, token_budget=9)


@breaks("status_changes_are_written")
def _status_without_an_entry() -> Transition:
    return goal(started(), status="blocked", revision=2)


@breaks("status_changes_are_written")
def _entry_of_another_goal() -> Transition:
    thread = started()
    told = SetEntry(source="runtime", goal=replace(thread.goal, tokens_used=3))
    return step(thread, effects=(f.AppendEntry(entry=told),))


@breaks("status_changes_are_written")
def _cleared_in_the_history_only() -> Transition:
    told = ClearEntry(source="command", cleared="goal-1")
    return step(started(), effects=(f.AppendEntry(entry=told),))


@breaks("successors_start_clean")
def _inherited_counts() -> Transition:
    thread = started()
    successor = replace(thread.goal, goal_id="goal-2")
    return step(thread, goal=successor, blocking=Blocking(count=1))


@breaks("successors_start_clean")
def _inherited_use() -> Transition:
    thread = limited()
    return step(thread, goal=replace(thread.goal, goal_id="goal-2"))


@breaks("successors_start_clean")
def _inherited_run() -> Transition:
    return step(running(), goal=None)


@breaks("refusals_change_nothing")
def _refused_and_done() -> Transition:
    thread = started()
    refused = Reply(ok=False, code="no")
    return step(thread, reply=refused, goal=replace(thread.goal, status="blocked"))


@breaks("refusals_change_nothing")
def _refused_and_reworded() -> Transition:
    thread = started()
    refused = Reply(ok=False, code="no")
    return step(thread, reply=refused, goal=replace(thread.goal, objective="x"))


@breaks("refusals_change_nothing")
def _refused_and_started() -> Transition:
    return step(started(), reply=Reply(ok=False, code="no"), effects=(f.StartRun(run_id="r"),))


@breaks("models_only_claim")
def _obeyed_a_model() -> Transition:
    return step(started(), e.PauseRequested(origin="model"), reply=Reply(ok=True))


@breaks("models_only_claim")
def _let_a_model_replace_the_goal() -> Transition:
    thread = started()
    event = e.ObjectiveGiven(objective="x", origin="model")
    return step(thread, event, goal=replace(thread.goal, goal_id="goal-2"))


@breaks("models_only_claim")
def _let_a_tool_resume_the_goal() -> Transition:
    thread = started()
    thread.do(e.PauseRequested())
    return goal(thread, e.ToolCalled(name="update_goal"), status="active")


@breaks("continuations_are_due")
def _sent_twice() -> Transition:
    return step(started(), effects=(WORK, WORK))


@breaks("continuations_are_due")
def _sent_again() -> Transition:
    return step(started(), effects=(WORK,))


@breaks("continuations_are_due")
def _sent_to_a_busy_host() -> Transition:
    return step(running(), effects=(WORK,), continuation=Continuation(queued="goal-1"))


@breaks("continuations_are_due")
def _sent_while_waiting() -> Transition:
    thread = started()
    thread.turn()
    thread.do(e.WaitDeclared(kind="event"))
    thread.session = replace(thread.session, continuation=Continuation())
    return step(thread, effects=(WORK,), continuation=Continuation(queued="goal-1"))


@breaks("limits_are_announced_once")
def _announced_for_an_active_goal() -> Transition:
    return step(started(), effects=(LIMIT,), continuation=Continuation(warned="goal-1"))


@breaks("limits_are_announced_once")
def _announced_again() -> Transition:
    return step(limited(), effects=(LIMIT,))


@breaks("one_wind_down")
def _owed_again() -> Transition:
    thread = limited()
    thread.dispatch(wind_down=True)
    return step(thread, wind_down="owed")


@breaks("aborts_are_for_stale_turns")
def _aborted_for_nothing() -> Transition:
    return step(started(), effects=(f.AbortRun(),))


@breaks("aborts_are_for_stale_turns")
def _aborted_although_some_of_it_may_run() -> Transition:
    return step(running(), effects=(f.AbortRun(),))


@breaks("runs_start_once")
def _started_twice() -> Transition:
    return step(running(), effects=(f.StartRun(run_id="run-1"),))


@breaks("runs_start_once")
def _started_what_is_not_open() -> Transition:
    return step(started(), effects=(f.StartRun(run_id="run-1"),))


@breaks("runs_open_and_close")
def _opened_by_nobody() -> Transition:
    return step(started(), run=running().session.run)


@breaks("runs_open_and_close")
def _closed_by_a_stranger() -> Transition:
    return step(running(), e.RunFinished(run_id="run-7"), run=None)


@breaks("runs_open_and_close")
def _dispatched_over_an_open_run() -> Transition:
    thread = running()
    run = replace(thread.session.run, run_id="run-2")  # type: ignore[type-var]
    return step(thread, e.RunDispatched(run_id="run-2", token="t"), run=run)


@breaks("ended_runs_are_open")
def _ended_what_is_not_open() -> Transition:
    return step(started(), effects=(f.EndRun(run_id="run-1", reason="x"),))


@breaks("helpers_fit_the_state")
def _verifier_without_a_claim() -> Transition:
    return step(started(), effects=(f.RunVerifier(claim_id="c", index=0),))


@breaks("helpers_fit_the_state")
def _compaction_for_a_stranger() -> Transition:
    return step(started(), effects=(f.CompactContext(goal_id="goal-7"),))


@breaks("helpers_fit_the_state")
def _steering_without_a_run() -> Transition:
    return step(started(), effects=(f.DeliverSteering(run_id="r", message_id="m", text="t"),))


@breaks("nothing_while_stopping")
def _sent_while_stopping() -> Transition:
    return step(started(), effects=(WORK,), stopping=True)


@breaks("nothing_while_stopping")
def _did_not_stop() -> Transition:
    return step(started(), e.ShutdownStarted())


@breaks("ledger_adds_up")
def _booked_less_than_was_reported() -> Transition:
    return step(started(), ledger=Ledger(reported=Usage(input_tokens=5), charged_tokens=4))


@breaks("ledger_adds_up")
def _a_sum_that_falls() -> Transition:
    return step(limited(), ledger=Ledger())


@breaks("charges_reach_the_goal")
def _charged_to_nobody() -> Transition:
    ledger = Ledger(reported=Usage(input_tokens=5), charged_tokens=5)
    return step(started(), ledger=ledger)


@breaks("charges_reach_the_goal")
def _charged_without_the_ledger() -> Transition:
    return goal(started(), tokens_used=3)


@breaks("strangers_charge_nothing")
def _an_old_run_was_heard() -> Transition:
    usage = e.UsageReported(run_id="r", run_token="t", key="k", usage=Usage(input_tokens=5))
    return goal(started(), usage, tokens_used=5)


@breaks("strangers_charge_nothing")
def _a_successor_paid_for_the_turn_before_it() -> Transition:
    thread = running()
    thread.give("Another", replace=True)
    ended = e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="stop"))
    return goal(thread, ended, tokens_used=5)


@breaks("skipped_ends_change_nothing")
def _an_owed_end_was_taken_for_a_new_one() -> Transition:
    thread = started()
    thread.give("Another", replace=True)
    thread.dispatch(goal_id="goal-1")
    ended = e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="aborted"))
    return step(thread, ended, stale=Session().stale, goal=replace(thread.goal, status="paused"))


@breaks("timers_come_to_rest")
def _a_timer_that_fires_for_ever() -> Transition:
    thread = started()
    thread.do(e.WaitDeclared(kind="timer", until_ms=START_MS - 1))
    return step(thread, e.TimerFired())


@pytest.mark.parametrize(("name", "case"), CASES, ids=[c.__name__.strip("_") for _, c in CASES])
def test_a_broken_step_is_noticed(name: str, case: Callable[[], Transition]) -> None:
    with pytest.raises(AssertionError):
        LOOKS[name](case())


def test_every_invariant_has_a_step_that_breaks_it() -> None:
    assert {name for name, _ in CASES} | {"finished_goals_sleep"} == set(LOOKS)


@pytest.mark.parametrize("thread", [Thread, complete, limited])
def test_a_timer_of_a_goal_that_stopped_is_noticed(
    thread: Callable[[], Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session has one, so the answer itself has to be told wrong."""
    transition = step(thread())
    LOOKS["finished_goals_sleep"](transition)
    monkeypatch.setattr(timers, "next_wake", lambda _session: 5)
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
