"""What a step may ask for: continuations, notices, runs, verifiers."""

from __future__ import annotations

from typing import Final

from goalfsm.goal.model import ACTIVE, LIMITED, used_up
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.testing.invariants.invariant import LOADS, Chapter, Transition, hold
from recovery.obligations import IDLE, AbortingTurn, ObservingTurn

REQUESTS: Final = Chapter()


@REQUESTS.says(
    "A continuation is sent once, for an active goal that nothing holds back, to an idle host."
)
def _continuations_are_due(t: Transition) -> None:
    sent = [w for w in t.step.effects if isinstance(w, f.SendWork) and w.kind == "continuation"]
    if not sent:
        return
    after = t.after
    hold(len(sent) == 1, f"{len(sent)} continuations in one step")
    goal = after.goal
    hold(goal is not None and goal.goal_id == sent[0].goal_id, "for another goal")
    hold(goal is not None and goal.status == ACTIVE, "the goal is not active")
    hold(goal is not None and used_up(goal) is None, "no budget is left")
    hold(after.continuation.queued == sent[0].goal_id, "not noted as queued")
    was = t.before.continuation.queued
    hold(was != sent[0].goal_id or isinstance(t.event, LOADS), "one was queued already")
    hold(after.host.idle and after.run is None, "the host is busy")
    hold(not after.host.pending_messages, "a person's messages come first")
    hold(after.claim is None, "a claim is being verified")
    hold(not after.waits, "the work waits for something")
    hold(not after.stopping, "the engine is shutting down")
    attention = after.recovery.attention
    hold(attention is None or attention.kind != "pending", "recovery is pending")


@REQUESTS.says("The notice of a used-up budget is sent once, when its goal is limited.")
def _limits_are_announced_once(t: Transition) -> None:
    sent = [w for w in t.step.effects if isinstance(w, f.SendWork) and w.kind == "wind_down"]
    if not sent:
        return
    goal = t.after.goal
    hold(len(sent) == 1, "it was sent twice")
    hold(goal is not None and goal.goal_id == sent[0].goal_id, "for another goal")
    hold(goal is not None and goal.status == LIMITED, "the goal is not limited")
    hold(t.after.continuation.warned == sent[0].goal_id, "not noted as sent")
    hold(t.after.wind_down == "owed", "no turn is owed for it")
    pair = t.same_goal
    if pair is not None and pair[0].status == LIMITED and not isinstance(t.event, e.BudgetChanged):
        hold(t.before.continuation.warned != sent[0].goal_id, "it was sent before")


@REQUESTS.says(
    "A used-up budget gives one wind-down turn: owed, running, done, and never owed again."
)
def _one_wind_down(t: Transition) -> None:
    order = {"none": 0, "owed": 1, "running": 2, "done": 3}
    before, after = t.before.wind_down, t.after.wind_down
    if t.same_goal is None or order[after] >= order[before]:
        return
    was, now = t.same_goal
    reopened = was.status != now.status or isinstance(t.event, e.BudgetChanged)
    hold(reopened, f"{before} became {after}")


@REQUESTS.says("A turn is aborted only when all that entered it is stale.")
def _aborts_are_for_stale_turns(t: Transition) -> None:
    if not t.all(f.AbortRun):
        return
    state = t.before.stale
    hold(isinstance(state, ObservingTurn | AbortingTurn), "nothing stale had entered the turn")
    if isinstance(state, ObservingTurn):
        hold(state.stale_goal_ids and not state.has_runnable_work, "some of it may run")


@REQUESTS.says("A worker is started for the open run alone, and once.")
def _runs_start_once(t: Transition) -> None:
    starts = [effect.run_id for effect in t.step.effects if isinstance(effect, f.StartRun)]
    if not starts:
        return
    run = t.after.run
    hold(starts == [run.run_id if run is not None else None], f"started {starts}, open: {run}")
    hold(t.before.run is None, "it has been started already")


@REQUESTS.says("A run is opened by its dispatch alone and closed by its own end alone.")
def _runs_open_and_close(t: Transition) -> None:
    before, after = t.before.run, t.after.run
    if before is None and after is not None:
        hold(isinstance(t.event, e.RunDispatched), "opened without a dispatch")
    if before is not None and after is None:
        ended = isinstance(t.event, e.RunFinished | e.RunInterrupted)
        hold(ended and getattr(t.event, "run_id", None) == before.run_id, "closed by another")
    if before is not None and after is not None:
        hold(before.run_id == after.run_id, "another run took its place")


@REQUESTS.says("A run is ended early once, while it is open.")
def _ended_runs_are_open(t: Transition) -> None:
    for effect in t.step.effects:
        if isinstance(effect, f.EndRun):
            run = t.before.run
            hold(run is not None and run.run_id == effect.run_id, "it is not open")
            hold(run is not None and run.ending is None, "it is being ended already")
            hold(t.after.run is not None and t.after.run.ending, "not noted as ending")


@REQUESTS.says(
    "Verifiers, compaction, steering and callbacks are asked for where there is use for them."
)
def _helpers_fit_the_state(t: Transition) -> None:
    after = t.after
    goal_id = None if after.goal is None else after.goal.goal_id
    for effect in t.step.effects:
        match effect:
            case f.RunVerifier(claim_id=claim_id, index=index):
                claim, goal = after.claim, after.goal
                hold(claim is not None and claim.claim_id == claim_id, "no such claim is open")
                verifiers = () if goal is None else goal.verifiers
                hold(index < len(verifiers), f"there is no verifier {index}")
                hold(verifiers[index].kind != "person", "a person is no program")
            case f.RunUntil(check_id=check_id):
                check, goal = after.check, after.goal
                hold(check is not None and check.check_id == check_id, "no such check is open")
                hold(goal is not None and goal.until is not None, "the goal has no until")
                hold(after.run is None, "a turn is running beside it")
            case f.CompactContext():
                hold(effect.goal_id == goal_id, "compaction for another goal")
                hold(after.host.can_compact, "the worker cannot compact")
            case f.DeliverSteering():
                run = after.run
                hold(run is not None and run.run_id == effect.run_id, "steered another run")
                hold(run is not None and run.can_steer, "the worker cannot be steered")
                queued = {kept.message_id for kept in after.steering}
                hold(effect.message_id in queued, "the message is not kept")
            case _:
                pass


@REQUESTS.says("Once an engine shuts down it sends nothing and has nothing stale to wait for.")
def _nothing_while_stopping(t: Transition) -> None:
    if isinstance(t.event, e.ShutdownStarted):
        hold(t.after.stopping, "it goes on")
        hold(t.after.stale == IDLE, "stale work is still owed")
    if t.after.stopping:
        sent = [w for w in t.step.effects if isinstance(w, f.SendWork) and w.kind != "wind_down"]
        hold(not sent, f"sent {sent}")
