"""Goals that the model gives: some in a row, and then a person has to say something."""

from __future__ import annotations

import pytest

from goalfsm.session import Policy, Reply
from goalfsm.session import events as e
from tests.session.thread import Thread

TWO = Policy(model_goals=2)


def gives(thread: Thread, goals: int = 1) -> Reply:
    """Let the model give goals, each completed by it; return the reply to the last one."""
    for number in range(goals):
        reply = thread.tool("create_goal", objective=f"Goal {number}")
        if reply.ok:
            assert thread.claim().ok
    return reply


def test_so_many_in_a_row_and_no_more() -> None:
    thread = Thread(TWO)
    assert gives(thread, 2).ok
    reply = gives(thread)
    assert (reply.ok, reply.code) == (False, "model_goals_spent")
    assert reply.message == "the model has given this thread 2 goals in a row"
    assert thread.status == "complete"


@pytest.mark.parametrize(
    "said",
    [
        e.ObjectiveGiven(objective="A person's"),
        e.InputReceived(source="interactive"),
        e.InputReceived(source="rpc"),
    ],
)
def test_a_persons_word_lets_it_give_others(said: e.Event) -> None:
    thread = Thread(TWO)
    gives(thread, 3)
    thread.do(said)
    if isinstance(said, e.ObjectiveGiven):
        thread.claim()
    assert gives(thread).ok


def test_steering_is_a_persons_word() -> None:
    thread = Thread(TWO)
    gives(thread)
    assert thread.tool("create_goal", objective="Another").ok
    thread.do(e.SteeringReceived(message_id="m", text="fine"))
    thread.dispatch()
    thread.claim()
    thread.end()
    assert gives(thread).ok


def test_what_an_extension_puts_in_is_no_persons_word() -> None:
    thread = Thread(TWO)
    gives(thread, 2)
    thread.do(e.InputReceived(source="extension"))
    assert gives(thread).code == "model_goals_spent"


def test_a_refused_goal_is_not_counted() -> None:
    thread = Thread(TWO)
    assert thread.tool("create_goal", objective="One").ok
    for _ in range(3):
        assert thread.tool("create_goal", objective="Beside it").code != "model_goals_spent"
    thread.claim()
    assert gives(thread).ok


def test_zero_is_any_number() -> None:
    assert gives(Thread(Policy(model_goals=0)), 50).ok
    assert Policy.reference().model_goals == 0


def test_fewer_than_none_is_refused() -> None:
    with pytest.raises(ValueError, match="model_goals"):
        Policy(model_goals=-1)
