"""The command that completes a goal: when it is run, and what its exit status means."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.model import ACTIVE, COMPLETE, LIMITED, Evidence
from goalfsm.goal.rejection import Rejection
from goalfsm.goal.transition import Fire
from goalfsm.session.context import Change, Context
from goalfsm.session.effects import RunUntil
from goalfsm.session.events import UntilChecked
from goalfsm.session.rules import claims, steering, turns
from goalfsm.session.rules.change import charge, extend, request, restate
from goalfsm.session.state import Check, Reply, Session


def due(session: Session, ctx: Context) -> Session:
    """Have the goal's command run, now that a run of the goal has ended well.

    What the run itself has claimed is verified instead.
    """
    goal = session.goal
    if goal is None or goal.until is None or session.claim is not None:
        return session
    if goal.status == COMPLETE or turns.superseded(session):
        return session
    check = Check(check_id=ctx.ids("claim"), goal_id=goal.goal_id)
    return replace(session, check=check)


def ask(session: Session) -> Change:
    """Ask for the command once nothing of the run is left, and nothing else comes first.

    What the work waits for comes first, and so does whoever has stopped the goal.
    """
    check, goal = session.check, session.goal
    if check is None or check.asked or goal is None:
        return Change(session)
    free = session.run is None and session.host.idle and not session.stopping
    if not free or session.waits or goal.status not in {ACTIVE, LIMITED}:
        return Change(session)
    asked = replace(session, check=replace(check, asked=True))
    return Change(asked, (RunUntil(check_id=check.check_id),))


def checked(session: Session, event: UntilChecked, ctx: Context) -> Change:
    """Settle what the command said: a claim of the engine's, nothing at all, or a pause."""
    check, goal = session.check, session.goal
    if check is None or goal is None or check.check_id != event.check_id:
        reply = Reply(ok=False, code="stale_check", message="that check is over already")
        return Change(session, (), reply)
    session = replace(session, check=None)
    if event.outcome == "passed":
        unread = bool(steering.unread(session)) or session.host.inputs > 0
        if unread and session.policy.unread_claims == "refuse":
            return Change(session, (), _UNREAD)
        # What the command said is the evidence for every criterion.
        numbers: list[int | None] = [*range(1, len(goal.criteria) + 1)] or [None]
        evidence = tuple(Evidence(text=event.detail, criterion=number) for number in numbers)
        return claims.claim_complete(session, evidence, ctx)
    if event.outcome == "failed" or (event.timed_out and session.until_late):
        return Change(session, (), Reply(ok=True, code="not_yet", message=event.detail))
    return _unverifiable(session, event, ctx)


def _unverifiable(session: Session, event: UntilChecked, ctx: Context) -> Change:
    """Pause: nobody knows whether the goal is complete. A second timeout is a no."""
    session = replace(session, until_late=session.until_late or event.timed_out)
    reply = Reply(ok=True, code="unverifiable", message=event.detail)
    if session.goal is None or session.goal.status != ACTIVE:
        return Change(session, (), reply)
    change = charge(session, ctx)
    paused = request(change.session, Fire("pause", "runtime"), ctx)
    if isinstance(paused, Rejection):  # an embedder's rule is against it, or a budget is used up
        return change._replace(reply=reply)
    explained = restate(paused, pause_reason="verification", note=event.detail)
    return extend(change, explained._replace(reply=reply))


_UNREAD = Reply(
    ok=True,
    code="unread",
    message="a person has said something that no turn has read: one reads it first",
)
