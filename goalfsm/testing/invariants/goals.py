"""What a step may do to the goal."""

from __future__ import annotations

from typing import Final

from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, PAUSED, used_up
from goalfsm.session import effects as f
from goalfsm.session import events as e
from goalfsm.session.effects import SetEntry, UserStartEntry
from goalfsm.testing.invariants.invariant import LOADS, Chapter, Transition, hold

GOALS: Final = Chapter()


@GOALS.says("A goal's revision grows with its status and never falls.")
def _revision_grows(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    hold(after.revision >= before.revision, f"{before.revision} became {after.revision}")
    if after.status != before.status:
        hold(after.revision > before.revision, f"{before.status} became {after.status} unseen")


@GOALS.says("What a goal used, it used: tokens, seconds, cost, dispatches and times only grow.")
def _usage_never_falls(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    for name in ("tokens_used", "active_seconds", "cost_used", "continuations", "updated_at"):
        was, now = getattr(before, name), getattr(after, name)
        hold(now >= was, f"{name} fell from {was} to {now}")
    hold(after.created_at == before.created_at, "the goal was created anew")


@GOALS.says("A complete goal stays as it is until it is replaced or cleared.")
def _complete_is_final(t: Transition) -> None:
    if t.same_goal is None or t.same_goal[0].status != COMPLETE:
        return
    before, after = t.same_goal
    hold(after.status == COMPLETE, f"it is {after.status} again")
    hold(after.objective == before.objective, "its objective changed")
    hold(not t.all(f.SendWork), "work on it was sent")


@GOALS.says("No charge leaves a goal active whose budget it used up.")
def _crossing_limits(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    budgets = ("token_budget", "time_budget_seconds", "cost_budget")
    if any(getattr(before, name) != getattr(after, name) for name in budgets):
        hold(after.status != ACTIVE or used_up(after) is None, "the new budget is used up")
    elif before.status == ACTIVE and after.status == ACTIVE and used_up(before) is None:
        hold(used_up(after) is None, f"its {used_up(after)} are used up")


@GOALS.says("Every change of status is in the history at once, and the last entry tells the truth.")
def _status_changes_are_written(t: Transition) -> None:
    entries = [effect.entry for effect in t.step.effects if isinstance(effect, f.AppendEntry)]
    goals = [entry for entry in entries if not isinstance(entry, UserStartEntry)]
    if goals:
        last = goals[-1]
        if isinstance(last, SetEntry):
            hold(last.goal == t.after.goal or t.after.flush.dirty, "the entry shows another goal")
        else:
            hold(t.after.goal is None, "cleared in the history only")
    if t.same_goal is not None and t.same_goal[0].status != t.same_goal[1].status:
        written = [entry.goal.status for entry in goals if isinstance(entry, SetEntry)]
        hold(t.same_goal[1].status in written, f"{t.same_goal[1].status} was not written")


@GOALS.says("A goal that takes the thread over inherits no use, claim, wait, count or message.")
def _successors_start_clean(t: Transition) -> None:
    before, after = t.before.goal, t.after.goal
    if before is None or (after is not None and after.goal_id == before.goal_id):
        return
    session = t.after
    inherited = (session.claim, session.completion, session.waits, session.retry.at_ms)
    hold(not any(inherited), f"inherited: {inherited}")
    hold(not (session.blocking.count or session.steering), "inherited counts or messages")
    hold(session.run is None or session.run.ending is not None, "the old run goes on")
    if after is not None and not isinstance(t.event, LOADS):
        spent = (after.tokens_used, after.active_seconds, after.cost_used, after.continuations)
        event = t.event
        own = (event.tokens, event.seconds) if isinstance(event, e.GoalImported) else (0, 0)
        hold(spent == (*own, 0, 0), f"inherited use: {spent}")


@GOALS.says("What is refused leaves the goal alone, except for use that was due anyway.")
def _refusals_change_nothing(t: Transition) -> None:
    # Two refusals tell of a change: a stopped goal without budget left becomes limited when it is
    # resumed, and a fault stops the goal whose event could not be decided.
    reply = t.step.reply
    if reply is None or reply.ok or reply.code in {"budget_limited", "internal_error"}:
        return
    hold(not _changed_beyond_use(t), f"{reply.code}, but the goal changed")
    work = (f.StartRun, f.RunVerifier, f.RunUntil, f.CompactContext, f.EndRun)
    hold(not any(isinstance(effect, work) for effect in t.step.effects), "work was started")


def _changed_beyond_use(t: Transition) -> bool:
    before, after = t.before.goal, t.after.goal
    if before is None or after is None:
        return before is not after
    if before.goal_id != after.goal_id or before.objective != after.objective:
        return True
    crossed = before.status == ACTIVE and after.status == LIMITED and used_up(after) is not None
    return before.status != after.status and not crossed


@GOALS.says("A model creates goals and claims; nothing else is its to change.")
def _models_only_claim(t: Transition) -> None:
    asked = t.event
    if isinstance(asked, e.Expecting) and asked.origin == "model":
        if isinstance(asked, e.ObjectiveGiven):
            unfinished = t.before.goal is not None and t.before.goal.status != COMPLETE
            hold(t.same_goal is not None or not unfinished, "it replaced an unfinished goal")
        else:
            hold(t.step.reply is not None and not t.step.reply.ok, "it was let through")
    if isinstance(asked, e.ToolCalled) and t.same_goal is not None:
        before, after = t.same_goal
        reopened = before.status != ACTIVE and after.status == ACTIVE
        hold(not reopened, f"a tool took a {before.status} goal up again")
        hold(after.objective == before.objective, "a tool reworded it")


@GOALS.says("A run that was lost limits its goal or leaves the status alone.")
def _lost_runs_change_no_status(t: Transition) -> None:
    if t.same_goal is None or not isinstance(t.event, e.RunInterrupted):
        return
    before, after = t.same_goal
    hold(after.status in {before.status, LIMITED}, f"{before.status} became {after.status}")


@GOALS.says("A pause by a person ends by a word alone: a person's, or a trigger of the embedder's.")
def _own_pauses_last(t: Transition) -> None:
    if t.same_goal is None:
        return
    before, after = t.same_goal
    own = before.pause_reason == "user" and before.resume_at_ms is None
    if before.status == PAUSED and own and after.status == ACTIVE:
        words = (e.ResumeRequested, e.ClaimRejected, e.BudgetChanged, e.TriggerFired)
        hold(isinstance(t.event, words), "it ended by itself")
