"""The goal's tools as the model calls them: create, look, claim, wait; the rest is not its own."""

from __future__ import annotations

from msgspec.structs import replace

from goalfsm.goal.model import Limits, Rejection
from goalfsm.session import tool_requests as tools
from goalfsm.session.context import Change, Context
from goalfsm.session.events import ObjectiveGiven, ToolCalled, WaitDeclared
from goalfsm.session.rules import claims, objective, waits
from goalfsm.session.rules.status_change import refused
from goalfsm.session.state import Reply, Session
from goalfsm.session.tools import READ


def called(session: Session, event: ToolCalled, ctx: Context) -> Change:
    """Carry the call out, and note with its run when it was refused."""
    change = _called(session, event, ctx)
    run, reply = change.session.run, change.reply
    if run is None or reply is None or reply.ok or run.refused:
        return change
    return replace(change, session=replace(change.session, run=replace(run, refused=True)))


def _called(session: Session, event: ToolCalled, ctx: Context) -> Change:
    """Parse the call and carry it out; what is malformed is refused in the reply."""
    asked = tools.parse(event.name, event.arguments)
    match asked:
        case Rejection():
            return Change(session, (), refused(asked))
        case tools.GetGoal():
            return Change(session, (), Reply(ok=True, code=READ))
        case tools.CreateGoal(objective=text, token_budget=budget, criteria=criteria):
            given = ObjectiveGiven(
                objective=text,
                limits=Limits(tokens=budget),
                criteria=criteria,
                origin="model",
            )
            # A host that drives its turns itself decides when the model's turn has ended.
            engine = session.policy.retries == "engine"
            return replace(objective.give(session, given, ctx), decide=engine)
        case tools.ClaimComplete(evidence=evidence, read=read):
            return claims.claim_complete(session, evidence, ctx, read=read)
        case tools.DeclareWait():
            return waits.declared(session, _declared(asked, event, ctx), ctx)
        case tools.ClaimBlocked(reason=reason, read=read):  # pragma: no branch - there is no other
            return claims.claim_blocked(session, reason, ctx, read=read)


def _declared(asked: tools.DeclareWait, event: ToolCalled, ctx: Context) -> WaitDeclared:
    return WaitDeclared(
        kind=asked.kind,
        until_ms=None if asked.seconds is None else ctx.now_ms + round(asked.seconds * 1000),
        pid=asked.pid,
        note=asked.note,
        run_token=event.run_token,
        relative=asked.seconds is not None,
        started=asked.start_time,
        any=asked.any,
    )
