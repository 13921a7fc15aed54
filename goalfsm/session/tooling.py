"""The goal's tools as the model calls them: create, look, claim; nothing else is the model's."""

from __future__ import annotations

from goalfsm import tools
from goalfsm.events import ObjectiveGiven, ToolCalled
from goalfsm.model import Limits
from goalfsm.session import claims, terms
from goalfsm.session.marking import refused
from goalfsm.session.state import Change, Context, Reply, Session
from goalfsm.validation import Rejected


def called(session: Session, event: ToolCalled, ctx: Context) -> Change:
    """Parse the call and carry it out; what is malformed is refused in the reply."""
    asked = tools.parse(event.name, event.arguments)
    match asked:
        case Rejected():
            return Change(session, (), refused(asked))
        case tools.GetGoal():
            return Change(session, (), Reply(ok=True, code=tools.READ))
        case tools.CreateGoal(objective=objective, token_budget=budget):
            given = ObjectiveGiven(
                objective=objective, limits=Limits(tokens=budget), origin="model"
            )
            # A host that drives its turns itself decides when the model's turn has ended.
            engine = session.policy.retries == "engine"
            return terms.give(session, given, ctx)._replace(decide=engine)
        case tools.ClaimComplete(evidence=evidence):
            return claims.claim_complete(session, evidence, ctx)
        case tools.ClaimBlocked(reason=reason):  # pragma: no branch - there is no other
            return claims.claim_blocked(session, reason, ctx)
