"""One thread as a pure state machine: ``handle(session, event, ctx)`` gives the next step."""

from goalfsm.session.handle import handle
from goalfsm.session.policy import Policy
from goalfsm.session.state import Change, Context, Decision, Reply, Session, Step

__all__ = ["Change", "Context", "Decision", "Policy", "Reply", "Session", "Step", "handle"]
