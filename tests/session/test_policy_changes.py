"""Changing a thread's policy, and what a replay needs of it."""

from __future__ import annotations

from goalfsm.session import Context, Policy, Session
from goalfsm.session import events as e
from goalfsm.session.thread import handle

CTX = Context(now_ms=1_800_000_000_000, ids=lambda kind: kind)


def test_a_replay_begins_with_the_policy_before_every_change() -> None:
    """Two changes later the first policy is still known."""
    first = Policy(blocked_after=5)
    session = handle(
        Session(policy=first), e.ObjectiveGiven(objective="go", policy={"no_progress": 1}), CTX
    ).session
    session = handle(session, e.PolicyChanged(changes={"blocked_after": 2}), CTX).session
    assert session.policy.blocked_after == 2
    assert session.began_with == first


def test_a_policy_that_never_changed_is_what_a_replay_begins_with() -> None:
    """Without a change the snapshot's own policy is the first one."""
    policy = Policy(blocked_after=5)
    session = handle(Session(policy=policy), e.ObjectiveGiven(objective="go"), CTX).session
    assert session.began_with == policy
