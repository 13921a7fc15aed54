"""Persons who speak to running work, and claims that it makes meanwhile."""

from __future__ import annotations

from goalfsm.goal.model import Verifier
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread
from tests.session.hosts import started

COMMAND = Verifier(kind="command", argv=("make", "test"))
PERSON = Verifier(kind="person")
EDIT = e.EditRequested(objective="Delete nothing")


def say(text: str = "do not drop the column", message_id: str = "m1") -> e.SteeringReceived:
    """Return a person's message."""
    return e.SteeringReceived(message_id=message_id, text=text)


def running(*verifiers: Verifier, can_steer: bool = False, **given: object) -> CheckedThread:
    """Return a thread in its first turn."""
    thread = started(verifiers=verifiers, **given)
    thread.dispatch(*(("steer",) if can_steer else ()))
    return thread


def claim(thread: CheckedThread, read: int | None = None) -> str:
    """Claim completion, giving ``read`` back; return the code of the answer."""
    return thread.call("update_goal", status="complete", evidence=["it runs"], read=read).code


def in_a_host(**given: object) -> CheckedThread:
    """Return a thread in the first turn of a host that has no runs."""
    thread = started(**given)
    work = e.GoalWork("continuation", thread.goal.goal_id)
    thread.do(
        e.HostChanged(idle=False),
        e.AgentStarting(work=work),
        e.TurnStarted(turn_index=1),
        e.MessageStarted(message=e.Message(role="custom", work=work)),
        e.ContextRequested(),
    )
    return thread


def open_claim(*verifiers: Verifier) -> CheckedThread:
    """Return a thread whose first turn has claimed and ended."""
    thread = running(*(verifiers or (COMMAND,)))
    claim(thread)
    thread.end()
    assert thread.session.claim is not None
    return thread
