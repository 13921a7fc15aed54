# The names of the package, written once: type checkers and recovery.lazy read them here.

from goalfsm.goal.model import Reply as Reply
from goalfsm.session.context import Change as Change
from goalfsm.session.context import Context as Context
from goalfsm.session.context import Step as Step
from goalfsm.session.policy import Policy as Policy
from goalfsm.session.state import Decision as Decision
from goalfsm.session.state import Session as Session
