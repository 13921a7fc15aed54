"""Answers, effects and charges that no step may give."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.accounting import Ledger
from goalfsm.goal.model import Usage
from goalfsm.session import Reply, Session
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.state import Continuation
from goalfsm.testing.invariants.invariant import Transition
from goalfsm.testing.loop import START_MS
from tests.session.breaking import LIMIT, WORK, Cases, goal, limited, running, step
from tests.session.hosts import stale_work, started

CASES = Cases()


@CASES.breaks("refusals_change_nothing")
def _refused_and_done() -> Transition:
    thread = started()
    refused = Reply(ok=False, code="no")
    return step(thread, reply=refused, goal=replace(thread.goal, status="blocked"))


@CASES.breaks("refusals_change_nothing")
def _refused_and_reworded() -> Transition:
    thread = started()
    refused = Reply(ok=False, code="no")
    return step(thread, reply=refused, goal=replace(thread.goal, objective="x"))


@CASES.breaks("refusals_change_nothing")
def _refused_and_started() -> Transition:
    return step(started(), reply=Reply(ok=False, code="no"), effects=(f.StartRun(run_id="r"),))


@CASES.breaks("models_only_claim")
def _obeyed_a_model() -> Transition:
    return step(started(), e.PauseRequested(origin="model"), reply=Reply(ok=True))


@CASES.breaks("models_only_claim")
def _let_a_model_replace_the_goal() -> Transition:
    thread = started()
    event = e.ObjectiveGiven(objective="x", origin="model")
    return step(thread, event, goal=replace(thread.goal, goal_id="goal-2"))


@CASES.breaks("models_only_claim")
def _let_a_tool_resume_the_goal() -> Transition:
    thread = started()
    thread.do(e.PauseRequested())
    return goal(thread, e.ToolCalled(name="update_goal"), status="active")


@CASES.breaks("continuations_are_due")
def _sent_twice() -> Transition:
    return step(started(), effects=(WORK, WORK))


@CASES.breaks("continuations_are_due")
def _sent_again() -> Transition:
    return step(started(), effects=(WORK,))


@CASES.breaks("continuations_are_due")
def _sent_to_a_busy_host() -> Transition:
    return step(running(), effects=(WORK,), continuation=Continuation(queued="goal-1"))


@CASES.breaks("continuations_are_due")
def _sent_while_waiting() -> Transition:
    thread = started()
    thread.turn()
    thread.do(e.WaitDeclared(kind="event"))
    thread._session = replace(thread.session, continuation=Continuation())
    return step(thread, effects=(WORK,), continuation=Continuation(queued="goal-1"))


@CASES.breaks("limits_are_announced_once")
def _announced_for_an_active_goal() -> Transition:
    return step(started(), effects=(LIMIT,), continuation=Continuation(warned="goal-1"))


@CASES.breaks("limits_are_announced_once")
def _announced_again() -> Transition:
    return step(limited(), effects=(LIMIT,))


@CASES.breaks("limits_are_announced_once")
def _announced_without_a_turn() -> Transition:
    thread = started()
    spent = replace(thread.goal, status="budgetLimited")
    return step(thread, None, (LIMIT,), goal=spent, continuation=Continuation(warned="goal-1"))


@CASES.breaks("one_wind_down")
def _owed_again() -> Transition:
    thread = limited()
    thread.dispatch()
    return step(thread, wind_down="owed")


@CASES.breaks("aborts_are_for_stale_turns")
def _aborted_for_nothing() -> Transition:
    return step(started(), effects=(f.AbortRun(),))


@CASES.breaks("aborts_are_for_stale_turns")
def _aborted_although_some_of_it_may_run() -> Transition:
    return step(running(), effects=(f.AbortRun(),))


@CASES.breaks("runs_start_once")
def _started_twice() -> Transition:
    return step(running(), effects=(f.StartRun(run_id="run-1"),))


@CASES.breaks("runs_start_once")
def _started_what_is_not_open() -> Transition:
    return step(started(), effects=(f.StartRun(run_id="run-1"),))


@CASES.breaks("runs_open_and_close")
def _opened_by_nobody() -> Transition:
    return step(started(), run=running().session.run)


@CASES.breaks("runs_open_and_close")
def _closed_by_a_stranger() -> Transition:
    return step(running(), e.RunFinished(run_id="run-7"), run=None)


@CASES.breaks("runs_open_and_close")
def _dispatched_over_an_open_run() -> Transition:
    thread = running()
    run = replace(thread.session.run, run_id="run-2")  # type: ignore[type-var]
    return step(thread, e.RunDispatched(run_id="run-2", token="t"), run=run)


@CASES.breaks("ended_runs_are_open")
def _ended_what_is_not_open() -> Transition:
    return step(started(), effects=(f.EndRun(run_id="run-1", reason="x"),))


@CASES.breaks("helpers_fit_the_state")
def _verifier_without_a_claim() -> Transition:
    return step(started(), effects=(f.RunVerifier(claim_id="c", index=0),))


@CASES.breaks("helpers_fit_the_state")
def _compaction_for_a_stranger() -> Transition:
    return step(started(), effects=(f.CompactContext(goal_id="goal-7"),))


@CASES.breaks("helpers_fit_the_state")
def _steering_without_a_run() -> Transition:
    return step(started(), effects=(f.DeliverSteering(run_id="r", message_id="m", text="t"),))


@CASES.breaks("nothing_while_stopping")
def _sent_while_stopping() -> Transition:
    return step(started(), effects=(WORK,), stopping=True)


@CASES.breaks("nothing_while_stopping")
def _did_not_stop() -> Transition:
    return step(started(), e.ShutdownStarted())


@CASES.breaks("ledger_adds_up")
def _booked_less_than_was_reported() -> Transition:
    return step(started(), ledger=Ledger(reported=Usage(input_tokens=5), charged_tokens=4))


@CASES.breaks("ledger_adds_up")
def _a_sum_that_falls() -> Transition:
    return step(limited(), ledger=Ledger())


@CASES.breaks("charges_reach_the_goal")
def _charged_to_nobody() -> Transition:
    ledger = Ledger(reported=Usage(input_tokens=5), charged_tokens=5)
    return step(started(), ledger=ledger)


@CASES.breaks("charges_reach_the_goal")
def _charged_without_the_ledger() -> Transition:
    return goal(started(), tokens_used=3)


@CASES.breaks("strangers_charge_nothing")
def _an_old_run_was_heard() -> Transition:
    usage = e.UsageReported(run_id="r", run_token="t", key="k", usage=Usage(input_tokens=5))
    return goal(started(), usage, tokens_used=5)


@CASES.breaks("strangers_charge_nothing")
def _a_successor_paid_for_the_turn_before_it() -> Transition:
    thread = running()
    thread.give("Another", replace=True)
    ended = e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="stop"))
    return goal(thread, ended, tokens_used=5)


@CASES.breaks("skipped_ends_change_nothing")
def _an_owed_end_was_taken_for_a_new_one() -> Transition:
    thread = started()
    thread.give("Another", replace=True)
    thread.do(*stale_work("goal-1"))
    ended = e.TurnEnded(turn_index=1, message=e.Message(role="assistant", stop_reason="aborted"))
    return step(thread, ended, stale=Session().stale, goal=replace(thread.goal, status="paused"))


@CASES.breaks("timers_come_to_rest")
def _a_timer_that_fires_for_ever() -> Transition:
    thread = started()
    thread.do(e.WaitDeclared(kind="timer", until_ms=START_MS - 1))
    return step(thread, e.TimerFired())
