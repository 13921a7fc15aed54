"""Goals that the model gives: some in a row, and then a person has to say something."""

from __future__ import annotations

from typing import Any

import pytest

from goalfsm.daemon.flow.turn import tools_of
from goalfsm.goal.model import Criterion, Limits, Verifier
from goalfsm.session import Policy, Reply
from goalfsm.session import events as e
from goalfsm.testing.threads import CheckedThread

TWO = Policy(model_goals=2)


def gives(thread: CheckedThread, goals: int = 1) -> Reply:
    """Let the model give goals, each completed by it; return the reply to the last one."""
    for number in range(goals):
        reply = thread.call("create_goal", objective=f"Goal {number}")
        if reply.ok:
            assert thread.claim_complete().ok
    return reply


def test_so_many_in_a_row_and_no_more() -> None:
    thread = CheckedThread(TWO)
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
    thread = CheckedThread(TWO)
    gives(thread, 3)
    thread.do(said)
    if isinstance(said, e.ObjectiveGiven):
        thread.claim_complete()
    assert gives(thread).ok


def test_steering_is_a_persons_word() -> None:
    thread = CheckedThread(TWO)
    gives(thread)
    assert thread.call("create_goal", objective="Another").ok
    thread.do(e.SteeringReceived(message_id="m", text="fine"))
    thread.dispatch()
    thread.claim_complete()
    thread.end()
    assert gives(thread).ok


def test_what_an_extension_puts_in_is_no_persons_word() -> None:
    thread = CheckedThread(TWO)
    gives(thread, 2)
    thread.do(e.InputReceived(source="extension"))
    assert gives(thread).code == "model_goals_spent"


def test_a_refused_goal_is_not_counted() -> None:
    thread = CheckedThread(TWO)
    assert thread.call("create_goal", objective="One").ok
    for _ in range(3):
        assert thread.call("create_goal", objective="Beside it").code != "model_goals_spent"
    thread.claim_complete()
    assert gives(thread).ok


def test_the_reference_lets_it_give_any_number() -> None:
    assert gives(CheckedThread(Policy.reference()), 50).ok


def test_fewer_than_none_is_refused() -> None:
    with pytest.raises(ValueError, match="model_goals"):
        Policy(model_goals=-1)


# Whether it may give one at all, and under what.

PERSON = Verifier(kind="person")
COMMAND = Verifier(kind="command", argv=("make", "test"))


def names(thread: CheckedThread) -> list[str]:
    """Return the tools that the model is shown."""
    return [tool.name for tool in tools_of(thread.session)]


def test_unless_it_is_allowed_the_model_gives_a_thread_without_any_goal_its_first_alone() -> None:
    thread = CheckedThread()
    assert "create_goal" in names(thread)
    assert thread.call("create_goal", objective="Mine").ok
    assert "create_goal" not in names(thread)
    thread.claim_complete()
    reply = thread.call("create_goal", objective="Another")
    assert (reply.ok, reply.code) == (False, "origin_not_allowed")
    assert "model_goals=N" in reply.hint
    thread.do(e.PolicyChanged(changes={"model_goals": 2}))
    assert "create_goal" in names(thread)
    assert thread.call("create_goal", objective="Another").ok


def given(**fields: Any) -> CheckedThread:
    """Return a thread whose person has given a goal that is complete by now."""
    thread = CheckedThread(TWO)
    thread.give(limits=Limits(tokens=1_000, continuations=3), **fields)
    thread.dispatch()
    thread.use(400)
    thread.end()
    thread.do(e.CompletionRequested())
    return thread


def test_its_goal_stands_under_what_is_left_of_a_persons_limits_and_under_their_checks() -> None:
    thread = given(verifiers=(COMMAND, PERSON), criteria=(Criterion(text="theirs"),))
    assert thread.call("create_goal", objective="Mine", criteria=["my own"]).ok
    assert (thread.goal.token_budget, thread.goal.max_continuations) == (600, 2)
    assert thread.goal.verifiers == (COMMAND, PERSON)
    assert thread.goal.criteria == (Criterion(text="my own"),)


def test_a_number_of_its_own_lowers_a_limit_and_never_raises_it() -> None:
    lower, higher = given(), given()
    lower.call("create_goal", objective="Mine", token_budget=50)
    assert lower.goal.token_budget == 50
    higher.call("create_goal", objective="Mine", token_budget=5_000)
    assert higher.goal.token_budget == 600
    free = CheckedThread(TWO)
    free.give()
    free.do(e.CompletionRequested())
    free.call("create_goal", objective="Mine", token_budget=5_000)
    assert free.goal.token_budget == 5_000


def test_its_own_number_takes_nothing_from_the_goal_after() -> None:
    thread = given()
    thread.call("create_goal", objective="Mine", token_budget=50)
    thread.do(e.CompletionRequested())
    thread.call("create_goal", objective="Mine, too")
    assert (thread.goal.token_budget, thread.goal.max_continuations) == (600, 2)


def test_where_a_limit_is_spent_it_gives_none() -> None:
    thread = given()
    thread.call("create_goal", objective="Mine")
    thread.dispatch()
    thread.use(599)
    thread.end()
    thread.turn("more")
    thread.do(e.CompletionRequested())
    reply = thread.call("create_goal", objective="Mine, too")
    assert (reply.ok, reply.code) == (False, "limit_spent")
    assert "turns" in reply.message


def test_what_a_person_makes_of_its_limits_is_what_the_next_one_stands_under() -> None:
    thread = given()
    thread.call("create_goal", objective="Mine")
    thread.do(e.BudgetChanged(limits=Limits(tokens=9_000), unlimited=("continuations",)))
    thread.do(e.CompletionRequested())
    thread.call("create_goal", objective="Mine, too")
    assert thread.goal.token_budget == 9_000
    thread.give("A person's", replace=True)
    assert thread.session.grant is None


def test_where_nothing_is_handed_on_it_stands_under_its_own_number() -> None:
    thread = given()
    thread.do(e.PolicyChanged(changes={"inherit_limits": False}))
    thread.call("create_goal", objective="Mine", token_budget=5_000)
    assert (thread.goal.token_budget, thread.goal.max_continuations) == (5_000, None)


@pytest.mark.parametrize(
    ("criteria", "code"),
    [
        ("x", "argument_invalid"),
        ([1], "argument_invalid"),
        (["x"] * 101, "too_many_items"),
        ([" "], "text_empty"),
    ],
)
def test_criteria_of_its_own_are_texts(criteria: object, code: str) -> None:
    assert CheckedThread().call("create_goal", objective="Mine", criteria=criteria).code == code
