"""One thread as a pure state machine: its values, and ``handle(session, event, ctx)``.

It may use goals, recovery, errors and text; it does no I/O and asks for no time.
"""

from goalfsm.session.policy import Policy
from goalfsm.session.state import Change, Context, Decision, Reply, Session, Step

__all__ = ["Change", "Context", "Decision", "Policy", "Reply", "Session", "Step"]
