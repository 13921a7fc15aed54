"""What is over is ended: the turn of a goal that has stopped, and what the work waited for."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, Goal, used_up
from goalfsm.session.rules.change import end_run, overrun_ends
from goalfsm.session.state import Change, Context, Session
from goalfsm.session.work import overrun_ends as due


def bounded(after: Session, goal: Goal, ctx: Context) -> Session:
    """Return ``after`` with what the ``goal`` that was left or taken up means for the turn.

    A goal that is not worked on any more waits for nothing, and its turn has so long to end. One
    that is taken up again goes on with the turn that it has.
    """
    run = after.run
    mine = run is not None and run.goal_id == goal.goal_id
    if goal.status == ACTIVE:
        if run is not None and mine and run.ends_ms is not None:
            after = replace(after, run=replace(run, ends_ms=None))
        return after
    if run is None or not mine or run.ends_ms is not None:
        return after
    return replace(after, run=replace(run, ends_ms=overrun_ends(after, ctx)))


def fallen_due(session: Session, ctx: Context) -> Change:
    """End a turn that goes on although its goal stopped long enough ago."""
    goal, ends_ms = session.goal, due(session)
    if goal is None or ends_ms is None or ends_ms > ctx.now_ms:
        return Change(session)
    over = f"the {goal.limited_by} budget is used up" if goal.status == LIMITED else ""
    return end_run(session, f"{over or f'the goal is {goal.status}'}, and the turn went on")


def spent_after_completion(session: Session) -> Change:
    """End at once a turn that uses a budget up although its goal is complete."""
    goal = session.goal
    if goal is None or goal.status != COMPLETE or not session.policy.end_overrun:
        return Change(session)
    limit = used_up(goal)
    if limit is None:
        return Change(session)
    return end_run(session, f"the goal is complete, and the turn used the {limit} budget up")
